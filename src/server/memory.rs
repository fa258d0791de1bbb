//! What a server knows when it starts: what its journal has kept, if it has one.

use std::sync::Arc;
use std::time::Duration;

use super::commits::Commits;
use super::{ServeError, chance, clock};
use crate::config::{Config, Durability};
use crate::journal::Journal;
use crate::proto::node::{Identity, Node};

/// How often a long recovery says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What a server starts with.
pub(super) struct Recovered {
    pub(super) me: Arc<Identity>,
    pub(super) node: Node,
    pub(super) commits: Option<Commits>,
    /// Whether something of the journal was damaged, so that it must be written anew.
    pub(super) must_rewrite: bool,
}

/// Recovers what the journal has kept, or begins with nothing.
///
/// # Errors
/// If there are no random numbers, or the journal cannot be used.
pub(super) fn recover(config: &Config) -> Result<Recovered, ServeError> {
    let fresh = chance::epoch().map_err(ServeError::Random)?;
    let options = &config.journal;
    let is_synced = match options.durability {
        Durability::None => {
            let me = Arc::new(config.identity(fresh));
            return Ok(Recovered {
                node: Node::new(Arc::clone(&me)),
                me,
                commits: None,
                must_rewrite: false,
            });
        }
        Durability::Os => false,
        Durability::Sync => true,
    };
    let mut say_at = clock::deadline(PROGRESS_EVERY);
    let mut progress = |read, all: u64| {
        if clock::instant() >= say_at {
            say_at = clock::deadline(PROGRESS_EVERY);
            log::info!("recovering: {} % of {} MiB", read * 100 / all.max(1), all >> 20);
        }
    };
    let opened = Journal::open(&options.dir, &config.name, is_synced, fresh, &mut progress);
    let opened = opened.map_err(ServeError::Journal)?;
    let must_rewrite = opened.found.needs_rewrite();
    let level = if must_rewrite { log::Level::Warn } else { log::Level::Info };
    log::log!(level, "journal in {}: {}", options.dir.display(), opened.found);
    let me = Arc::new(config.identity(opened.epoch));
    let node = Node::remembering(Arc::clone(&me), opened.memory);
    let commits = Commits::new(opened.journal, options, node.store().last_seq());
    if let Some(error) = &opened.no_room {
        commits.fail(error);
    }
    Ok(Recovered { me, node, commits: Some(commits), must_rewrite })
}
