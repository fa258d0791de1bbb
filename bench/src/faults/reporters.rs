//! The load: a reporter for each server, which sends reports at a steady rate and writes down what is acknowledged.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::history::{History, Report};
use crate::load::clock;

/// Reports on the way to one server: enough for the rate at a reply time of a tenth of a second.
const WINDOW: usize = 64;

/// How long to wait for a reply before sending what is due meanwhile.
const TICK: Duration = Duration::from_millis(5);

/// How long connecting may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long to wait after a connection has failed.
const PAUSE: Duration = Duration::from_millis(20);

/// How long replies are waited for after the load.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The most that is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A client that reports to one server.
#[derive(Debug)]
pub(super) struct Reporter<'a> {
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) history: &'a Mutex<History>,
    /// Reports a second.
    pub(super) rate: f64,
    /// The load is over.
    pub(super) over: &'a AtomicBool,
}

impl Reporter<'_> {
    /// Reports until the load is over, and then reads the replies that are still to come.
    ///
    /// # Errors
    /// If the server answers a report with anything but its acknowledgement: connections may fail, but not lie.
    pub(super) fn run(self) -> Result<(), String> {
        while !self.is_over() {
            let connected = TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX);
            let conversation = connected.and_then(|socket| self.converse(&socket));
            match conversation {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(format!("{}: {error}", self.name));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        Ok(())
    }

    fn converse(&self, mut socket: &TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TICK))?;
        let sent_until_ns = clock::monotonic_ns();
        let mut conversation = Conversation { reporter: self, on_the_way: VecDeque::new(), sent_until_ns };
        let (mut lines, mut replies, mut space) = (String::new(), Vec::new(), vec![0; READ_BYTES]);
        let mut over_at_ns = None;
        loop {
            let now_ns = clock::monotonic_ns();
            if self.is_over() {
                let over_at_ns = *over_at_ns.get_or_insert(now_ns);
                if conversation.on_the_way.is_empty() || now_ns > over_at_ns + clock::ns(DRAIN_WAIT_MAX) {
                    return Ok(());
                }
            } else {
                let due = conversation.due(now_ns);
                if due > 0 {
                    conversation.take(due, &mut lines);
                    socket.write_all(lines.as_bytes())?;
                }
            }
            match socket.read(&mut space) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => replies.extend_from_slice(&space[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            conversation.acknowledged(&mut replies)?;
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

struct Conversation<'a> {
    reporter: &'a Reporter<'a>,
    on_the_way: VecDeque<Report>,
    /// All that was due until then was sent, or will not be.
    sent_until_ns: u64,
}

impl Conversation<'_> {
    /// How many reports are due at a steady rate. What the window has had no room for is not caught up with: after a
    /// pause the rate is what it was.
    fn due(&mut self, now_ns: u64) -> usize {
        let each_ns = (clock::NS_PER_SECOND as f64 / self.reporter.rate) as u64;
        let due = (now_ns - self.sent_until_ns) / each_ns.max(1);
        self.sent_until_ns += due * each_ns;
        (due as usize).min(WINDOW)
    }

    /// Writes the next reports into `lines`, as many as are due and the window has room for.
    fn take(&mut self, due: usize, lines: &mut String) {
        lines.clear();
        let mut history = self.reporter.history.lock();
        for _ in 0..due.min(WINDOW - self.on_the_way.len()) {
            let report = history.take(clock::wall_ns());
            lines.push_str("IAMAT ");
            push_report(&history, report, lines);
            lines.push('\n');
            self.on_the_way.push_back(report);
        }
    }

    /// Takes the complete lines out of `replies`, each of which must acknowledge the oldest report on the way.
    fn acknowledged(&mut self, replies: &mut Vec<u8>) -> io::Result<()> {
        let Some(end) = replies.iter().rposition(|&byte| byte == b'\n') else { return Ok(()) };
        let reporter = self.reporter;
        let mut history = reporter.history.lock();
        let mut expected = String::new();
        for line in replies[..end].split(|&byte| byte == b'\n') {
            let odd = || {
                let text = format!("an odd reply: {}", String::from_utf8_lossy(line));
                io::Error::new(io::ErrorKind::InvalidData, text)
            };
            let report = self.on_the_way.pop_front().ok_or_else(odd)?;
            expected.clear();
            push_report(&history, report, &mut expected);
            let text = std::str::from_utf8(line).map_err(|_| odd())?;
            let skew = text
                .strip_prefix("AT ")
                .and_then(|rest| rest.strip_prefix(reporter.name))
                .and_then(|rest| rest.strip_suffix(expected.as_str()));
            // Between the two is the skew: a word with a space on either side.
            if skew.is_none_or(|skew| skew.trim().is_empty() || skew.trim().contains(' ')) {
                return Err(odd());
            }
            history.acknowledge(report);
        }
        drop(history);
        replies.drain(..=end);
        Ok(())
    }
}

/// Client, location and time of a report. Where it is follows from when, so that replies can be checked.
fn push_report(history: &History, report: Report, line: &mut String) {
    use std::fmt::Write as _;
    let (seconds, nanos) = (report.time_ns / clock::NS_PER_SECOND, report.time_ns % clock::NS_PER_SECOND);
    let name = history.name(report.client);
    // Far from anything that is in the catalogue of places, so that answers to questions are short. Writing to a
    // String cannot fail.
    let _ = write!(line, "{name} -48.{nanos:09}-123.{nanos:09} {seconds}.{nanos:09}");
}
