//! Streams of events: what watchers are told, in memory with everything at random, and over real sockets.

pub(super) mod streams;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::finding::{member, report};
use crate::member::Member;
use crate::member::finder::Finder;
use crate::member::watch::{Event, Looked, Wants, Watch};
use crate::proto::geo::area::Area;

/// What a page knows that is told of events: it forgets by [`Event::Reset`] what is not told again.
#[derive(Debug, Default)]
struct Page {
    known: BTreeMap<String, Vec<u8>>,
    stale: BTreeSet<String>,
    /// The id that was told last.
    position: u64,
}

impl Page {
    fn hear(&mut self, position: u64, event: Event) {
        self.position = position;
        match event {
            Event::Reset => self.stale = self.known.keys().cloned().collect(),
            Event::Client(located) => {
                let client = located.sighting().client.0.to_owned();
                self.stale.remove(&client);
                self.known.insert(client, located.stored_line().to_vec());
            }
            Event::Gone(client) => drop(self.known.remove(&client)),
            Event::Current => {
                for client in std::mem::take(&mut self.stale) {
                    self.known.remove(&client);
                }
            }
        }
    }
}

/// A watcher with its page, whose rights are one of a few.
struct Watcher {
    wants: Wants,
    rights: usize,
    before: Option<usize>,
    watch: Watch,
    page: Page,
}

fn sees(rights: usize, client: &str) -> bool {
    rights == 0 || !client.len().is_multiple_of(rights + 1) || client.ends_with('7')
}

impl Watcher {
    fn new(member: &Member, finder: &Finder, rng: &mut Rng) -> Watcher {
        let (south, west) = (rng.i32(-90..90), rng.i32(-180..180));
        let (north, east) = (rng.i32(south..=90), rng.i32(-180..180));
        let area = (rng.u8(..3) > 0).then(|| Area::parse(&format!("{west},{south},{east},{north}")).unwrap());
        let some = rng.usize(1..20);
        let clients = (0..some).map(|_| format!("client-{}", rng.usize(..60))).collect();
        let wants = Wants { area, clients: if rng.u8(..4) == 0 { clients } else { Vec::new() } };
        let watch = Watch::begin(member, finder, wants.clone(), None, &|client| sees(0, client));
        Watcher { wants, rights: 0, before: None, watch, page: Page::default() }
    }

    fn look(&mut self, member: &Member, finder: &Finder) -> Looked {
        let (now, then) = (self.rights, self.before);
        let mut events = Vec::new();
        let before = |client: &str| then.is_some_and(|rights| sees(rights, client));
        let looked = self.watch.look(
            member,
            &|client| sees(now, client),
            then.is_some().then_some(&before),
            &mut events,
        );
        for (position, event) in events {
            self.page.hear(position, event);
        }
        if looked == Looked::Lost {
            self.begin(member, finder, None);
            return Looked::More;
        }
        if self.watch.is_current() {
            self.before = None;
        }
        looked
    }

    fn begin(&mut self, member: &Member, finder: &Finder, after: Option<u64>) {
        let rights = self.rights;
        self.watch = Watch::begin(member, finder, self.wants.clone(), after, &|client| sees(rights, client));
    }

    /// What it should know: what is stored of what it wants and may see.
    fn expected(&self, member: &Member) -> BTreeMap<String, Vec<u8>> {
        let Wants { area, clients } = &self.wants;
        let mut expected = BTreeMap::new();
        for client in (0..60).map(|client| format!("client-{client}")) {
            let Some(located) = member.locate(client.as_bytes()) else { continue };
            let (latitude, longitude) = located.sighting().location.degrees();
            let is_inside = area.is_none_or(|area| area.contains(latitude, longitude));
            let is_wanted = clients.is_empty() || clients.contains(&client);
            if is_inside && is_wanted && sees(self.rights, &client) {
                expected.insert(client, located.stored_line().to_vec());
            }
        }
        expected
    }
}

#[test]
fn what_a_watcher_was_told_is_what_is_stored() {
    for seed in 0..150 {
        let (member, finder, mut rng) = (member(), Finder::default(), Rng::with_seed(seed));
        let mut now_s = 1_700_000_000;
        let mut watchers: Vec<Watcher> = Vec::new();
        for _ in 0..60 {
            for _ in 0..rng.usize(..150) {
                let client = rng.usize(..60);
                match rng.u8(..12) {
                    0 => drop(member.forget(format!("client-{client}").as_bytes(), now_s)),
                    _ => {
                        let place = (rng.f64() * 180.0 - 90.0, rng.f64() * 360.0 - 180.0);
                        report(&member, client, place.0, place.1, now_s);
                    }
                }
                now_s += rng.u64(..3);
                // It reads as fast as it can, or slowly, or not at all for a while.
                for watcher in &mut watchers {
                    if rng.u8(..8) == 0 {
                        watcher.look(&member, &finder);
                    }
                }
            }
            now_s += rng.u64(..400);
            member.expire(now_s);
            if watchers.len() < 6 {
                watchers.push(Watcher::new(&member, &finder, &mut rng));
            }
            for watcher in &mut watchers {
                match rng.u8(..12) {
                    // It comes back, with what it was told last.
                    0 | 1 => {
                        let after = Some(watcher.page.position).filter(|_| watcher.before.is_none());
                        watcher.begin(&member, &finder, after);
                        watcher.before = None;
                    }
                    2 => {
                        watcher.before = Some(watcher.rights);
                        watcher.rights = rng.usize(..4);
                        watcher.watch.begin_again();
                    }
                    3 | 4 => while watcher.look(&member, &finder) != Looked::All {},
                    _ => {}
                }
                if watcher.watch.is_current() && watcher.look(&member, &finder) == Looked::All {
                    let (wants, known) = (&watcher.wants, &watcher.page.known);
                    assert_eq!(*known, watcher.expected(&member), "{seed}: {wants:?}");
                }
            }
        }
        for watcher in &mut watchers {
            while watcher.look(&member, &finder) != Looked::All {}
            assert_eq!(watcher.page.known, watcher.expected(&member), "{seed}: {:?}", watcher.wants);
            assert!(watcher.watch.is_current());
        }
    }
}

#[test]
fn watcher_that_misses_what_expires_begins_again() {
    let (member, finder) = (member(), Finder::default());
    (0..6_000).for_each(|client| report(&member, client, 1.0, 2.0, 1_700_000_000));
    let mut page = Page::default();
    let everything = Wants::default();
    let mut watch = Watch::begin(&member, &finder, everything.clone(), None, &|_| true);
    let mut tell = |watch: &mut Watch| {
        let mut events = Vec::new();
        let looked = watch.look(&member, &|_| true, None, &mut events);
        events.into_iter().for_each(|(position, event)| page.hear(position, event));
        (looked, page.known.len())
    };
    while tell(&mut watch).0 != Looked::All {}
    assert_eq!(tell(&mut watch), (Looked::All, 6_000));
    report(&member, 7, 1.0, 2.0, 1_700_009_999);
    member.expire(1_700_010_000);
    assert_eq!(tell(&mut watch), (Looked::Lost, 6_000));
    watch = Watch::begin(&member, &finder, everything, None, &|_| true);
    while tell(&mut watch).0 != Looked::All {}
    assert_eq!(tell(&mut watch), (Looked::All, 1));
}
