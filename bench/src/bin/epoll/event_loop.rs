//! The loop of one thread: what is ready, what is late, what is new; and again.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use proxyherd::member::link_log::DRAIN_WAIT_MAX;
use proxyherd::net::shutdown::FINISH_WAIT_MAX;
use proxyherd::net::stream::LINGER_WAIT;
use proxyherd::proto::peering::link::PEER_TIMEOUT;

use crate::accept::Doors;
use crate::conversation::{Conversation, Desk};
use crate::links::Links;
use crate::shared::{Accepted, Loops, WAKER};
use crate::timers::{Timer, Timers};
use crate::waits::{Lateness, Waits};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// The token of the client port; that of the peer port follows.
const FIRST_DOOR: usize = 1;

/// The token of the first link; those of the others follow, and then those of the conversations.
const FIRST_LINK: usize = 3;

/// One thread's loop.
pub(crate) struct EventLoop {
    loops: &'static Loops,
    index: usize,
    poll: Poll,
    timers: Timers,
    /// The first loop's ports, and links; no other loop has any.
    doors: Doors,
    links: Links,
    conversations: Vec<Option<Conversation>>,
    free: Vec<usize>,
    /// Conversations that have more to do as soon as the others had their turn.
    unfinished: Vec<usize>,
    desk: Desk,
    /// Conversations begun so far.
    begun: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Serving,
    /// Conversations finish what is in hand.
    Finishing,
    /// Links send what is due.
    Draining,
    Over,
}

impl EventLoop {
    /// The loop with this index; the first opens the ports.
    pub(crate) fn new(poll: Poll, index: usize, loops: &'static Loops) -> io::Result<EventLoop> {
        let mut doors = Doors::default();
        let mut links = Links::default();
        if index == 0 {
            links = Links::new(loops, FIRST_LINK);
            doors.open(&loops.driver.config, poll.registry(), FIRST_DOOR)?;
        }
        Ok(EventLoop {
            loops,
            index,
            poll,
            timers: Timers::default(),
            doors,
            links,
            conversations: Vec::new(),
            free: Vec::new(),
            unfinished: Vec::new(),
            desk: Desk::new(loops),
            begun: 0,
            phase: Phase::Serving,
        })
    }

    /// Runs until the server has stopped.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        if self.index == 0 {
            self.links.dial_all(self.poll.registry(), &mut self.timers);
        }
        while self.phase != Phase::Over {
            let busy = !self.unfinished.is_empty() || self.links.has_more();
            let wait = if busy { Some(Duration::ZERO) } else { self.timers.until_next() };
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let unfinished = std::mem::take(&mut self.unfinished);
            events.iter().for_each(|event| self.ready(event));
            unfinished.into_iter().for_each(|key| self.work(key, false));
            while let Some(timer) = self.timers.passed() {
                self.late(timer);
            }
            self.notify_links();
            if self.phase != Phase::Serving || self.loops.is_stopping() {
                self.stop();
            }
        }
        Ok(())
    }

    fn ready(&mut self, event: &Event) {
        let Token(token) = event.token();
        let first_conversation = FIRST_LINK + self.links.len();
        if token >= first_conversation {
            self.work(token - first_conversation, event.is_read_closed());
        } else if token >= FIRST_LINK {
            self.links.work(token - FIRST_LINK, true, &mut self.timers);
        } else if token >= FIRST_DOOR {
            self.accept();
        } else {
            debug_assert_eq!(event.token(), WAKER);
            for accepted in self.loops.handed_over(self.index) {
                self.begin(accepted);
            }
        }
    }

    fn late(&mut self, timer: Timer) {
        let reply_time_max = self.loops.driver.config.limits.reply_time_max;
        match timer {
            Timer::Accept => self.accept(),
            Timer::Link { neighbour, stamp } => {
                self.links.too_late(neighbour, stamp, self.poll.registry(), &mut self.timers);
            }
            Timer::Write { key, stamp } => {
                let Some(conversation) = self.conversation(key) else { return };
                match conversation.write_is_late(stamp) {
                    Lateness::Late => self.end(key, Err(io::ErrorKind::TimedOut.into())),
                    Lateness::MovedOn(stamp) => self.timers.set(reply_time_max, Timer::Write { key, stamp }),
                    Lateness::Done => {}
                }
            }
            Timer::Silence { key, number } => self.look_at(key, number),
            Timer::Close { key, stamp } => {
                if self.conversation(key).is_some_and(|conversation| conversation.stamp() == stamp) {
                    self.end(key, Ok(()));
                }
            }
            Timer::Finish if self.phase == Phase::Finishing => self.cut_conversations(),
            Timer::Drain if self.phase == Phase::Draining => {
                self.loops.driver.log_cut("links", DRAIN_WAIT_MAX);
                self.phase = Phase::Over;
            }
            Timer::Finish | Timer::Drain => {}
        }
    }

    fn accept(&mut self) {
        let mut doors = std::mem::take(&mut self.doors);
        let loops = self.loops;
        let pause = doors.accept_all(loops, |to, accepted| match to == self.index {
            true => self.begin(accepted),
            false => loops.hand_over(to, accepted),
        });
        self.doors = doors;
        if let Some(pause) = pause {
            self.timers.set(pause, Timer::Accept);
        }
    }

    fn begin(&mut self, accepted: Accepted) {
        self.begun += 1;
        let mut conversation = match Conversation::new(self.loops, accepted, self.begun) {
            Ok(conversation) => conversation,
            Err(_) => return self.loops.left(),
        };
        let key = self.free.pop().unwrap_or(self.conversations.len());
        let token = Token(FIRST_LINK + self.links.len() + key);
        // Both at once and for good: changing it for every reply that waits would cost a call each time.
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(conversation.socket(), token, interest);
        if self.phase != Phase::Serving {
            conversation.stop_reading();
        }
        match key == self.conversations.len() {
            true => self.conversations.push(Some(conversation)),
            false => self.conversations[key] = Some(conversation),
        }
        if let Err(error) = registered {
            self.end(key, Err(error));
        }
    }

    fn work(&mut self, key: usize, ending: bool) {
        // Gone, perhaps, since the kernel noted the event.
        let Some(conversation) = self.conversations.get_mut(key).and_then(Option::as_mut) else { return };
        let waits = conversation.work(self.loops, &mut self.desk, ending);
        if conversation.begins_to_beat() {
            let number = conversation.number();
            self.timers.set(PEER_TIMEOUT, Timer::Silence { key, number });
        }
        match waits {
            Waits::Read => {}
            Waits::Write(None) => {}
            Waits::Write(Some(stamp)) => {
                let reply_time_max = self.loops.driver.config.limits.reply_time_max;
                self.timers.set(reply_time_max, Timer::Write { key, stamp });
            }
            Waits::Close => {
                let stamp = conversation.stamp();
                self.timers.set(LINGER_WAIT, Timer::Close { key, stamp });
            }
            Waits::Turn => self.unfinished.push(key),
            Waits::Over(how) => self.end(key, how),
        }
    }

    /// Ends the conversation of a neighbour that must be gone.
    fn look_at(&mut self, key: usize, number: u64) {
        // What has come while this loop was busy counts.
        self.work(key, false);
        let loops = self.loops;
        match self.conversation(key) {
            Some(conversation) if conversation.number() == number => {
                let left = conversation.silence_left();
                if left > Duration::ZERO {
                    return self.timers.set(left, Timer::Silence { key, number });
                }
                loops.driver.member.peer_timed_out(conversation.remote());
                self.end(key, Err(io::ErrorKind::TimedOut.into()));
            }
            Some(_) | None => {}
        }
    }

    fn conversation(&mut self, key: usize) -> Option<&mut Conversation> {
        self.conversations.get_mut(key)?.as_mut()
    }

    fn end(&mut self, key: usize, how: io::Result<()>) {
        let Some(conversation) = self.conversations[key].take() else { return };
        conversation.remote().log_disconnected(&self.loops.driver.member.metrics, how.err().as_ref());
        drop(conversation);
        self.loops.left();
        self.free.push(key);
    }

    /// Lets the links look at what has come for them, and send what has changed in this turn.
    fn notify_links(&mut self) {
        let has_changes = std::mem::take(&mut self.desk.has_changes);
        if self.index > 0 {
            if has_changes {
                self.loops.driver.member.notifiers.notify(&self.loops.driver.member);
            }
        } else if self.loops.take_ring() || has_changes || self.links.has_more() {
            self.links.feed_all(self.poll.registry(), &mut self.timers);
        }
    }

    /// Takes the next step of stopping, if it is time.
    fn stop(&mut self) {
        if self.phase == Phase::Serving {
            if self.index == 0 {
                self.loops.driver.log_stopping();
            }
            self.phase = Phase::Finishing;
            self.doors.close();
            self.conversations.iter().flatten().for_each(Conversation::stop_reading);
            self.timers.set(FINISH_WAIT_MAX, Timer::Finish);
        }
        if self.phase == Phase::Finishing && self.is_finished() {
            self.loops.driver.member.places().stop();
            self.phase = if self.index == 0 { Phase::Draining } else { Phase::Over };
            self.links.feed_all(self.poll.registry(), &mut self.timers);
            self.timers.set(DRAIN_WAIT_MAX, Timer::Drain);
        }
        if self.phase == Phase::Draining && self.links.drain(&mut self.timers) {
            self.phase = Phase::Over;
        }
    }

    /// Whether the conversations that this loop must wait for are over: the first loop waits for everybody's.
    fn is_finished(&self) -> bool {
        match self.index {
            0 => self.loops.open.load(Ordering::Acquire) == 0,
            _ => self.free.len() == self.conversations.len(),
        }
    }

    /// Ends the conversations that should have ended by themselves by now.
    fn cut_conversations(&mut self) {
        let open = (0..self.conversations.len()).filter(|&key| self.conversations[key].is_some());
        let left: Vec<usize> = open.collect();
        if !left.is_empty() {
            self.loops.driver.log_cut("conversations", FINISH_WAIT_MAX);
        }
        left.into_iter().for_each(|key| self.end(key, Err(io::ErrorKind::TimedOut.into())));
    }
}
