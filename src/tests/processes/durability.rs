//! A data directory that is of no use, and one on a disk that runs full.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use crate::real::{RealHerd, ask, eventually, line, note};
use crate::transcripts::run::Talk as _;

/// The disk that runs full.
const DISK_BYTES: usize = 2 << 20;

/// A disk of its own, in memory. It is taken away when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where that is not permitted.
    fn mount(at: &Path) -> Option<Disk> {
        if !geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Disk(at.to_owned()))
    }

    /// Whether it could be made read-only, or writable again.
    fn remount(&self, how: &str) -> bool {
        let done =
            Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).output().unwrap();
        done.status.success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, for a server may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The files of a folder with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Starts a server that cannot start; returns what it says.
fn refused(herd: &mut RealHerd, server: &str) -> String {
    herd.spawn(server);
    let (status, _) = herd.ended(server);
    let complaints = herd.complaints(server);
    assert_eq!((status.code(), complaints.lines().count()), (Some(2), 1), "{complaints}");
    complaints
}

#[test]
fn a_data_directory_that_is_of_no_use_is_one_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let dir = path.to_str().unwrap();
    let pair = [("Alford", "Bolden")];
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &pair, &["--data-dir", dir, "--durability", "sync"]);

    fs::write(&path, "mine").unwrap();
    let says = refused(&mut herd, "Alford");
    let expected =
        format!("proxyherd: the data directory {dir} is not a directory: choose another with --data-dir\n");
    assert_eq!(says, expected);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    let file = path.join("journal-0000000001.log");
    for (bytes, sentence) in [
        (&b"shopping list\n"[..], "is not a journal: move it away"),
        (b"proxyherd journal 77\n\x01", "is a journal in another format (\"77\")"),
    ] {
        fs::write(&file, bytes).unwrap();
        let says = refused(&mut herd, "Alford");
        assert!(says.contains(sentence) && says.contains(file.to_str().unwrap()), "{says}");
        assert_eq!(files(&path), [(file.clone(), bytes.to_vec())].into());
    }
    fs::remove_file(&file).unwrap();

    herd.start_one("Alford");
    ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1");
    let before = files(&path);
    // Whose it is matters more than whether it is in use.
    let says = refused(&mut herd, "Bolden");
    assert!(
        says.contains("is the journal of Alford, not of Bolden: choose another with --data-dir"),
        "{says}"
    );
    assert_eq!(files(&path), before);
    herd.kill_one("Alford");
    assert_eq!(refused(&mut herd, "Bolden"), says);
    assert_eq!(files(&path), before);

    let lock = fs::File::open(path.join("lock")).unwrap();
    lock.lock().unwrap();
    let says = refused(&mut herd, "Alford");
    let expected = format!("proxyherd: the data directory {dir} is in use by another server: ");
    assert!(says.starts_with(&expected), "{says}");
    assert_eq!(files(&path), before);
    drop(lock);
    herd.start_one("Alford");
    let known = herd.answers("Alford", &["kiwi".to_owned()]);
    assert!(known[0].ends_with(" kiwi +1+1 1"), "{known:?}");
}

/// What a server is told: by client, the last line that was acknowledged.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<String, String>,
    time: u64,
}

impl Told {
    /// Reports again and again, until a report is answered like this.
    fn until(&mut self, herd: &RealHerd, what: &str, mut is_it: impl FnMut(&str) -> bool) -> String {
        let mut talk = herd.client("Alford");
        eventually(what, || {
            let batch: Vec<String> = (0..100)
                .map(|at| {
                    self.time += 1;
                    format!("IAMAT client-{at} +34.068930-118.445127 {}", self.time)
                })
                .collect();
            talk.send((batch.join("\n") + "\n").as_bytes()).unwrap();
            let replies: Vec<String> = batch.iter().map(|_| line(&mut talk)).collect();
            for (at, reply) in replies.iter().enumerate() {
                if reply.starts_with("AT ") {
                    self.acknowledged.insert(format!("client-{at}"), reply.clone());
                } else {
                    assert!(
                        reply.starts_with("? cannot be kept now (") && reply.ends_with(&batch[at]),
                        "{reply}"
                    );
                }
            }
            replies.into_iter().find(|reply| is_it(reply))
        })
    }

    /// A server knows all that was acknowledged, or something later that was not.
    fn check(&self, herd: &RealHerd) {
        let clients: Vec<String> = self.acknowledged.keys().cloned().collect();
        let time = |line: &str| line.rsplit(' ').next().and_then(|time| time.parse::<u64>().ok());
        assert_eq!(clients.len(), 100);
        for (answer, told) in herd.answers("Alford", &clients).iter().zip(self.acknowledged.values()) {
            assert!(answer.starts_with("AT ") && time(answer) >= time(told), "{told} is lost: {answer}");
        }
    }
}

#[test]
fn a_disk_that_runs_full_is_said_and_mended_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    for durability in ["os", "sync"] {
        let dir = folder.path().join(durability);
        let Some(disk) = Disk::mount(&dir) else {
            note(format_args!("skipped: no disk can be mounted here"));
            return;
        };
        let filler = dir.join("filler");
        fs::write(&filler, vec![1; DISK_BYTES / 2]).unwrap();
        let options =
            ["--data-dir", dir.to_str().unwrap(), "--durability", durability, "--log-level", "info"];
        let mut herd = RealHerd::start(&["Alford"], &[], &options);
        let mut told = Told::default();
        let full = told.until(&herd, "the disk is full", |reply| reply.starts_with('?'));
        let begins = "? cannot be kept now (no space left on device), try again later: IAMAT client-";
        assert!(full.starts_with(begins), "{full}");
        // The keeper makes room by itself, for what is stored is little; now there is none for that either.
        let mut more = 0;
        while fs::write(dir.join(format!("more-{more}")), vec![1; 4096]).is_ok() {
            more += 1;
            assert!(more < 10_000, "it is never full");
        }
        let full = told.until(&herd, "nothing can be kept", |reply| reply.starts_with('?'));
        assert!(full.starts_with(begins), "{full}");
        told.check(&herd);
        eventually("the log says so", || {
            herd.log("Alford").contains("the journal cannot be written: ").then_some(())
        });
        // A server that starts without room for its next file answers all the same.
        herd.kill_one("Alford");
        let mut filled = fs::OpenOptions::new().append(true).open(&filler).unwrap();
        while filled.write_all(&[1; 512]).is_ok() {}
        drop(filled);
        herd.start_one("Alford");
        told.check(&herd);
        let full = told.until(&herd, "nothing can be kept after a start", |reply| reply.starts_with('?'));
        assert!(full.starts_with(begins), "{full}");
        for at in 0..=more {
            // The last one has no content.
            let _ = fs::remove_file(dir.join(format!("more-{at}")));
        }
        fs::remove_file(&filler).unwrap();
        told.until(&herd, "reports are acknowledged again", |reply| reply.starts_with("AT "));
        herd.kill_one("Alford");
        herd.start_one("Alford");
        told.check(&herd);
        assert!(!herd.log("Alford").contains("DAMAGE"), "{}", herd.log("Alford"));

        // Nothing that is open for writing may be there for that, so it may be refused.
        if disk.remount("ro") {
            told.until(&herd, "the disk is read-only", |reply| reply.starts_with("? "));
            told.check(&herd);
            assert!(disk.remount("rw"));
            told.until(&herd, "reports are acknowledged again", |reply| reply.starts_with("AT "));
        } else {
            note(format_args!("skipped: the disk cannot be made read-only while it is written to"));
        }
        assert_eq!(herd.terminate("Alford").0.code(), Some(0));
        herd.start_one("Alford");
        told.check(&herd);
        herd.kill_one("Alford");
        drop(disk);
    }
}

#[test]
fn a_file_that_may_not_grow_any_more_is_replaced_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let options = ["--data-dir", dir.to_str().unwrap(), "--log-level", "error"];
    let mut herd = RealHerd::new(&["Alford"], &[], &options);
    // In blocks of 512 bytes: what is stored fits, what is recorded in the long run does not.
    herd.spawn_in_shell("Alford", "trap '' XFSZ; ulimit -f 4096;");
    herd.wait_until_ready("Alford");
    let mut told = Told::default();
    for round in 0..2 {
        let full = told.until(&herd, "the file is full", |reply| reply.starts_with('?'));
        assert!(full.starts_with("? cannot be kept now (file too large), try again later: IAMAT "), "{full}");
        if round > 0 {
            told.until(&herd, "reports are acknowledged again", |reply| reply.starts_with("AT "));
        }
        herd.kill_one("Alford");
        herd.spawn_in_shell("Alford", "trap '' XFSZ; ulimit -f 4096;");
        herd.wait_until_ready("Alford");
        told.check(&herd);
    }
}
