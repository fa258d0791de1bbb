//! The scenario in which what is recorded is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::model::scope;
use super::scenarios::CLIENTS;
use super::stage::Stage;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::session::{Session, Step};
use crate::server::Server;
use crate::os::clock;
use crate::server::commits::Mark;
use crate::server::rewriting::rewrite;
use crate::server::shared::Shared;

/// Where the model's journals are: in memory, for each schedule has one of its own.
const MEMORY: &str = "/dev/shm";

/// Conversations commit while the journal is written anew and its disk fails and heals. Whoever is acknowledged stands
/// in a file by then that a start believes, and stays there, whatever overtakes it.
pub(super) fn commits(stage: &Stage) {
    let dir = if Path::new(MEMORY).is_dir() { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() };
    let dir = dir.unwrap();
    let Server { shared, .. } = stage.server_that_keeps("Alford", dir.path());
    let (shared, commits) = (&shared, shared.commits.as_ref().unwrap());
    let is_kept = |client: &str| {
        let line = format!(" {client} +34.068930-118.445127 ");
        let files = believed(dir.path()).into_iter().map(fs::read);
        files.flatten().any(|bytes| memchr::memmem::find(&bytes, line.as_bytes()).is_some())
    };
    scope(|scope| {
        let is_kept = &is_kept;
        for clients in CLIENTS {
            scope.spawn(move || {
                let mut acknowledged: Vec<&str> = Vec::new();
                for client in clients {
                    let mark = settle(shared, client, 1);
                    // What one of the others reported may be overtaken by what nobody has committed yet.
                    settle(shared, CLIENTS[0][0], 2);
                    acknowledged.extend(commits.commit(mark).is_ok().then_some(*client));
                    for client in &acknowledged {
                        assert!(is_kept(client), "{client} was acknowledged");
                    }
                }
            });
        }
        scope.spawn(move || {
            rewrite(shared, commits, false).unwrap();
            commits.is_disk_broken.store(true, Ordering::Relaxed);
            let mark = settle(shared, "e", 1);
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
    assert_eq!(commits.kept_number(), shared.node.read().store().last_seq());
}

/// The files that a start would believe: all from the last snapshot on.
fn believed(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut numbered: Vec<(String, bool, PathBuf)> = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let number = name.strip_suffix(".log").and_then(|name| name.split_once('-'));
        if let Some((kind, number)) = number {
            numbered.push((number.to_owned(), kind == "snapshot", path));
        }
    }
    let snapshots = numbered.iter().filter(|(_, is_snapshot, _)| *is_snapshot);
    let first = snapshots.map(|(number, ..)| number.clone()).max().unwrap_or_default();
    numbered.into_iter().filter(|(number, ..)| *number >= first).map(|(.., path)| path).collect()
}

/// Settles a report of this time without a conversation around it.
fn settle(shared: &Shared, client: &str, time: u32) -> Mark {
    let (mut session, mut batch) = (Session::client(Arc::clone(&shared.me)), Batch::breakable());
    let line = format!("IAMAT {client} +34.068930-118.445127 {time}");
    let step = session.line(Line::Whole(line.as_bytes()), clock::now(), &mut batch);
    assert_eq!(step, Step::Next);
    let (_, mark) = shared.commits.as_ref().unwrap().settle(&shared.node, &mut batch);
    mark
}
