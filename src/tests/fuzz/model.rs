//! What a server should know after what it was told, kept as plainly as can be.

use std::collections::BTreeMap;

use super::naive::{self, Decimal};
use crate::proto::model::epoch::Epoch;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::digest::{Bucket, Digest, record_hash};
use crate::proto::store::update::Source;
use crate::proto::store::{SCAN_RECORDS_MAX, Store};

/// A neighbour that has told nothing: there are not as many.
fn silent() -> Source {
    Source::neighbour(99, Epoch(0))
}

/// The newest sighting of every client.
#[derive(Default)]
pub(crate) struct Model {
    known: BTreeMap<String, Known>,
    /// How often something was news.
    pub(crate) news: usize,
}

struct Known {
    time: Decimal,
    /// The `AT` line with its line feed.
    line: Vec<u8>,
    by_client: bool,
}

impl Model {
    /// The line that a question about this client is answered with.
    pub(crate) fn line_of(&self, client: &str) -> Option<&[u8]> {
        self.known.get(client).map(|known| &*known.line)
    }

    /// A client's own report, as the `AT` line that answers it: news if it is later.
    pub(crate) fn report(&mut self, line: &[u8]) {
        self.merge(line, true, |new, old| new.time > old.time);
    }

    /// What a neighbour tells: news if it is later, or greater at the same time.
    pub(crate) fn told(&mut self, line: &[u8]) {
        self.merge(line, false, |new, old| (&new.time, &new.line) > (&old.time, &old.line));
    }

    fn merge(&mut self, line: &[u8], by_client: bool, is_news: fn(&Known, &Known) -> bool) {
        let [origin, skew, client, location, time] = naive::at(line).expect("the line was read before");
        let line = format!("AT {origin} {skew} {client} {location} {time}\n").into_bytes();
        let new = Known { time: naive::time(time).expect("the line was read before"), line, by_client };
        if self.known.get(client).is_none_or(|old| is_news(&new, old)) {
            self.known.insert(client.to_owned(), new);
            self.news += 1;
        }
    }

    /// Whether a store knows this and nothing else, and gives it out again; `neighbour` told what no client did.
    pub(crate) fn check(&self, store: &Store, neighbour: Option<Source>) {
        assert_eq!(store.len(), self.known.len());
        assert_eq!(store.last_seq(), self.news as u64);
        let mut digest = Digest::empty();
        for (client, known) in &self.known {
            assert_eq!(store.line_of(client.as_bytes()), Some(&*known.line));
            let hash = record_hash(known.line.strip_suffix(b"\n").unwrap());
            digest.replace(Bucket::of(client.as_bytes()), 0, hash);
        }
        assert_eq!(store.digest(), &digest);
        let all = |known: &&Known| neighbour.is_none() || known.by_client;
        let mut expected: Vec<&[u8]> = self.known.values().filter(all).map(|known| &*known.line).collect();
        expected.sort_unstable();
        let walked = walk(store, neighbour.unwrap_or(silent()));
        let mut walked: Vec<&[u8]> = walked.split_inclusive(|&byte| byte == b'\n').collect();
        walked.sort_unstable();
        assert_eq!(walked, expected, "a link would tell something else");
    }
}

/// All that a link from the beginning would send to a neighbour.
fn walk(store: &Store, except: Source) -> Vec<u8> {
    let (mut position, mut all) = (0, Vec::new());
    while position < store.last_seq() {
        let begins = all.len();
        let reached =
            Cursor::new(position, except).copy(store, u64::MAX, SCAN_RECORDS_MAX, &mut all).position();
        assert!(reached > position, "the walk stands still");
        let records = all[begins..].iter().filter(|&&byte| byte == b'\n').count();
        assert!(records <= SCAN_RECORDS_MAX, "{records} records in one step");
        position = reached;
    }
    all
}
