//! The tree that updates take through the herd, as Plumtree builds it: which links carry lines, and which say only what
//! their server has.
//!
//! In the beginning every link is *eager*: it carries every line. A line that was known before it came shows a circle
//! of eager links. So its reader tells the sender to prune the link, and both make theirs to each other *lazy*. A lazy
//! link offers the hashes of what it would send. If its reader lacks some of them, it grafts the link, and both
//! directions are eager again. So pruning is a guess that costs a little delay where it was wrong, and never a line:
//! the cursor of a lazy link moves only when its reader has said that it knows what was offered.
//!
//! If two servers prune two links of one circle at once, the tree falls apart, and has to be grafted. So a server
//! prunes one link in a while, after a random number of late lines. Such a line comes only as long as there is a
//! circle.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::recent::RecentHashes;
use crate::proto::store::digest::record_hash;
use crate::proto::store::update::{MergeRule, Offered, Source, Update};

/// A link on which nothing is news is pruned within this many heartbeats, half of them on average. One on which a part
/// is news is pruned as much later.
const PRUNE_HEARTBEATS: u32 = 4;

/// A link that has carried more lines since its last heartbeat is not pruned: it catches up, or the herd is so busy
/// that offers would lag behind, and other ways too.
const PRUNE_LINES_MAX: u32 = 20_000;

/// Each graft doubles the time before a server prunes again, up to so many times: some links are better left eager,
/// because the ways around them differ in length by more than offers wait.
const CAUTION_MAX: u32 = 8;

/// The heartbeats of neighbours, without a graft among them, after which a server is less cautious again.
const CALM_HEARTBEATS: u32 = 64;

/// A link is grafted at once if one in so many of what it offers is unknown. With less, it is asked once more: what
/// was sent together with something newer is unknown too, and what is on its way.
const UNKNOWN_ONE_IN: usize = 8;

/// What a server knows of its links' part in the tree.
#[derive(Debug)]
pub struct Tree {
    /// By neighbour.
    edges: Vec<Edge>,
    /// What came of late; nothing with fewer than two neighbours, where no circle can be.
    recent: Option<RecentHashes>,
    /// The state of a simple generator of random numbers.
    random: u64,
    caution: u32,
    calm_heartbeats: u32,
}

/// The link with one neighbour, in both directions.
#[derive(Debug, Default)]
struct Edge {
    is_lazy: AtomicBool,
    /// Lines that it has sent since its last heartbeat.
    lines: u32,
    /// It is told to prune with the last of so many more late lines.
    prune_after: Option<u32>,
    /// Whether something of its last offer was unknown.
    has_missed: bool,
}

/// What a neighbour is told about its link to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that it offered up to this position is known. At 0, something is not, and may be on its way.
    Known(u64),
    /// It must send lines.
    Graft,
}

impl Tree {
    /// All links are eager. `seed` must differ between servers.
    pub(crate) fn new(neighbours: usize, seed: u64) -> Tree {
        let mut tree = Tree { edges: Vec::new(), recent: None, random: seed, caution: 0, calm_heartbeats: 0 };
        (0..neighbours).for_each(|_| tree.add_neighbour());
        tree
    }

    /// There is one more neighbour.
    pub(crate) fn add_neighbour(&mut self) {
        self.edges.push(Edge::default());
        if self.edges.len() > 1 {
            self.recent.get_or_insert_default();
        }
    }

    /// Whether our link to this neighbour is lazy.
    pub fn is_lazy(&self, neighbour: usize) -> bool {
        self.edges[neighbour].is_lazy.load(Ordering::Relaxed)
    }

    /// Makes our link to this neighbour lazy or eager, as the neighbour has said.
    pub(crate) fn set_lazy(&self, neighbour: usize, is_lazy: bool) {
        self.edges[neighbour].is_lazy.store(is_lazy, Ordering::Relaxed);
    }

    /// The neighbour has begun a new connection: nothing is known of what that will carry.
    pub(crate) fn begin(&mut self, neighbour: usize) {
        self.edges[neighbour] = Edge::default();
    }

    /// An update from this source was merged; what is stored of it has this hash.
    #[inline]
    pub(crate) fn merged(&mut self, source: Source, hash: u64) {
        let Some(recent) = &mut self.recent else { return };
        recent.insert(hash);
        if let Some(edge) = source.neighbour_index().and_then(|neighbour| self.edges.get_mut(neighbour)) {
            edge.lines = edge.lines.saturating_add(1);
        }
    }

    /// An update was outdated when it came. Whether the neighbour that has sent it must be told to prune its link.
    pub(crate) fn outdated(&mut self, update: &Update<'_>) -> bool {
        let (Some(neighbour), Some(recent)) = (update.meta.source.neighbour_index(), &mut self.recent) else {
            return false;
        };
        let Some(edge) = self.edges.get_mut(neighbour) else { return false };
        edge.lines = edge.lines.saturating_add(1);
        if edge.lines > PRUNE_LINES_MAX {
            // Such a link is not pruned, so the hash would be for nothing.
            return false;
        }
        if update.rule == MergeRule::LaterTime {
            // By that rule it may be greater than what is stored, and is not known then.
            return false;
        }
        let hash = record_hash(update.text());
        if !recent.contains(hash) {
            // Something greater is known of its client, and that came another way: this is no circle.
            recent.insert(hash);
            return false;
        }
        let Some(left) = &mut edge.prune_after else { return false };
        *left -= 1;
        if *left > 0 {
            return false;
        }
        self.set_lazy(neighbour, true);
        self.forget_what_is_late();
        true
    }

    /// The neighbour has sent a heartbeat. It may be told to prune its link if it understands that.
    pub(crate) fn heartbeat(&mut self, neighbour: usize, may_prune: bool) {
        self.calm_heartbeats += 1;
        if self.calm_heartbeats >= CALM_HEARTBEATS {
            self.calm_heartbeats = 0;
            self.caution = self.caution.saturating_sub(1);
        }
        let edge = &mut self.edges[neighbour];
        let lines = std::mem::take(&mut edge.lines);
        if lines > PRUNE_LINES_MAX {
            edge.prune_after = None;
        } else if may_prune && lines > 0 {
            let most = u64::from(PRUNE_HEARTBEATS * lines) << self.caution;
            let after = 1 + self.random(most);
            self.edges[neighbour].prune_after = Some(after.try_into().unwrap_or(u32::MAX));
        }
    }

    /// What a neighbour is told that offers this, when everything before it is merged.
    pub(crate) fn offered(&mut self, offered: &Offered) -> Verdict {
        let Offered { neighbour, position, hashes } = offered;
        let is_unknown = |hash: &&u64| !self.recent.as_ref().is_some_and(|recent| recent.contains(**hash));
        let unknown = hashes.iter().filter(is_unknown).count();
        let edge = &mut self.edges[*neighbour];
        let has_missed = std::mem::replace(&mut edge.has_missed, unknown > 0);
        if unknown == 0 {
            return Verdict::Known(*position);
        }
        if !has_missed && unknown * UNKNOWN_ONE_IN < hashes.len() {
            return Verdict::Known(0);
        }
        edge.has_missed = false;
        self.set_lazy(*neighbour, false);
        self.forget_what_is_late();
        self.caution = (self.caution + 1).min(CAUTION_MAX);
        self.calm_heartbeats = 0;
        Verdict::Graft
    }

    /// The tree has changed: late lines of other links may be of the one before.
    fn forget_what_is_late(&mut self) {
        for edge in &mut self.edges {
            (edge.lines, edge.prune_after) = (0, None);
        }
    }

    /// A random number below `most`, by splitmix64.
    fn random(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}
