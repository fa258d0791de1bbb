//! What servers remember: after a stop, after a failure of the disk, and what they say while nothing can be kept.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::harness::{FailingDisk, Talk, TestServer, catalogue, config, eventually, herd};
use crate::config::{Config, Durability, Herd, JournalOptions};
use crate::journal::{Disk, RealDisk};
use crate::os::mapping::Mapping;

const BOTH: [Durability; 2] = [Durability::Os, Durability::Sync];

fn kept(herd: &Herd, name: &str, durability: Durability, dir: &Path) -> Config {
    let journal = JournalOptions { durability, dir: dir.to_owned() };
    Config { journal, ..config(herd, name) }
}

fn start(config: &Config) -> TestServer {
    TestServer::with(config, catalogue())
}

/// The `AT` line of an answer; nothing if the client is not known.
fn seen(talk: &mut Talk, client: &str) -> Option<String> {
    let line = talk.ask(&format!("WHATSAT {client} 1 1"));
    line.starts_with("AT ").then(|| {
        talk.json();
        line
    })
}

#[test]
fn a_server_that_comes_back_knows_what_it_knew_and_goes_on() {
    for durability in BOTH {
        let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
        // It is made with all that leads to it.
        let config = kept(&alone, "Alford", durability, &folder.path().join("a/b"));
        let mut expected: Vec<(String, String)> = Vec::new();
        for life in 1..=3 {
            let server = start(&config);
            let mut talk = server.client();
            for (client, line) in &expected {
                assert_eq!(seen(&mut talk, client).as_ref(), Some(line), "{durability:?}, life {life}");
            }
            let reply = talk.ask(&format!("IAMAT client-{life} +34.068930-118.445127 {life}"));
            expected.push((format!("client-{life}"), reply));
            // What is known is no news in another life either.
            let stale = talk.ask("IAMAT client-1 +1-1 0.5");
            assert!(stale.ends_with(" client-1 +1-1 0.5"), "{stale}");
            assert_eq!(server.clients_known(), expected.len());
            server.stop();
        }
    }
}

#[test]
fn without_durability_nothing_is_written_and_nothing_is_remembered() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let dir = folder.path().join("data");
    let config = kept(&alone, "Alford", Durability::None, &dir);
    let server = start(&config);
    server.client().ask("IAMAT kiwi +1-1 1");
    server.stop();
    assert!(!dir.exists());
    assert_eq!(seen(&mut start(&config).client(), "kiwi"), None);
}

#[test]
fn two_servers_cannot_have_one_folder() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let config = kept(&alone, "Alford", Durability::Os, folder.path());
    let _first = start(&config);
    let other = herd(&["Alford"], &[], true);
    let refused =
        crate::server::Server::bind(&kept(&other, "Alford", Durability::Os, folder.path()), catalogue());
    let why = refused.err().unwrap().to_string();
    assert!(why.contains(&folder.path().display().to_string()), "{why}");
}

#[test]
fn what_cannot_be_kept_is_not_acknowledged_and_not_told_and_all_is_well_again_by_itself() {
    for durability in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let pair = herd(&["Alford", "Parker"], &[("Alford", "Parker")], true);
        let of = |name: &str| kept(&pair, name, durability, &folder.path().join(name));
        let disk = Arc::new(FailingDisk::default());
        let alford = TestServer::on(Arc::clone(&disk) as Arc<dyn Disk>, &of("Alford"), catalogue());
        let parker = start(&of("Parker"));
        let mut talk = alford.client();
        let before = talk.ask("IAMAT before +1-1 1");
        let mut far = parker.client();
        eventually("Parker knows of it", || seen(&mut far, "before"));
        disk.fails.store(true, Ordering::Relaxed);
        let broken = eventually("Alford has noticed", || {
            Some(talk.ask("IAMAT kiwi +2-2 2")).filter(|reply| reply.starts_with('?'))
        });
        assert_eq!(broken, "? cannot be kept now (input/output error), try again later: IAMAT kiwi +2-2 2");
        // A retry is no news, and as little kept.
        assert_eq!(talk.ask("IAMAT kiwi +2-2 2"), broken);
        talk.send("x\nIAMAT lime +3-3 3\nWHATSAT before 1 1\n");
        assert_eq!(talk.line(), "? x");
        assert!(talk.line().ends_with(": IAMAT lime +3-3 3"));
        assert_eq!(talk.line(), before);
        talk.json();
        // What comes from elsewhere is known here all the same.
        let from_far = far.ask("IAMAT far +4-4 4");
        eventually("Alford knows what Parker has kept", || {
            seen(&mut talk, "far").filter(|line| *line == from_far)
        });
        assert_eq!(seen(&mut far, "kiwi"), None);

        disk.fails.store(false, Ordering::Relaxed);
        let kept = eventually("Alford keeps things again", || {
            Some(talk.ask("IAMAT kiwi +2-2 2")).filter(|reply| reply.starts_with("AT "))
        });
        for client in ["kiwi", "lime"] {
            eventually("Parker is told of it", || seen(&mut far, client));
        }
        alford.stop();
        let alford = start(&of("Alford"));
        let mut talk = alford.client();
        for client in ["before", "kiwi", "lime", "far"] {
            assert!(seen(&mut talk, client).is_some(), "{client}");
        }
        assert!(kept.ends_with(" kiwi +2-2 2"), "{kept}");
    }
}

/// A disk that waits before some of the writes to snapshots, and fails in all others while it is told to.
#[derive(Debug)]
struct StagedDisk {
    fails: AtomicBool,
    snapshot_writes: AtomicUsize,
    reached: Sender<()>,
    go_on: Receiver<()>,
}

/// Of a mending: its heading, behind which what is new goes to new files; its end, behind which it gets its name; and
/// the heading of the next attempt. The second is that of what is stored.
const STAGES: [usize; 3] = [0, 2, 3];

impl Disk for StagedDisk {
    fn map(&self, _: &Path, _: usize) -> io::Result<Mapping> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if name.to_str().unwrap().contains("/snapshot-") {
            if STAGES.contains(&self.snapshot_writes.fetch_add(1, Ordering::Relaxed)) {
                self.reached.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
        } else if self.fails.load(Ordering::Relaxed) {
            return Err(rustix::io::Errno::IO.into());
        }
        RealDisk.write(file, offset, bytes)
    }
}

#[test]
fn what_was_acknowledged_survives_a_mending_that_fails_behind_its_snapshot() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let of = |name: &str| kept(&alone, "Alford", Durability::Os, &folder.path().join(name));
    let ((reached, stage), (go, go_on)) = (bounded(0), bounded(0));
    let disk = StagedDisk { fails: false.into(), snapshot_writes: 0.into(), reached, go_on };
    let disk = Arc::new(disk);
    let server = TestServer::on(Arc::clone(&disk) as Arc<dyn Disk>, &of("journal"), catalogue());
    let mut talk = server.client();
    assert!(talk.ask("IAMAT kiwi +1+1 1").starts_with("AT "));
    let mut fail = |client: &str| {
        disk.fails.store(true, Ordering::Relaxed);
        assert!(talk.ask(&format!("IAMAT {client} +1+1 1")).starts_with("? cannot be kept"));
        disk.fails.store(false, Ordering::Relaxed);
    };
    fail("lime");
    stage.recv().unwrap();
    // The snapshot has neither where it was, which is in the old files, nor this.
    assert!(server.client().ask("IAMAT kiwi +2+2 2").starts_with("? cannot be kept"));
    go.send(()).unwrap();
    stage.recv().unwrap();
    fail("lemon");
    go.send(()).unwrap();
    stage.recv().unwrap();
    copy_files(&folder.path().join("journal"), &folder.path().join("killed"));
    go.send(()).unwrap();
    server.stop();
    for life in 1..=2 {
        let again = start(&of("killed"));
        assert!(seen(&mut again.client(), "kiwi").is_some(), "life {life}");
        again.stop();
    }
}

/// What a server would leave behind if it were killed now.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
        if file.file_type().is_ok_and(|kind| kind.is_file()) && file.file_name() != "lock" {
            match fs::copy(file.path(), to.join(file.file_name())) {
                // An attempt to mend the journal comes and goes meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}

#[test]
fn what_was_flushed_survives_a_kill_and_a_stop_leaves_no_room() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let of = |name: &str| kept(&alone, "Alford", Durability::Sync, &folder.path().join(name));
    let server = start(&of("journal"));
    let mut talk = server.client();
    let clients: Vec<String> = (0..20).map(|at| format!("client-{at}")).collect();
    for client in &clients {
        assert!(talk.ask(&format!("IAMAT {client} +1+1 1")).starts_with("AT "));
    }
    copy_files(&folder.path().join("journal"), &folder.path().join("killed"));
    server.stop();
    let last_bytes = |name: &str| -> Vec<Option<u8>> {
        let files = fs::read_dir(folder.path().join(name)).unwrap().map(|file| file.unwrap().path());
        let journals = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
        journals.map(|path| fs::read(path).unwrap().last().copied()).collect()
    };
    assert_eq!(last_bytes("killed"), [Some(0)], "there is room");
    for name in ["killed", "journal"] {
        for life in 1..=2 {
            let again = start(&of(name));
            let mut talk = again.client();
            for client in &clients {
                assert!(seen(&mut talk, client).is_some(), "{name}, life {life}: {client}");
            }
            again.stop();
            assert!(last_bytes(name).iter().all(|&byte| byte == Some(b'Z')), "{name}, life {life}");
        }
    }
}

#[test]
fn what_was_acknowledged_from_a_buffer_survives_a_disk_that_fails_and_a_kill_meanwhile() {
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let of = |name: &str| kept(&alone, "Alford", Durability::Os, &folder.path().join(name));
    let disk = Arc::new(FailingDisk { maps: true, ..FailingDisk::default() });
    let server = TestServer::on(Arc::clone(&disk) as Arc<dyn Disk>, &of("journal"), catalogue());
    let mut talk = server.client();
    assert!(talk.ask("IAMAT kiwi +1+1 1").starts_with("AT "));
    disk.fails.store(true, Ordering::Relaxed);
    // They are acknowledged until the first of them is to reach the file.
    let mut acknowledged = vec!["kiwi".to_owned()];
    let refused = eventually("the failure is noticed", || {
        let client = format!("client-{}", acknowledged.len());
        let reply = talk.ask(&format!("IAMAT {client} +1+1 1"));
        if reply.starts_with("? cannot be kept now (input/output error)") {
            return Some(client);
        }
        assert!(reply.starts_with("AT "), "{reply}");
        acknowledged.push(client);
        None
    });
    copy_files(&folder.path().join("journal"), &folder.path().join("killed"));
    disk.fails.store(false, Ordering::Relaxed);
    eventually("it is kept now", || {
        talk.ask(&format!("IAMAT {refused} +1+1 1")).strip_prefix("AT ").map(drop)
    });
    server.stop();
    for name in ["killed", "journal"] {
        for life in 1..=2 {
            let again = start(&of(name));
            let mut talk = again.client();
            for client in &acknowledged {
                assert!(seen(&mut talk, client).is_some(), "{name}, life {life}: {client}");
            }
            again.stop();
        }
        let files = fs::read_dir(folder.path().join(name)).unwrap().map(|file| file.unwrap().file_name());
        let buffers: Vec<_> = files.filter(|file| file.to_str().unwrap().ends_with(".buffer")).collect();
        assert_eq!(buffers, Vec::<std::ffi::OsString>::new(), "a stop leaves none");
    }
}

#[test]
fn a_journal_does_not_grow_for_ever_and_loses_nothing_when_it_is_made_smaller() {
    const ROUNDS: usize = 700_000;
    let (folder, alone) = (tempfile::tempdir().unwrap(), herd(&["Alford"], &[], true));
    let config = kept(&alone, "Alford", Durability::Os, folder.path());
    let server = start(&config);
    let mut talk = server.client();
    let first = talk.ask("IAMAT first +1-1 1");
    for round in (0..ROUNDS).step_by(1000) {
        let report =
            |time: usize| format!("IAMAT kiwi +34.068930-118.445127 {}.959498503\n", 1_621_464_827 + time);
        talk.send((round..round + 1000).map(report).collect::<String>());
        (0..1000).for_each(|_| assert!(talk.line().starts_with("AT ")));
    }
    let bytes = || -> u64 {
        fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().map_or(0, |file| file.len()))
            .sum()
    };
    // It has taken in 70 MB by now.
    eventually("the journal is small again", || (bytes() < 40 << 20).then_some(()));
    server.stop();
    let server = start(&config);
    let mut talk = server.client();
    assert_eq!(seen(&mut talk, "first"), Some(first));
    let last = seen(&mut talk, "kiwi").unwrap();
    assert!(last.ends_with(&format!(" {}.959498503", 1_621_464_827 + ROUNDS - 1)), "{last}");
}
