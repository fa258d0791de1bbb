//! The environment of the servers of a simulated herd: options, time, network and history.

use std::time::Duration;

use super::disk::Durability;
use super::event::End;
use super::graph::Graph;
use super::history::History;
use super::network::Network;
use super::timeline::Timeline;

/// The options by which two worlds of one seed and graph may differ.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a neighbour that returns is sent what it missed.
    pub catch_up: bool,
    /// Whether updates take a tree through the herd. Without it every link carries every line.
    pub has_tree: bool,
    /// Whether it is a herd of fast servers near each other: no server is slow, and no link either.
    pub is_near: bool,
    /// Whether links have heartbeats. Without them a herd of ten thousand is at rest when nothing happens.
    pub heartbeats: bool,
    /// Whether the part that has changed something sends it at once where that can be, as the threads of a server do.
    /// Without it senders always are woken.
    pub at_once: bool,
    /// What its servers make durable, and when.
    pub durability: Durability,
    /// A client is dropped when it has not reported for this long.
    pub expire_after: Option<Duration>,
    /// How far a client's clock may be ahead.
    pub clock_lead_max: Option<Duration>,
    /// What a server's clock may be wrong by; `None` for a minute as a rule, and now and then a day.
    pub clock_error_max: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            catch_up: true,
            has_tree: true,
            is_near: false,
            heartbeats: true,
            at_once: false,
            durability: Durability::None,
            expire_after: None,
            clock_lead_max: None,
            clock_error_max: None,
        }
    }
}

/// Everything that a server uses and changes besides itself.
#[derive(Debug)]
pub(super) struct Environment {
    pub options: Options,
    pub graph: Graph,
    pub timeline: Timeline,
    pub network: Network,
    pub history: History,
}

impl Environment {
    /// Puts bytes of a connection on their way.
    pub(super) fn transmit(&mut self, conn: usize, to: End, bytes: &[u8]) {
        self.network.transmit(&mut self.timeline, conn, to, bytes);
    }

    /// The time by which links measure silence: it leaves out what was skipped.
    pub(super) fn ticks(&self) -> Duration {
        if self.options.heartbeats {
            Duration::from_nanos(self.timeline.now_ns - self.timeline.skipped_ns)
        } else {
            Duration::ZERO
        }
    }
}
