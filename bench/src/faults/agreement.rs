//! What all servers answer when asked for every client, and whether it is the same, byte for byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use proxyherd::config::Herd;

use crate::load::clock;

/// How long connecting may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long a server may be silent before it counts as not answering.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(2);

/// The most that is read at once.
const READ_BYTES: usize = 64 * 1024;

/// What the servers of a herd know, asked again and again.
#[derive(Debug)]
pub(super) struct Survey {
    /// All questions, a line each.
    questions: String,
    clients: usize,
    askers: Vec<Asker>,
}

/// The first lines of the answers of one server, one for each client.
type Answers = Vec<String>;

#[derive(Debug)]
struct Asker {
    address: SocketAddr,
    socket: Option<TcpStream>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether all servers have answered, and alike.
    pub(super) agreed: bool,
    /// How many clients not all servers said the same of, and how many servers did not answer: for people.
    pub(super) differing: usize,
    pub(super) silent: usize,
    /// The latest time that any server knows of each client, in nanoseconds; 0 for none.
    pub(super) known_ns: Vec<u64>,
}

impl Survey {
    /// Questions for these clients to all servers of a herd.
    pub(super) fn new(herd: &Herd, clients: &[String]) -> Survey {
        let asker = |address| Asker { address, socket: None };
        Survey {
            questions: clients.iter().map(|client| format!("WHATSAT {client} 1 1\n")).collect(),
            clients: clients.len(),
            askers: herd.members().iter().filter_map(|member| member.client.literal()).map(asker).collect(),
        }
    }

    /// Asks every server for every client.
    pub(super) fn ask(&mut self) -> Found {
        let answers: Vec<io::Result<Answers>> =
            self.askers.iter_mut().map(|asker| asker.ask(&self.questions, self.clients)).collect();
        let answered: Vec<Answers> = answers.into_iter().filter_map(Result::ok).collect();
        compare(&answered, self.askers.len(), self.clients)
    }
}

/// Compares the answers of those of the `servers` servers that have answered.
fn compare(answered: &[Answers], servers: usize, clients: usize) -> Found {
    let differs = |at: &usize| answered.windows(2).any(|pair| pair[0][*at] != pair[1][*at]);
    let differing = (0..clients).filter(differs).count();
    let latest = |at: usize| answered.iter().filter_map(|lines| time_ns(&lines[at])).max().unwrap_or(0);
    let silent = servers - answered.len();
    Found {
        agreed: differing == 0 && silent == 0,
        differing,
        silent,
        known_ns: (0..clients).map(latest).collect(),
    }
}

impl Asker {
    fn ask(&mut self, questions: &str, count: usize) -> io::Result<Answers> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX)?;
                socket.set_read_timeout(Some(REPLY_WAIT_MAX))?;
                socket.set_write_timeout(Some(REPLY_WAIT_MAX))?;
                socket
            }
        };
        let answers = converse(&socket, questions, count)?;
        // After an error the connection is of no use: what comes next would be the rest of this answer.
        self.socket = Some(socket);
        Ok(answers)
    }
}

fn converse(mut socket: &TcpStream, questions: &str, count: usize) -> io::Result<Answers> {
    let mut answers = Vec::with_capacity(count);
    let (mut text, mut space, mut begins) = (Vec::new(), vec![0; READ_BYTES], 0);
    let end_ns = clock::monotonic_ns() + clock::ns(REPLY_WAIT_MAX);
    socket.write_all(questions.as_bytes())?;
    while answers.len() < count {
        match socket.read(&mut space)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => text.extend_from_slice(&space[..read]),
        }
        while let Some((line, length)) = first_answer(&text[begins..]) {
            answers.push(String::from_utf8_lossy(line).into_owned());
            begins += length;
        }
        if clock::monotonic_ns() > end_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(answers)
}

/// The first line of the first answer in `text`, and the length of the whole answer, if all of it is there.
fn first_answer(text: &[u8]) -> Option<(&[u8], usize)> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let line = &text[..end];
    if line.starts_with(b"? ") {
        return Some((line, end + 1));
    }
    // After the line about a client comes what is near it, and then an empty line.
    let rest = text[end..].windows(2).position(|pair| pair == b"\n\n")?;
    Some((line, end + rest + 2))
}

/// The time in an `AT` line as the reporters write it, with nine digits after the point.
fn time_ns(line: &str) -> Option<u64> {
    let time = line.strip_prefix("AT ")?.rsplit(' ').next()?;
    let (seconds, nanos) = time.split_once('.')?;
    seconds.parse::<u64>().ok()?.checked_mul(clock::NS_PER_SECOND)?.checked_add(nanos.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(server: &str, time: &str) -> String {
        format!("AT {server} +0.000000001 client-1 -48.5-123.5 {time}")
    }

    #[test]
    fn answers_are_taken_whole_or_not_at_all() {
        let text = b"AT a b c d e\n{\n  1\n}\n\n? WHATSAT x 1 1\nAT f g\n{}\n";
        let (line, length) = first_answer(text).unwrap();
        assert_eq!((line, length), (&b"AT a b c d e"[..], 22));
        let (line, more) = first_answer(&text[length..]).unwrap();
        assert_eq!(line, b"? WHATSAT x 1 1");
        assert_eq!(first_answer(&text[length + more..]), None, "its end is not there yet");
    }

    #[test]
    fn agreeing_is_saying_the_same_bytes() {
        let one = vec![at("Alford", "1.000000002"), "? WHATSAT x 1 1".to_owned()];
        let same = compare(&[one.clone(), one.clone()], 2, 2);
        assert_eq!(same, Found { agreed: true, differing: 0, silent: 0, known_ns: vec![1_000_000_002, 0] });
        let other = vec![at("Parker", "1.000000003"), one[1].clone()];
        let differs = compare(&[one.clone(), other], 2, 2);
        assert_eq!((differs.agreed, differs.differing, differs.known_ns[0]), (false, 1, 1_000_000_003));
        let silent = compare(std::slice::from_ref(&one), 2, 2);
        assert!(!silent.agreed && silent.silent == 1, "who does not answer does not agree");
        assert!(!compare(&[], 2, 2).agreed);
    }
}
