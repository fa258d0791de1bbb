//! What OwnTracks is told in an answer: the last places of its friends, and their names.

use super::access::Asker;
use super::asked::Asked;
use crate::proto::http::phones::friends::Friends;

/// The friends of an asker, those first that changed last, because a phone keeps those that it has been told of. The
/// one that asks is not among them: it knows better where it is.
pub(super) fn answer(asked: &Asked<'_, '_>, asker: &Asker, sender: Option<&str>) -> Vec<u8> {
    let most = asked.shared.gate.limits.friends_max as usize;
    let mut friends = Friends::default();
    if most > 0 {
        let users = asker.seen_users();
        let except = sender.unwrap_or_default().as_bytes();
        asked.shared.finder.newest(asked.shared.member, users, except, most, |seen, attributes| {
            let client = seen.client.0;
            let has_room = !asker.may_see(client) || friends.push(seen, attributes, asker.name_of(client));
            has_room && friends.count() < most
        });
    }
    friends.finish()
}
