//! The scenario in which what is recorded is kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::model::scope;
use super::scenarios::CLIENTS;
use super::stage::Stage;
use crate::proto::batch::Batch;
use crate::proto::framing::Line;
use crate::proto::session::{Session, Step};
use crate::server::Server;
use crate::server::clock;
use crate::server::commits::Mark;
use crate::server::keeper::rewrite;
use crate::server::shared::Shared;

/// Where the model's journals are: in memory, for each schedule has one of its own.
const MEMORY: &str = "/dev/shm";

/// Conversations commit while the journal is written anew and its disk fails and heals. Whoever is acknowledged stands
/// in a file by then, and links may know of nobody else.
pub(super) fn commits(stage: &Stage) {
    let dir = if Path::new(MEMORY).is_dir() { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() };
    let dir = dir.unwrap();
    let Server { shared, .. } = stage.server_that_keeps("Alford", dir.path());
    let (shared, commits) = (&shared, shared.commits.as_ref().unwrap());
    let is_kept = |client: &str| {
        let line = format!(" {client} +34.068930-118.445127 ");
        let files = fs::read_dir(dir.path()).unwrap().map(|file| fs::read(file.unwrap().path()));
        files.flatten().any(|bytes| memchr::memmem::find(&bytes, line.as_bytes()).is_some())
    };
    scope(|scope| {
        let is_kept = &is_kept;
        for clients in CLIENTS {
            scope.spawn(move || {
                for client in clients {
                    let mark = settle(shared, client);
                    if commits.commit(mark).is_ok() {
                        assert!(is_kept(client), "{client} was acknowledged");
                    }
                }
            });
        }
        scope.spawn(move || {
            rewrite(shared, commits, false).unwrap();
            commits.is_disk_broken.store(true, Ordering::Relaxed);
            let mark = settle(shared, "e");
            let is_noticed = commits.commit(mark).is_err();
            commits.is_disk_broken.store(false, Ordering::Relaxed);
            // Others may have done it before.
            if is_noticed {
                rewrite(shared, commits, true).unwrap();
            }
        });
    });
    if commits.failure().is_some() {
        rewrite(shared, commits, true).unwrap();
    }
    assert!(commits.commit(commits.mark()).is_ok());
    assert!(CLIENTS.iter().copied().flatten().chain(&["e"]).all(|client| is_kept(client)));
    assert_eq!(commits.kept_number(), shared.node.read().store().last_number());
}

/// Settles a report without a conversation around it.
fn settle(shared: &Shared, client: &str) -> Mark {
    let (mut session, mut batch) = (Session::client(Arc::clone(&shared.me)), Batch::breakable());
    let line = format!("IAMAT {client} +34.068930-118.445127 1621464827.959498503");
    let step = session.line(Line::Whole(line.as_bytes()), clock::now(), &mut batch);
    assert_eq!(step, Step::Next);
    let (_, mark) = shared.commits.as_ref().unwrap().settle(&shared.node, &mut batch);
    mark
}
