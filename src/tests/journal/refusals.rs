//! Folders that are of no use: one sentence that names them, and nothing in them is touched.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::image::{FRESH, Image, folder, known, name, open};
use super::{FIRST, after_a_snapshot, append, three_lives, up_to};
use crate::journal::{Journal, Layout, OpenError, RealDisk};
use crate::proto::model::epoch::Epoch;
use crate::proto::wal::record::{Heading, MAGIC};

/// The sentence with which a folder is refused.
fn refused(folder: &Path) -> String {
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names(folder);
    let sentence = open(folder, FRESH).unwrap_err().to_string();
    assert_eq!(names(folder), before, "not even a lock is made");
    assert!(sentence.contains(&folder.display().to_string()), "{sentence}");
    assert!(sentence.lines().count() == 1 && !sentence.ends_with('.'), "{sentence}");
    sentence
}

/// The sentence with which a folder is refused that has this file beside a good journal.
fn refused_with(file: &str, bytes: &[u8]) -> String {
    let folder = folder();
    let mut image = three_lives();
    image.0.insert(file.to_owned(), bytes.to_vec());
    image.put(folder.path());
    let sentence = refused(folder.path());
    assert_eq!(Image::of(folder.path()), image);
    assert!(sentence.contains(file), "{sentence}");
    sentence
}

#[test]
fn what_is_no_folder_is_refused() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, "mine").unwrap();
    assert!(refused(&path).contains("is not a directory: choose another with --data-dir"));
    assert!(refused(&path.join("below")).contains("cannot use the data directory"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn another_servers_journal_is_refused() {
    for image in [three_lives(), after_a_snapshot()] {
        let folder = folder();
        image.put(folder.path());
        let layout = Layout { is_synced: true, lanes: 1 };
        let opened = Journal::open(
            folder.path(),
            &name("Bolden"),
            layout,
            Epoch(FRESH),
            Arc::new(RealDisk),
            &mut |_, _| {},
        );
        let error = opened.unwrap_err();
        assert!(matches!(error, OpenError::OfAnother { .. }), "{error:?}");
        assert!(error.to_string().contains("is the journal of Alford, not of Bolden: "), "{error}");
        assert_eq!(Image::of(folder.path()), image);
        assert!(!folder.path().join("lock").exists());
    }
    let (server, boot) = (name("Zoe"), "b".to_owned());
    let heading = Heading { server, epoch: Epoch(1), boot, is_synced: true, lane: (0, 1) };
    let sentence = refused_with("snapshot-0000000003.log", &heading.to_bytes());
    assert!(sentence.contains("is the journal of Zoe, not of Alford"), "{sentence}");
}

#[test]
fn what_is_no_journal_of_this_format_is_refused() {
    for bytes in [&b"shopping list\n"[..], &[0; 4096], b"proxyherd\n"] {
        let sentence = refused_with("journal-0000000009.log", bytes);
        assert!(sentence.contains("is not a journal: move it away"), "{sentence}");
    }
    let sentence = refused_with("journal-0000000009.log", b"proxyherd journal 3\n\x01\x02\x03");
    assert!(sentence.contains("in another format (\"3\")"), "{sentence}");
    let sentence =
        refused_with("journal-0000000009.log", &[b"proxyherd journal ", &[b'9'; 600][..]].concat());
    assert!(sentence.len() < 300, "{sentence}");
    let folder = folder();
    fs::create_dir(folder.path().join("journal-0000000001.log")).unwrap();
    assert!(refused(folder.path()).contains("journal-0000000001.log is not a journal"));
}

#[test]
fn root_and_a_lock_that_is_no_file_are_refused() {
    for root in ["/", "/tmp/..", "/."] {
        let error = open(Path::new(root), FRESH).unwrap_err();
        assert!(matches!(error, OpenError::Root), "{error:?}");
    }
    let folder = folder();
    let lock = folder.path().join("lock");
    fs::create_dir(&lock).unwrap();
    assert!(
        refused(folder.path()).contains("lock is no file, and so not the lock of a server: move it away")
    );
    fs::remove_dir(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    assert!(refused(folder.path()).contains("lock is no file"));
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &lock).unwrap();
    assert!(refused(folder.path()).contains("lock is no file"));
}

#[test]
fn pipe_with_the_name_of_a_journal_is_refused_at_once() {
    let folder = folder();
    let pipe = folder.path().join("snapshot-0000000001.log");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refused(folder.path()).contains("snapshot-0000000001.log is not a journal"));
}

#[test]
fn folder_of_others_is_noticed_once() {
    let folder = folder();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    assert_eq!(open(folder.path(), FRESH).unwrap().found.foreign, None);
    let folder = super::image::folder();
    fs::write(folder.path().join("passwd"), "mine").unwrap();
    assert_eq!(open(folder.path(), FRESH).unwrap().found.foreign.as_deref(), Some("passwd"));
    assert_eq!(open(folder.path(), FRESH).unwrap().found.foreign, None);
}

#[test]
fn folder_stays_in_use_when_its_lock_is_removed() {
    let folder = folder();
    let journal = open(folder.path(), FIRST).unwrap().journal;
    fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(open(folder.path(), 2), Err(OpenError::InUse(_))));
    drop(journal);
    assert!(open(folder.path(), 2).is_ok());
}

#[test]
fn other_files_are_left_alone() {
    let folder = folder();
    let mut image = three_lives();
    for other in [
        "journal-1.log",
        "journal-0000000001.log.damaged",
        "notes",
        "snapshot-x.log",
        "journal-.log",
        "x.tmp",
    ] {
        image.0.insert(other.to_owned(), b"mine".to_vec());
    }
    image.0.insert("journal-0000000004.log.tmp".to_owned(), MAGIC.to_vec());
    image.put(folder.path());
    assert_eq!(known(open(folder.path(), FRESH).unwrap()).0, up_to(7));
    let after = Image::of(folder.path());
    let kept = after.0.values().filter(|bytes| **bytes == b"mine").count();
    assert_eq!((kept, after.0.len()), (6, 6 + 4));
}

#[test]
fn a_folder_in_use_is_refused_and_left_alone() {
    let folder = folder();
    let mut journal = open(folder.path(), FIRST).unwrap().journal;
    append(&mut journal, [1]);
    let before = Image::of(folder.path());
    assert!(refused(folder.path()).contains("is in use by another server: stop that one"));
    assert_eq!(Image::of(folder.path()), before);
    append(&mut journal, [2]);
    // A plan that still removes what a snapshot has replaced has the folder, too.
    let plan = journal.plan_next();
    drop(journal);
    assert!(matches!(open(folder.path(), 2), Err(OpenError::InUse(_))));
    drop(plan);
    assert_eq!(known(open(folder.path(), 2).unwrap()).0, up_to(2));
}
