//! The scenario in which applied reports are made durable.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::model::scope;
use super::scenarios::CLIENTS;
use super::stage::Stage;
use crate::config::Durability;
use crate::member::Member;
use crate::member::checkpoint::checkpoint;
use crate::member::group_commit::Lsn;
use crate::member::turn::Host;
use crate::os::clock;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::session::{Session, Step};
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::Source;
use crate::tests::harness::FailingDisk;

/// Where the model's journals are: in memory, because each schedule has one of its own.
const MEMORY: &str = "/dev/shm";

/// See [`commit`]: one thread writes for all.
pub(super) fn commits(stage: &Stage) {
    commit(stage, Durability::Sync);
}

/// See [`commit`]: each thread writes what it has merged in a lane.
pub(super) fn commits_in_lanes(stage: &Stage) {
    commit(stage, Durability::Os);
}

/// Conversations commit while a checkpoint is written and the disk fails and heals. An acknowledged report stands in a
/// file by then that a start believes, and stays there, whatever supersedes it; and so does what followers are told.
fn commit(stage: &Stage, durability: Durability) {
    let dir = if Path::new(MEMORY).is_dir() { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() };
    let (dir, disk) = (dir.unwrap(), Arc::new(FailingDisk::default()));
    let member = &stage.durable_member("Alford", durability, dir.path(), Arc::<FailingDisk>::clone(&disk));
    let wal = member.wal().unwrap();
    let is_written = |line: &[u8]| {
        let files = believed(dir.path()).into_iter().map(fs::read);
        files.flatten().any(|bytes| memchr::memmem::find(&bytes, line).is_some())
    };
    let is_durable = |client: &str| is_written(format!(" {client} +34.068930-118.445127 ").as_bytes());
    let follow = || {
        let (durable_seq, mut told) = (wal.durable_seq(), Vec::new());
        let push = |_, line: &[u8]| told.push(line.to_vec());
        let _ = member.read(|node| Cursor::new(0, Source::NONE).scan(node.store(), durable_seq, 64, push));
        for line in told {
            let client = line.split(|&byte| byte == b' ').nth(3).unwrap();
            // A checkpoint may have removed it, if it was superseded meanwhile.
            let is_current = || member.read(|node| node.store().stored_line_of(client) == Some(&*line));
            assert!(is_written(&line) || !is_current(), "{:?} was told", String::from_utf8_lossy(&line));
        }
    };
    scope(|scope| {
        let (is_written, is_durable, follow) = (&is_written, &is_durable, &follow);
        for clients in CLIENTS {
            scope.spawn(move || {
                let mut acknowledged: Vec<&str> = Vec::new();
                for client in clients {
                    let lsn = apply(member, client, 1);
                    // A report of another thread may be superseded by this one, which no commit covers yet.
                    let again = apply(member, CLIENTS[0][0], 2);
                    acknowledged.extend(wal.commit(lsn).is_ok().then_some(*client));
                    // The other thread may have merged the same, and not have written it yet.
                    if wal.commit(again).is_ok() {
                        let line = format!(" {} +34.068930-118.445127 2\n", CLIENTS[0][0]);
                        assert!(is_written(line.as_bytes()), "what is outdated was acknowledged");
                    }
                    for client in &acknowledged {
                        assert!(is_durable(client), "{client} was acknowledged");
                    }
                    follow();
                }
            });
        }
        scope.spawn(move || {
            checkpoint(member, wal, false).unwrap();
            disk.fails.store(true, Ordering::Relaxed);
            let lsn = apply(member, "e", 1);
            let is_noticed = wal.commit(lsn).is_err();
            disk.fails.store(false, Ordering::Relaxed);
            // Others may have written it before.
            if is_noticed {
                checkpoint(member, wal, true).unwrap();
            }
        });
    });
    if wal.failure().is_some() {
        checkpoint(member, wal, true).unwrap();
    }
    assert!(wal.commit(wal.lsn()).is_ok());
    assert!(CLIENTS.iter().copied().flatten().chain(&["e"]).all(|client| is_durable(client)));
    assert_eq!(wal.durable_seq(), member.read(|node| node.store().last_seq()));
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

/// Applies a report of this time without a conversation around it.
fn apply(member: &Member, client: &str, time: u32) -> Lsn {
    let (mut session, mut batch) = (Session::client(Arc::clone(&member.me)), Batch::durable());
    let line = format!("IAMAT {client} +34.068930-118.445127 {time}");
    let step = session.line(Line::Whole(line.as_bytes()), clock::now(), &mut batch);
    assert_eq!(step, Step::Next);
    let (_, lsn) = Host::apply(member, &mut batch);
    lsn
}
