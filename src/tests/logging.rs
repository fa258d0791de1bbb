//! The log under stress: full queues, failing files, several threads, and clients that try to forge lines.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::{Level, LevelFilter, Log, Record};
use parking_lot::Mutex;

use crate::config::{LOG_FILE_BYTES_MIN, LogOptions, WhenFull};
use crate::logging::{
    Escaped, LOG_LINE_BYTES_MAX, LogReport, LoggingError, start, start_with, with_terminal,
};
use crate::proto::model::name::ServerName;

/// Long enough for any machine; only a failing test waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_line_has_name_time_level_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let (logger, logging) = start(&alford(), &options(dir.path())).unwrap();
    say(&*logger, Level::Debug, format_args!("message {}", 1));
    say(&*logger, Level::Trace, format_args!("below the level"));
    assert_eq!(logging.stop(), LogReport { lines: 1, ..LogReport::default() });

    let text = std::fs::read_to_string(dir.path().join("Alford.log")).unwrap();
    let (stamp, message) = text.trim_end().split_at("[Alford] 2026-11-22T17:21:24.990534Z".len());
    assert_eq!(message, " DEBUG message 1");
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "[Alford] 0000-00-00T00:00:00.000000Z");
}

#[test]
fn a_client_cannot_forge_a_line() {
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    let forged = b"x\n[Alford] 2026-11-22T17:21:24.990534Z INFO all is well\r\n\xff\xe2\x80\xa8\xc2\x85";
    say(&*logger, Level::Debug, format_args!("{}", Escaped(forged)));
    say(&*logger, Level::Debug, format_args!("{}", String::from_utf8_lossy(forged)));
    assert_eq!(logging.stop().lines, 2);
    let lines = memory.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with(r"INFO all is well\r\n\xff\xe2\x80\xa8\xc2\x85"), "{lines:?}");
    for line in lines {
        assert!(line.starts_with("[Alford] ") && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_long_message_is_cut() {
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    say(&*logger, Level::Info, format_args!("{}", "x".repeat(10 << 20)));
    logging.stop();
    let mark = format!("...({} more bytes)", (10 << 20) - LOG_LINE_BYTES_MAX);
    assert!(memory.lines()[0].ends_with(&mark));
    assert!(memory.lines()[0].len() < LOG_LINE_BYTES_MAX + 100);
}

#[test]
fn stopping_loses_nothing_and_keeps_the_order_of_each_thread() {
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 64, memory.clone());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let logger = &*logger;
            let log = move || (0..5000).for_each(|n| say(logger, Level::Info, format_args!("{thread} {n}")));
            scope.spawn(log);
        }
    });
    assert_eq!(logging.stop(), LogReport { lines: 20_000, ..LogReport::default() });

    let lines = memory.lines();
    assert!(lines.iter().map(|line| stamp(line)).is_sorted(), "the file is in the order of time");
    for thread in 0..4 {
        let own = lines.iter().filter_map(|line| line.split_once(&format!("INFO {thread} ")));
        assert!(own.map(|(_, n)| n.parse::<u32>().unwrap()).eq(0..5000), "thread {thread}");
    }
}

#[test]
fn a_full_queue_makes_the_caller_wait() {
    let memory = Memory::default();
    let (gate, sink) = Gate::before(memory.clone());
    let (logger, logging) = starts(WhenFull::Wait, 4, sink);
    let logger: Arc<dyn Log> = logger.into();
    gate.block_the_writer(&*logger);
    (0..4).for_each(|n| say(&*logger, Level::Info, format_args!("queued {n}")));

    let (done, wait) = unbounded();
    let blocked = logger.clone();
    let thread = std::thread::Builder::new().spawn(move || {
        done.send(()).unwrap();
        say(&*blocked, Level::Info, format_args!("waited"));
        done.send(()).unwrap();
    });
    wait.recv_timeout(DEADLINE).unwrap();
    // A slow machine makes this pass wrongly, never fail wrongly.
    assert!(wait.recv_timeout(Duration::from_millis(50)).is_err(), "there was no room");
    gate.open();
    wait.recv_timeout(DEADLINE).unwrap();
    thread.unwrap().join().unwrap();
    assert_eq!(logging.stop(), LogReport { lines: 6, ..LogReport::default() });
    assert!(memory.lines()[5].ends_with(" INFO waited"));
}

#[test]
fn a_full_queue_drops_and_the_log_says_how_many() {
    let memory = Memory::default();
    let (gate, sink) = Gate::before(memory.clone());
    let (logger, logging) = starts(WhenFull::Drop, 4, sink);
    gate.block_the_writer(&*logger);
    (0..11).for_each(|n| say(&*logger, Level::Info, format_args!("burst {n}")));
    gate.open();
    logging.flush();
    say(&*logger, Level::Info, format_args!("after"));
    assert_eq!(logging.stop(), LogReport { lines: 7, dropped: 7, ..LogReport::default() });
    let expected = ["INFO first", "INFO burst 0", "INFO burst 1", "INFO burst 2", "INFO burst 3"];
    let lines = memory.lines();
    assert_eq!(lines[..5].iter().map(|line| after_stamp(line)).collect::<Vec<_>>(), expected);
    assert_eq!(after_stamp(&lines[5]), "WARN 7 lines dropped here, the log's queue was full");
    assert_eq!(after_stamp(&lines[6]), "INFO after");
}

#[test]
fn the_next_line_after_a_gap_comes_after_the_remark() {
    let memory = Memory::default();
    let (gate, sink) = Gate::before(memory.clone());
    let (logger, logging) = starts(WhenFull::Drop, 4, sink);
    gate.block_the_writer(&*logger);
    (0..7).for_each(|n| say(&*logger, Level::Info, format_args!("burst {n}")));
    // The writer takes the four that are queued and is stopped again: the queue is empty, the gap untold.
    gate.let_one_pass();
    gate.wait_for_the_writer();
    say(&*logger, Level::Info, format_args!("after"));
    gate.open();
    assert_eq!(logging.stop(), LogReport { lines: 7, dropped: 3, ..LogReport::default() });
    let lines = memory.lines();
    assert_eq!(after_stamp(&lines[4]), "INFO burst 3");
    assert_eq!(after_stamp(&lines[5]), "WARN 3 lines dropped here, the log's queue was full");
    assert_eq!(after_stamp(&lines[6]), "INFO after");
}

#[test]
fn files_hold_whole_lines_and_stay_within_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogOptions { file_bytes_max: LOG_FILE_BYTES_MIN, files_max: 3, ..options(dir.path()) };
    let (logger, logging) = start(&alford(), &small).unwrap();
    (0..20_000)
        .for_each(|n| say(&*logger, Level::Info, format_args!("line {n} of some more words than that")));
    assert_eq!(logging.stop(), LogReport { lines: 20_000, ..LogReport::default() });

    let mut kept = Vec::new();
    for name in ["Alford.log.old-2", "Alford.log.old-1", "Alford.log"] {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text.len() as u64 <= LOG_FILE_BYTES_MIN && text.ends_with('\n'), "{name}");
        kept.extend(text.lines().map(str::to_string));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    let first = 20_000 - kept.len();
    for (line, n) in kept.iter().zip(first..) {
        assert_eq!(after_stamp(line), format!("INFO line {n} of some more words than that"));
    }
    assert!(kept.len() > 1000, "two full files and a third");
}

#[test]
fn a_second_start_adds_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..2 {
        let (logger, guard) = start(&alford(), &options(&dir.path().join("made/on/the/way"))).unwrap();
        say(&*logger, Level::Info, format_args!("run {n}"));
        drop(guard);
    }
    let text = std::fs::read_to_string(dir.path().join("made/on/the/way/Alford.log")).unwrap();
    assert_eq!(text.lines().map(after_stamp).collect::<Vec<_>>(), ["INFO run 0", "INFO run 1"]);
}

#[test]
fn a_failing_file_is_counted_and_told_of_once() {
    let (memory, complaints, broken) =
        (Memory::default(), Memory::default(), Arc::new(AtomicBool::new(true)));
    let sink = Breakable { memory: memory.clone(), broken: broken.clone(), takes: Some(12) };
    let (logger, logging) =
        start_with(&alford(), LevelFilter::Debug, WhenFull::Wait, 64, sink, complaints.clone()).unwrap();
    for n in 0..3 {
        say(&*logger, Level::Info, format_args!("lost {n}"));
        logging.flush();
    }
    broken.store(false, Ordering::Relaxed);
    say(&*logger, Level::Info, format_args!("kept"));
    assert_eq!(logging.stop(), LogReport { lines: 2, dropped: 0, lost: 3, write_errors: 3 });

    assert_eq!(complaints.lines().len(), 1);
    assert!(complaints.lines()[0].contains("cannot write the log: the disk is gone"), "{complaints:?}");
    let lines = memory.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0].len(), 12, "what it took of the first line has a line of its own");
    assert_eq!(after_stamp(&lines[1]), "ERROR 3 lines lost, the log could not be written: the disk is gone");
    assert_eq!(after_stamp(&lines[2]), "INFO kept");
}

#[test]
fn a_full_disk_does_not_stop_the_program() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let complaints = Memory::default();
    let (logger, logging) =
        start_with(&alford(), LevelFilter::Debug, WhenFull::Wait, 4, full, complaints.clone()).unwrap();
    (0..1000).for_each(|n| say(&*logger, Level::Info, format_args!("{n}")));
    let report = logging.stop();
    assert_eq!((report.lines, report.dropped, report.lost), (0, 0, 1000));
    assert!(report.write_errors > 0);
    assert_eq!(complaints.lines().len(), 1);
}

#[test]
fn a_panicking_argument_harms_only_its_own_thread() {
    struct Bomb;
    impl fmt::Display for Bomb {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("as a test")
        }
    }
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    let caught = std::thread::scope(|scope| {
        scope.spawn(|| say(&*logger, Level::Info, format_args!("half {Bomb}"))).join()
    });
    assert!(caught.is_err());
    say(&*logger, Level::Info, format_args!("whole"));
    assert_eq!(logging.stop().lines, 1);
    assert_eq!(after_stamp(&memory.lines()[0]), "INFO whole");
}

#[test]
fn an_argument_may_log_while_it_is_printed() {
    struct Talkative<'a>(&'a dyn Log);
    impl fmt::Display for Talkative<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            say(self.0, Level::Info, format_args!("inner"));
            f.write_str("outer")
        }
    }
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    say(&*logger, Level::Info, format_args!("{}", Talkative(&*logger)));
    logging.stop();
    assert_eq!(
        memory.lines().iter().map(|line| after_stamp(line)).collect::<Vec<_>>(),
        ["INFO inner", "INFO outer"]
    );
}

#[test]
fn a_stopped_log_neither_waits_nor_fails() {
    for when_full in [WhenFull::Wait, WhenFull::Drop] {
        let (logger, logging) = starts(when_full, 1, Memory::default());
        logging.stop();
        (0..10).for_each(|n| say(&*logger, Level::Info, format_args!("{n}")));
        logger.flush();
    }
}

#[test]
fn a_logger_with_a_terminal_still_logs_everything() {
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    let both = with_terminal(&alford(), logger);
    say(&*both, Level::Debug, format_args!("for the file alone"));
    both.flush();
    assert_eq!(memory.lines().len(), 1);
    logging.stop();
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = start(&alford(), &options(&dir.path().join("file"))).err().unwrap().to_string();
    assert!(error.contains("file/Alford.log") && error.contains("--log-dir"), "{error}");
    let tiny = LogOptions { file_bytes_max: 100, ..options(dir.path()) };
    assert!(matches!(start(&alford(), &tiny).err().unwrap(), LoggingError::FileTooSmall(100)));
}

#[test]
fn lines_of_packages_stay_out_because_some_are_secret() {
    let memory = Memory::default();
    let (logger, logging) = starts(WhenFull::Wait, 16, memory.clone());
    say_as("ureq::run", &*logger, Level::Warn, format_args!("GET /json?key=secret"));
    say(&*logger, Level::Info, format_args!("ours"));
    logging.stop();
    assert_eq!(memory.lines().iter().map(|line| after_stamp(line)).collect::<Vec<_>>(), ["INFO ours"]);
}

fn alford() -> ServerName {
    ServerName::parse("Alford").unwrap()
}

fn options(dir: &Path) -> LogOptions {
    LogOptions { dir: dir.to_path_buf(), level: LevelFilter::Debug, ..LogOptions::default() }
}

fn starts(
    when_full: WhenFull,
    queue_lines: usize,
    sink: impl Write + Send + 'static,
) -> (Box<dyn Log>, crate::logging::Logging) {
    start_with(&alford(), LevelFilter::Debug, when_full, queue_lines, sink, io::sink()).unwrap()
}

fn say(logger: &dyn Log, level: Level, args: fmt::Arguments<'_>) {
    say_as("proxyherd::server", logger, level, args);
}

fn say_as(target: &str, logger: &dyn Log, level: Level, args: fmt::Arguments<'_>) {
    logger.log(&Record::builder().target(target).level(level).args(args).build());
}

fn stamp(line: &str) -> &str {
    line.split(' ').nth(1).unwrap()
}

fn after_stamp(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap()
}

/// A file in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
        text.lines().map(str::to_string).collect()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The test's side of a sink that writes only when it is told to.
struct Gate {
    permits: Sender<()>,
    reached: Receiver<()>,
}

struct Gated {
    memory: Memory,
    permits: Receiver<()>,
    reached: Sender<()>,
}

impl Gate {
    fn before(memory: Memory) -> (Gate, Gated) {
        let ((permits, permitted), (reaching, reached)) = (unbounded(), unbounded());
        (Gate { permits, reached }, Gated { memory, permits: permitted, reached: reaching })
    }

    /// Logs a line and returns when the writer is stuck with it.
    fn block_the_writer(&self, logger: &dyn Log) {
        say(logger, Level::Info, format_args!("first"));
        self.wait_for_the_writer();
    }

    fn wait_for_the_writer(&self) {
        self.reached.recv_timeout(DEADLINE).unwrap();
    }

    fn let_one_pass(&self) {
        self.permits.send(()).unwrap();
    }

    fn open(self) {}
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.reached.send(());
        // An error means that the gate was opened for good.
        let _ = self.permits.recv();
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that fails on demand, the first time after it has taken a few bytes.
struct Breakable {
    memory: Memory,
    broken: Arc<AtomicBool>,
    takes: Option<usize>,
}

impl Write for Breakable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.broken.load(Ordering::Relaxed) {
            return self.memory.write(bytes);
        }
        match self.takes.take() {
            Some(taken) => self.memory.write(&bytes[..taken]),
            None => Err(io::Error::other("the disk is gone")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
