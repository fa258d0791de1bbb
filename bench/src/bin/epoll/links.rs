//! The links of the first loop: which of them to dial, to feed, to give up.

use std::io;
use std::sync::Arc;

use mio::{Registry, Token};
use proxyherd::proto::peering::backoff::Backoff;
use proxyherd_bench::clock;
use proxyherd_bench::shared::{CONNECT_WAIT_MAX, Shared, WELCOME_WAIT_MAX};

use crate::peer::{Peer, Progress, hung_up, is_hang_up};
use crate::shared::Loops;
use crate::timers::{Timer, Timers};

/// All links of a server.
pub(crate) struct Links {
    loops: Arc<Loops>,
    links: Vec<Up>,
    /// The token of the first link; the others follow.
    first_token: usize,
}

struct Up {
    peer: Peer,
    backoff: Backoff,
    failures: u64,
    progress: Option<Progress>,
    /// Changes whenever the link comes to wait for something else, so that older deadlines are void.
    stamp: u64,
}

impl Links {
    /// All links, down.
    pub(crate) fn new(loops: &Arc<Loops>, first_token: usize) -> Links {
        let up = |neighbour| Up {
            peer: Peer::new(&loops.shared, neighbour),
            backoff: Backoff::new(),
            failures: 0,
            progress: None,
            stamp: 0,
        };
        Links {
            links: (0..loops.shared.neighbours.len()).map(up).collect(),
            loops: Arc::clone(loops),
            first_token,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Dials every neighbour.
    pub(crate) fn dial_all(&mut self, registry: &Registry, timers: &mut Timers) {
        (0..self.len()).for_each(|neighbour| self.dial(neighbour, registry, timers));
    }

    /// Dials those that have said hello to us while we were waiting to try again.
    pub(crate) fn dial_returned(&mut self, registry: &Registry, timers: &mut Timers) {
        for neighbour in 0..self.len() {
            if self.loops.take_back(neighbour) && !self.links[neighbour].peer.is_connected() {
                self.dial(neighbour, registry, timers);
            }
        }
    }

    /// Sends what has become due.
    pub(crate) fn feed_all(&mut self, timers: &mut Timers) {
        for neighbour in 0..self.len() {
            if matches!(self.links[neighbour].progress, Some(Progress::Idle | Progress::More)) {
                self.work(neighbour, false, timers);
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
            if *progress == Some(Progress::Idle) && !peer.is_acknowledged() && peer.ask_for_ack() {
                self.work(neighbour, false, timers);
            }
        }
        let is_drained = |up: &Up| up.progress == Some(Progress::Idle) && up.peer.is_acknowledged();
        self.links.iter().all(|up| !up.peer.link.is_live() || is_drained(up))
    }

    /// Does all that the readiness of a link's socket allows; `heard` if that has just changed.
    pub(crate) fn work(&mut self, neighbour: usize, heard: bool, timers: &mut Timers) {
        let shared = &self.loops.shared;
        let up = &mut self.links[neighbour];
        if up.progress.is_none() {
            return;
        }
        let was_live = up.peer.link.is_live();
        let worked = up.peer.work(shared, heard);
        if !was_live && up.peer.link.is_live() {
            up.now_live(shared, timers);
        }
        match worked {
            Ok(progress) => {
                let waits_for_answer = matches!(progress, Progress::Greeting | Progress::Proving);
                if waits_for_answer && up.progress != Some(progress) {
                    up.wait(WELCOME_WAIT_MAX, timers);
                }
                up.progress = Some(progress);
            }
            Err(error) => up.ended(shared, error, timers),
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
        let why = match up.progress {
            None => return self.dial(neighbour, registry, timers),
            Some(Progress::Connecting | Progress::Greeting | Progress::Proving) => "it does not answer",
            Some(Progress::Idle | Progress::Blocked | Progress::More) => {
                return self.look_at(neighbour, timers);
            }
        };
        up.ended(&self.loops.shared, io::Error::new(io::ErrorKind::TimedOut, why), timers);
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
            self.loops.shared.note_silent(neighbour);
            up.ended(&self.loops.shared, hung_up(), timers);
        } else {
            up.wait(up.peer.next_look(), timers);
        }
    }

    fn dial(&mut self, neighbour: usize, registry: &Registry, timers: &mut Timers) {
        if self.loops.is_stopping() {
            return;
        }
        let up = &mut self.links[neighbour];
        up.progress = Some(Progress::Connecting);
        up.wait(CONNECT_WAIT_MAX, timers);
        if let Err(error) = up.peer.dial(registry, Token(self.first_token + neighbour)) {
            up.ended(&self.loops.shared, error, timers);
        }
    }
}

impl Up {
    fn now_live(&mut self, shared: &Shared, timers: &mut Timers) {
        self.backoff.reset();
        self.failures = 0;
        self.wait(self.peer.next_look(), timers);
        shared.note_up(self.peer.link.neighbour());
    }

    fn ended(&mut self, shared: &Shared, error: io::Error, timers: &mut Timers) {
        let neighbour = self.peer.link.neighbour();
        if self.peer.link.is_live() {
            shared.note_down(neighbour, if is_hang_up(&error) { Ok(()) } else { Err(error) });
        } else {
            self.failures += 1;
            shared.note_failure(neighbour, self.failures, &error);
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
