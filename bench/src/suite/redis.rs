//! A Redis that a suite starts for itself, and what is asked of it in its own protocol.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::address::free_address;
use super::server::{signal, wrapped};
use crate::load::clock;

/// How long it may take until it answers, and each answer.
const WAIT: Duration = Duration::from_secs(15);

/// Between two attempts.
const LOOK: Duration = Duration::from_millis(20);

/// Priorities: as everything else, or only when nothing else wants to run, which stands for a machine of its own.
const IDLE: [&str; 3] = ["chrt", "--idle", "0"];

/// A running Redis that keeps nothing on a disk. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Redis {
    words: Vec<String>,
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing.
    Nil,
    Number(i64),
    Text(Vec<u8>),
    All(Vec<Answer>),
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Connection(BufReader<TcpStream>);

impl Redis {
    /// Starts one with its folder in `scratch`.
    pub(super) fn start(scratch: &Path, is_idle: bool) -> io::Result<Redis> {
        let address = free_address()?;
        let folder = scratch.join(format!("redis-{}", address.port()));
        fs::create_dir_all(&folder)?;
        let mut words: Vec<String> = if is_idle { IDLE.map(str::to_owned).to_vec() } else { Vec::new() };
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let folder_name = folder.display().to_string();
        let options = ["redis-server", "--port", &port, "--bind", &host, "--save", "", "--dir", &folder_name];
        words.extend(options.map(str::to_owned));
        let child = spawn(&words)?;
        let redis = Redis { words, child, folder, address };
        redis.wait()?;
        Ok(redis)
    }

    /// What servers are told.
    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(super) fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    /// Kills it, without a chance to do anything.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Starts it again, with nothing.
    pub(super) fn start_again(&mut self) -> io::Result<()> {
        self.child = spawn(&self.words)?;
        self.wait()
    }

    pub(super) fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.address, WAIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT))?;
        Ok(Connection(BufReader::new(stream)))
    }

    fn wait(&self) -> io::Result<()> {
        let end_ns = clock::monotonic_ns() + clock::ns(WAIT);
        loop {
            match self.connect().and_then(|mut connection| connection.ask(&["PING"])) {
                Ok(_) => return Ok(()),
                Err(error) if clock::monotonic_ns() > end_ns => return Err(error),
                Err(_) => thread::sleep(LOOK),
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Connection {
    /// One question and its answer.
    pub(super) fn ask(&mut self, words: &[&str]) -> io::Result<Answer> {
        let mut out = Vec::new();
        push_command(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(), &mut out);
        self.send(&out)?;
        self.receive()
    }

    /// A number in what `INFO` says of a part.
    pub(super) fn info(&mut self, part: &str, key: &str) -> io::Result<f64> {
        let Answer::Text(text) = self.ask(&["INFO", part])? else { return Ok(0.0) };
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let number: String = line.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        Ok(number.parse().unwrap_or_default())
    }

    /// Sends what [`push_command`] has made.
    pub(super) fn send(&mut self, commands: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(commands)
    }

    /// The next answer; an error of Redis is one here.
    pub(super) fn receive(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
            return Err(io::Error::other("redis has closed the connection"));
        };
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(format!("an answer was {line:?}")));
        match kind {
            "+" => Ok(Answer::Text(rest.as_bytes().to_vec())),
            ":" => Ok(Answer::Number(number()?)),
            "$" | "*" if number()? < 0 => Ok(Answer::Nil),
            "$" => {
                let mut text = vec![0; number()? as usize + 2];
                self.0.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Ok(Answer::Text(text))
            }
            "*" => (0..number()?).map(|_| self.receive()).collect::<io::Result<_>>().map(Answer::All),
            _ => Err(io::Error::other(format!("redis has answered {}", line.trim_end()))),
        }
    }
}

/// Appends a command as Redis reads it.
pub(super) fn push_command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn spawn(words: &[String]) -> io::Result<Child> {
    let mut command = wrapped(words, None);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_written_as_redis_reads_them() {
        let mut out = Vec::new();
        push_command(&[b"GET", b"a b"], &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
    }
}
