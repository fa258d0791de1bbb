//! The threaded server as a process with a port for HTTP, and a connection to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use proxyherd::config::{Herd, Member, to_toml};
use proxyherd::proto::model::name::ServerName;
use rustix::process::Signal;

use crate::load::clock;
use crate::process::Failure;
use crate::suite::address::free_address;
use crate::suite::server::{signal, wait, wrapped};

/// How long the server may take to begin and to end: under callgrind it is fifty times as slow.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A server that keeps nothing. It ends when this is dropped.
pub struct Running {
    child: Child,
    http: SocketAddr,
    folder: PathBuf,
}

/// One connection, for one request after the other.
pub struct Talk {
    socket: TcpStream,
    got: Vec<u8>,
}

impl Running {
    /// Starts it with an access file of this text, if there is one. `under` is the command that watches it; `{}` in it
    /// is a folder that is there until the server is dropped.
    ///
    /// # Errors
    /// If it cannot be started, or does not serve.
    pub fn start(under: &[&str], access: Option<&str>) -> Result<Running, Failure> {
        let program = std::env::current_exe()?.with_file_name("proxyherd");
        let http = free_address()?;
        let folder = std::env::temp_dir().join(format!("proxyherd-http-{}-{}", http.ip(), http.port()));
        fs::create_dir_all(&folder)?;
        let member = Member::herd(ServerName::parse("Alford")?, free_address()?, free_address()?);
        let herd = Herd::new(vec![Member { http: Some(http.into()), ..member }], Vec::new(), true)?;
        fs::write(folder.join("herd.toml"), to_toml(&herd))?;
        let text = |path: &Path| path.display().to_string();
        let own: Vec<String> = under.iter().map(|word| word.replace("{}", &text(&folder))).collect();
        let mut words = [own, vec![text(&program), "serve".to_owned(), "Alford".to_owned()]].concat();
        words.extend(["--durability", "none", "--log-level", "warn", "--herd"].map(str::to_owned));
        words.extend([text(&folder.join("herd.toml")), "--log-dir".to_owned(), text(&folder)]);
        if let Some(access) = access {
            fs::write(folder.join("access.toml"), access)?;
            words.extend(["--access".to_owned(), text(&folder.join("access.toml"))]);
        }
        let mut command = wrapped(&words, None);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", words[0]))?;
        let mut running = Running { child, http, folder };
        let end_ns = clock::monotonic_ns() + clock::ns(WAIT_MAX);
        while TcpStream::connect(http).is_err() {
            if running.child.try_wait()?.is_some() || clock::monotonic_ns() > end_ns {
                return Err(format!("{} does not serve", words.join(" ")).into());
            }
            sleep(LOOK);
        }
        Ok(running)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// If there is none.
    pub fn talk(&self) -> Result<Talk, Failure> {
        let socket = TcpStream::connect(self.http)?;
        socket.set_nodelay(true)?;
        Ok(Talk { socket, got: vec![0; 1 << 20] })
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has. Returns the folder of its files.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<&Path, Failure> {
        signal(&self.child, Signal::TERM);
        wait(&mut self.child, WAIT_MAX).ok_or("the server does not end")?;
        Ok(&self.folder)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Talk {
    /// Sends a request and returns the status and the body of the answer.
    ///
    /// # Errors
    /// If there is no answer of less than a megabyte.
    pub fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Failure> {
        self.socket.write_all(request)?;
        let mut count = 0;
        let (head, end) = loop {
            match self.socket.read(&mut self.got[count..])? {
                0 => return Err("the connection ended in an answer".into()),
                more => count += more,
            }
            let got = &self.got[..count];
            let Some(head) = got.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&got[..head])?;
            let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let end = head + 4 + length.ok_or("the answer has no length")?.parse::<usize>()?;
            if count >= end {
                break (head, end);
            }
        };
        let status = std::str::from_utf8(&self.got[9..12])?.parse()?;
        Ok((status, &self.got[head + 4..end]))
    }

    /// A number of `/v1/status`. `login` is a header field with its line end, or nothing.
    ///
    /// # Errors
    /// If there is no such number.
    pub fn status(&mut self, login: &str, kind: &str, name: &str) -> Result<u64, Failure> {
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{login}\r\n");
        let (_, body) = self.ask(request.as_bytes())?;
        let status: serde_json::Value = serde_json::from_slice(body)?;
        Ok(status[kind][name].as_u64().ok_or_else(|| format!("the status has no {name}"))?)
    }
}
