//! A server in this process with a port for HTTP, and a connection to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use proxyherd::config::{Access, Auth, Config, Herd, JournalOptions, Limits, LogOptions, Member, PlacesArgs};
use proxyherd::places;
use proxyherd::proto::model::name::ServerName;
use proxyherd::server::{Server, Stopper};

use crate::process::Failure;
use crate::suite::address::free_address;

/// The name of the server.
pub const NAME: &str = "Alford";

/// A server that keeps nothing.
pub struct Running {
    /// The member that it serves.
    pub member: Arc<proxyherd::member::Member>,
    http: SocketAddr,
    stopper: Stopper,
    thread: JoinHandle<Result<(), String>>,
}

/// One connection, for one request after the other.
pub struct Talk {
    socket: TcpStream,
    got: Vec<u8>,
}

impl Running {
    /// Starts it, with the users of a file if there is one.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn start(access: Option<&Path>) -> Result<Running, Failure> {
        let name = ServerName::parse(NAME)?;
        let http = free_address()?;
        let member = Member::herd(name.clone(), free_address()?, free_address()?);
        let herd = Herd::new(vec![Member { http: Some(http), ..member }], Vec::new(), true)?;
        let server = Server::bind(
            &Config {
                name,
                herd,
                log: LogOptions::default(),
                journal: JournalOptions::default(),
                places: PlacesArgs::default(),
                limits: Limits::default(),
                proxy_from: Vec::new(),
                clock_lead_max: None,
                explains: false,
                secret_file: None,
                access: access.map(Access::load).transpose()?,
                auth: Auth::Loopback,
            },
            places::open(&places::Options::default())?,
        )?;
        let (stopper, member) = (server.stopper(), Arc::clone(server.member()));
        let thread = Builder::new().spawn(move || server.run().map_err(|error| error.to_string()))?;
        Ok(Running { member, http, stopper, thread })
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

    /// Stops it.
    ///
    /// # Errors
    /// If it has not served well.
    pub fn stop(self) -> Result<(), Failure> {
        self.stopper.stop();
        Ok(self.thread.join().map_err(|_| "the server panicked")??)
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
}
