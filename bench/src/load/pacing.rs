//! How the load is paced: closed loop, open loop, churn.

use std::time::Duration;

use super::clock;
use super::connection::Stage;
use super::engine::{Engine, Happened};
use super::error::LoadError;

/// How long requests in hand may take after the end.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Requests that may wait on one connection of an open loop. A server so far behind is saturated; what is due
/// then is sent later, and its latency still counts from when it was due.
const WAITING_PER_CONNECTION_MAX: usize = 4_096;

/// When the load begins and ends, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    /// The time over which the connections of a closed loop begin to send.
    pub(super) ramp_ns: u64,
}

impl Engine<'_> {
    /// Keeps `depth` requests on the way on each of the first `active` connections.
    pub(super) fn closed(&mut self, span: Span, depth: u32, active: usize) -> Result<(), LoadError> {
        let mut events = Engine::events();
        let mut started = 0;
        let starts = |index: usize| span.from_ns + span.ramp_ns * index as u64 / active as u64;
        loop {
            let now_ns = clock::monotonic_ns();
            if now_ns >= span.to_ns || self.is_over() {
                return self.drain(&mut events);
            }
            while started < active && starts(started) <= now_ns {
                for _ in 0..depth {
                    self.ask(started, now_ns, now_ns);
                }
                self.flush(started)?;
                started += 1;
            }
            let next_ns = if started < active { starts(started) } else { span.to_ns };
            let wait = Duration::from_nanos(next_ns.saturating_sub(now_ns));
            self.wait(&mut events, wait, started)?;
            for event in events.iter().filter(|event| !Engine::is_timer(event)) {
                let Happened::Replies(replies @ 1..) = self.happen(event)? else { continue };
                let index = event.token().0;
                let now_ns = clock::monotonic_ns();
                for _ in 0..replies {
                    self.ask(index, now_ns, now_ns);
                }
                self.flush(index)?;
            }
        }
    }

    /// Sends `rate` requests a second in even steps, on the first `active` connections in turn, whatever
    /// comes back.
    pub(super) fn paced(&mut self, span: Span, rate: f64, active: usize) -> Result<(), LoadError> {
        let mut events = Engine::events();
        let due = |arrival: u64| span.from_ns + (arrival as f64 * 1e9 / rate) as u64;
        let (mut arrivals, mut touched) = (0, Vec::new());
        loop {
            let now_ns = clock::monotonic_ns();
            let mut held_back = false;
            // To the last one: that this thread is late at the end is no fault of the server's.
            while due(arrivals) <= now_ns && due(arrivals) < span.to_ns {
                let index = (arrivals % active as u64) as usize;
                if self.connections[index].waiting() >= WAITING_PER_CONNECTION_MAX {
                    held_back = true;
                    break;
                }
                self.ask(index, due(arrivals), now_ns);
                self.counters.sent(due(arrivals), now_ns);
                touched.push(index);
                arrivals += 1;
            }
            for index in touched.drain(..) {
                self.flush(index)?;
            }
            if now_ns >= span.to_ns || self.is_over() {
                break;
            }
            let next_ns = if held_back { span.to_ns } else { due(arrivals) };
            self.timer.set(next_ns).map_err(LoadError::system("timerfd"))?;
            let waiting = usize::from(held_back) + self.waiting();
            self.wait(&mut events, DRAIN_MAX, waiting)?;
            for event in events.iter().filter(|event| !Engine::is_timer(event)) {
                self.happen(event)?;
            }
        }
        // What a server so far behind could not even be sent counts as well.
        let end_ns = clock::monotonic_ns();
        while due(arrivals) < span.to_ns {
            self.counters.gave_up(due(arrivals), end_ns);
            arrivals += 1;
        }
        self.drain(&mut events)
    }

    /// Connects, reports, disconnects, on all connections again and again.
    pub(super) fn churn(&mut self, span: Span) -> Result<(), LoadError> {
        let mut events = Engine::events();
        for index in 0..self.connections.len() {
            self.connect(index)?;
        }
        let mut open = self.connections.len();
        while open > 0 && !self.is_over() {
            self.wait(&mut events, DRAIN_MAX, open)?;
            for event in events.iter().filter(|event| !Engine::is_timer(event)) {
                if self.happen(event)? != Happened::Introduced {
                    continue;
                }
                let index = event.token().0;
                let now_ns = clock::monotonic_ns();
                self.counters.conversed(self.connections[index].began_ns, now_ns);
                self.connections[index].close();
                if now_ns < span.to_ns {
                    self.connect(index)?;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(())
    }

    /// Takes the replies that are still to come; what does not come in time has not been answered.
    fn drain(&mut self, events: &mut mio::Events) -> Result<(), LoadError> {
        let end_ns = clock::monotonic_ns() + clock::ns(DRAIN_MAX);
        while self.waiting() > 0 && clock::monotonic_ns() < end_ns && !self.is_over() {
            self.wait(events, DRAIN_MAX, 0)?;
            for event in events.iter().filter(|event| !Engine::is_timer(event)) {
                self.happen(event)?;
            }
        }
        let now_ns = clock::monotonic_ns();
        for connection in self.connections.iter().filter(|connection| connection.stage == Stage::Open) {
            for due_ns in connection.waiting_since() {
                self.counters.gave_up(due_ns, now_ns);
            }
        }
        Ok(())
    }
}
