//! The links of the first loop: which of them to dial, to feed, to give up.

use std::io;

use mio::{Registry, Token};
use proxyherd::member::link_log::{CONNECT_WAIT_MAX, WELCOME_WAIT_MAX, does_not_answer};
use proxyherd::member::notifier::Subscription;
use proxyherd::os::clock;
use proxyherd::proto::peering::backoff::Backoff;

use crate::peer::{Peer, Progress, hung_up, is_hang_up};
use crate::shared::Loops;
use crate::timers::{Timer, Timers};

/// All links of a server, or none for a loop that has none.
#[derive(Default)]
pub(crate) struct Links {
    links: Vec<Up>,
    /// The token of the first link; the others follow.
    first_token: usize,
}

struct Up {
    loops: &'static Loops,
    peer: Peer,
    follower: Subscription<'static>,
    backoff: Backoff,
    failures: u64,
    progress: Option<Progress>,
    /// Changes whenever the link comes to wait for something else, so that older deadlines are void.
    stamp: u64,
}

impl Links {
    /// All links, down.
    pub(crate) fn new(loops: &'static Loops, first_token: usize) -> Links {
        let member = &loops.driver.member;
        let up = |neighbour: usize| {
            let follower = member.notifiers.subscribe_with(Box::new(|| loops.ring()));
            member.links[neighbour].follows(follower.notifier());
            let (peer, backoff) = (Peer::new(&loops.driver, neighbour), Backoff::new());
            Up { loops, peer, follower, backoff, failures: 0, progress: None, stamp: 0 }
        };
        Links { links: (0..loops.driver.neighbours.len()).map(up).collect(), first_token }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Dials every neighbour.
    pub(crate) fn dial_all(&mut self, registry: &Registry, timers: &mut Timers) {
        (0..self.len()).for_each(|neighbour| self.dial(neighbour, registry, timers));
    }

    /// Sends what has become due, and dials neighbours that have come back while we were waiting to try again.
    pub(crate) fn feed_all(&mut self, registry: &Registry, timers: &mut Timers) {
        for neighbour in 0..self.len() {
            let up = &self.links[neighbour];
            up.follower.begin_look();
            let ends_pause = up.follower.take();
            if matches!(up.progress, Some(Progress::Idle | Progress::More)) {
                self.work(neighbour, false, timers);
            } else if ends_pause && !up.peer.is_connected() {
                self.dial(neighbour, registry, timers);
            }
        }
    }

    /// Whether a link has more to send, and room for it.
    pub(crate) fn has_more(&self) -> bool {
        self.links.iter().any(|up| up.progress == Some(Progress::More))
    }

    /// Asks every neighbour that has been told all to acknowledge it; whether all have, but for those that are away.
    pub(crate) fn drain(&mut self, timers: &mut Timers) -> bool {
        for neighbour in 0..self.len() {
            let Up { peer, progress, .. } = &mut self.links[neighbour];
            // A lazy link that has nothing unacknowledged may still have something to send.
            if *progress == Some(Progress::Idle) && peer.ask_for_ack() {
                self.work(neighbour, false, timers);
            }
        }
        let is_drained = |up: &Up| up.progress == Some(Progress::Idle) && up.peer.is_acknowledged();
        self.links.iter().all(|up| !up.peer.link.is_live() || is_drained(up))
    }

    /// Does all that the readiness of a link's socket allows; `heard` if that has just changed.
    pub(crate) fn work(&mut self, neighbour: usize, heard: bool, timers: &mut Timers) {
        let up = &mut self.links[neighbour];
        if up.progress.is_none() {
            return;
        }
        let was_live = up.peer.link.is_live();
        let worked = up.peer.work(heard);
        if !was_live && up.peer.link.is_live() {
            up.now_live(timers);
        }
        match worked {
            Ok(progress) => {
                let waits_for_answer = matches!(progress, Progress::Greeting | Progress::Ready);
                if waits_for_answer && up.progress != Some(progress) {
                    up.wait(WELCOME_WAIT_MAX, timers);
                }
                up.progress = Some(progress);
            }
            Err(error) => up.ended(error, timers),
        }
    }

    /// A deadline of a link has passed.
    pub(crate) fn too_late(
        &mut self,
        neighbour: usize,
        stamp: u64,
        registry: &Registry,
        timers: &mut Timers,
    ) {
        let up = &mut self.links[neighbour];
        if up.stamp != stamp {
            return;
        }
        match up.progress {
            None => self.dial(neighbour, registry, timers),
            Some(Progress::Connecting | Progress::Greeting | Progress::Ready) => {
                up.ended(does_not_answer(), timers);
            }
            Some(Progress::Idle | Progress::Blocked | Progress::More) => self.look_at(neighbour, timers),
        }
    }

    /// Beats, and gives up a neighbour that must be gone.
    fn look_at(&mut self, neighbour: usize, timers: &mut Timers) {
        // What has come while this loop was busy counts.
        self.work(neighbour, true, timers);
        let up = &mut self.links[neighbour];
        if !up.peer.link.is_live() {
            return;
        }
        if up.peer.link.is_silent(clock::ticks()) {
            up.peer.log.timed_out();
            up.ended(hung_up(), timers);
        } else {
            up.wait(up.peer.next_look(), timers);
        }
    }

    fn dial(&mut self, neighbour: usize, registry: &Registry, timers: &mut Timers) {
        let up = &mut self.links[neighbour];
        if up.loops.is_stopping() {
            return;
        }
        up.progress = Some(Progress::Connecting);
        up.wait(CONNECT_WAIT_MAX, timers);
        if let Err(error) = up.peer.dial(registry, Token(self.first_token + neighbour)) {
            up.ended(error, timers);
        }
    }
}

impl Up {
    fn now_live(&mut self, timers: &mut Timers) {
        self.backoff.reset();
        self.failures = 0;
        self.wait(self.peer.next_look(), timers);
        self.peer.log.up();
    }

    fn ended(&mut self, error: io::Error, timers: &mut Timers) {
        let log = self.peer.log;
        if self.peer.link.is_live() {
            log.down(if is_hang_up(&error) { Ok(()) } else { Err(error) });
        } else {
            self.failures += 1;
            log.failed(self.failures, &error);
        }
        self.peer.hang_up();
        self.progress = None;
        let wait = self.backoff.wait(fastrand::f32());
        self.wait(wait, timers);
    }

    fn wait(&mut self, wait: std::time::Duration, timers: &mut Timers) {
        self.stamp += 1;
        timers.set(wait, Timer::Link { neighbour: self.peer.link.neighbour(), stamp: self.stamp });
    }
}
