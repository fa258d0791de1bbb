//! What a member knows when it starts: what its journal has kept, if it has one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::group_commit::GroupCommit;
use super::lanes::LANES;
use crate::config::{Config, Durability};
use crate::journal::{Disk, Journal, Layout, OpenError};
use crate::logging::Escaped;
use crate::os::{clock, random};
use crate::proto::node::{Identity, Node};

/// How often a long recovery says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What a member starts with.
#[derive(Debug)]
pub struct Start {
    /// What never changes while it runs.
    pub me: Arc<Identity>,
    /// What it knows.
    pub node: Node,
    /// Its journal, if it has one.
    pub wal: Option<GroupCommit>,
    /// Whether something of the journal was damaged, so that a checkpoint must replace it.
    pub must_checkpoint: bool,
}

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(OpenError),
    /// The epoch of its memory needs a random number.
    #[error("the operating system has no random numbers to give: {0}")]
    Random(io::Error),
}

/// Begins with nothing, and keeps nothing.
///
/// # Errors
/// If there are no random numbers.
pub fn start_without_journal(config: &Config) -> Result<Start, StartError> {
    let me = Arc::new(config.identity(random::epoch().map_err(StartError::Random)?));
    Ok(Start { node: Node::new(Arc::clone(&me)), me, wal: None, must_checkpoint: false })
}

/// Recovers what the journal has kept, or begins with nothing.
///
/// # Errors
/// If there are no random numbers, or the journal cannot be used.
pub fn start(config: &Config, disk: Arc<dyn Disk>) -> Result<Start, StartError> {
    let options = &config.journal;
    let is_synced = match options.durability {
        Durability::None => return start_without_journal(config),
        Durability::Os => false,
        Durability::Sync => true,
    };
    let fresh = random::epoch().map_err(StartError::Random)?;
    let mut report_at = clock::deadline(PROGRESS_EVERY);
    let mut progress = |read, all: u64| {
        if clock::instant() >= report_at {
            report_at = clock::deadline(PROGRESS_EVERY);
            log::info!("recovering: {} % of {} MiB", read * 100 / all.max(1), all >> 20);
        }
    };
    let layout = Layout { is_synced, lanes: if is_synced { 1 } else { LANES } };
    let opened = Journal::open(&options.dir, &config.name, layout, fresh, disk, &mut progress);
    let opened = opened.map_err(StartError::Journal)?;
    let must_checkpoint = opened.found.needs_rewrite();
    let level = if must_checkpoint { log::Level::Warn } else { log::Level::Info };
    log::log!(level, "journal in {}: {}", options.dir.display(), opened.found);
    if let Some(name) = &opened.found.foreign {
        log::warn!(
            "the data directory {} has files that are not a server's, such as {}: is it the right one? --data-dir \
             names another",
            options.dir.display(),
            Escaped(name.as_bytes())
        );
    }
    if let Some(why) = &opened.unbuffered {
        log::info!("each commit of the journal takes a call of the system, for it has no log buffers: {why}");
    }
    let me = Arc::new(config.identity(opened.epoch));
    let node = Node::from_recovered(Arc::clone(&me), opened.memory).with_positions_recorded(is_synced);
    let wal = GroupCommit::new(opened.journal, opened.lanes, is_synced, node.store().last_seq());
    if let Some(error) = &opened.no_room {
        wal.fail(error);
    }
    Ok(Start { me, node, wal: Some(wal), must_checkpoint })
}
