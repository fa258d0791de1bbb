//! The physical limit of an event loop: whatever is read is written back, and nothing else.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use proxyherd::config::Config;
use proxyherd::net::accept::{ACCEPT_PAUSE_MAX, log_failure};
use proxyherd::net::admission::Class;
use proxyherd::proto::line::framing::CLIENT_READ_BYTES;
use proxyherd_bench::driver::{Opened, listen_nonblocking};
use proxyherd_bench::options::Common;
use proxyherd_bench::process::{self, Failure};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// The token of the port; connections have other ones.
const LISTENER: Token = Token(usize::MAX - 1);

/// A server that echoes, on the client port.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    common: Common,
    /// Threads, each with a loop and a listener of its own, among which the kernel shares out connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

fn main() -> ExitCode {
    process::run(|args: &Args| args.common.clone(), serve)
}

fn serve(args: Args, config: &Config) -> Result<(), Failure> {
    let opened = if args.threads == 1 { Opened::Once } else { Opened::ByMany };
    let mut loops = Vec::new();
    for _ in 0..args.threads {
        loops.push(Echo::new(TcpListener::from_std(listen_nonblocking(config, Class::Client, opened)?))?);
    }
    process::exit_on_signal()?;
    let first = loops.remove(0);
    std::thread::scope(|scope| {
        for other in loops {
            std::thread::Builder::new().spawn_scoped(scope, move || other.run())?;
        }
        first.run()
    })?;
    Ok(())
}

struct Echo {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    /// Whether connections wait for which there was no descriptor.
    short: bool,
}

struct Connection {
    socket: TcpStream,
    unsent: VecDeque<u8>,
}

impl Echo {
    fn new(mut listener: TcpListener) -> io::Result<Echo> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (connections, free, buffer) = (Vec::new(), Vec::new(), vec![0; CLIENT_READ_BYTES]);
        Ok(Echo { poll, listener, connections, free, buffer, short: false })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let wait: Option<Duration> = self.short.then_some(ACCEPT_PAUSE_MAX);
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(key) => self.work(key, event.is_read_closed()),
                }
            }
            if self.short {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.begin(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.short = false;
                    return;
                }
                Err(error) => {
                    log_failure(&error, !self.short);
                    self.short = true;
                    return;
                }
            }
        }
    }

    fn begin(&mut self, mut socket: TcpStream) {
        let key = self.free.pop().unwrap_or(self.connections.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        let begun = socket
            .set_nodelay(true)
            .and_then(|()| self.poll.registry().register(&mut socket, Token(key), both));
        let connection = begun.is_ok().then_some(Connection { socket, unsent: VecDeque::new() });
        if connection.is_none() {
            self.free.push(key);
        }
        match key == self.connections.len() {
            true => self.connections.push(connection),
            false => self.connections[key] = connection,
        }
    }

    fn work(&mut self, key: usize, ending: bool) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        if !matches!(connection.echo(&mut self.buffer, ending), Ok(true)) {
            self.connections[key] = None;
            self.free.push(key);
        }
    }
}

impl Connection {
    /// Echoes all there is. Returns whether the connection goes on.
    fn echo(&mut self, buffer: &mut [u8], ending: bool) -> io::Result<bool> {
        loop {
            while !self.unsent.is_empty() {
                match self.socket.write(self.unsent.as_slices().0) {
                    Ok(count) => drop(self.unsent.drain(..count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            let count = match self.socket.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let sent = match self.socket.write(&buffer[..count]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            self.unsent.extend(&buffer[sent..count]);
            // A short read has emptied the socket.
            if self.unsent.is_empty() && count < buffer.len() && !ending {
                return Ok(true);
            }
        }
    }
}
