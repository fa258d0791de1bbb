//! Whose the clients are: the records of each user, found by the part of a client's name before its first slash.

use std::collections::BTreeSet;

use crate::proto::store::hasher::NameHasher;

/// The records of each user: 4 bytes a record, and some 12 more for each whose name begins with one.
#[derive(Debug)]
pub(super) struct Owners {
    hasher: NameHasher,
    /// The hash of the user of each record, and the record. That two users have one hash is rare, and does no harm:
    /// who asks looks at the name.
    records: BTreeSet<(u32, u32)>,
    /// The hash of the user of each record; 0 for none.
    users: Vec<u32>,
}

impl Default for Owners {
    fn default() -> Owners {
        Owners { hasher: NameHasher::random(), records: BTreeSet::new(), users: Vec::new() }
    }
}

impl Owners {
    /// The hash of the user whose client has this name; 0 if it says no user.
    pub(super) fn hash_of(&self, client: &[u8]) -> u32 {
        match memchr::memchr(b'/', client) {
            Some(end) if end + 1 < client.len() => self.hash(&client[..end]),
            _ => 0,
        }
    }

    /// A record has a client of the user with this hash.
    pub(super) fn set(&mut self, record: u32, user: u32) {
        let at = record as usize;
        if self.users.len() <= at {
            self.users.resize(at + 1, 0);
        }
        let before = std::mem::replace(&mut self.users[at], user);
        if before == user {
            return;
        }
        if before != 0 {
            self.records.remove(&(before, record));
        }
        if user != 0 {
            self.records.insert((user, record));
        }
    }

    /// The records of a user.
    pub(super) fn of(&self, user: &str) -> impl Iterator<Item = u32> {
        let hash = self.hash(user.as_bytes());
        self.records.range((hash, 0)..=(hash, u32::MAX)).map(|(_, record)| *record)
    }

    fn hash(&self, user: &[u8]) -> u32 {
        // 0 is kept for those without a user.
        (self.hasher.hash(user) as u32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_their_user_and_move_with_it() {
        let mut owners = Owners::default();
        let clients = ["jane/phone", "joe/phone", "kiwi", "jane/car/2", "/phone", "jane/"];
        for (record, client) in (0..).zip(clients) {
            let user = owners.hash_of(client.as_bytes());
            owners.set(record, user);
        }
        let of = |owners: &Owners, user| owners.of(user).collect::<Vec<_>>();
        assert_eq!(
            (of(&owners, "jane"), of(&owners, "joe"), of(&owners, "kiwi")),
            (vec![0, 3], vec![1], vec![])
        );
        // Another client takes the place of a record, and one goes.
        let joe = owners.hash_of(b"joe/car");
        owners.set(0, joe);
        owners.set(3, 0);
        assert_eq!((of(&owners, "jane"), of(&owners, "joe")), (vec![], vec![0, 1]));
        assert!(owners.records.len() == 3 && owners.of("ann").next().is_none());
    }
}
