//! The physical limit of a chain of servers: what clients say is written back and passed on to the next member of the
//! herd, from member to member, and the last one knows the names in it.
//!
//! It promises nothing: what cannot be passed on is gone. Asked `WHATSAT NAME ...` by a client, the last one says
//! whether the name has come, in the form in which servers do, so that both can be watched in the same way.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread::{self, Builder, Scope};

use parking_lot::Mutex;
use proxyherd::config::Config;
use proxyherd::net::accept::log_failure;
use proxyherd::net::admission::Class;
use proxyherd::proto::line::framing::CLIENT_READ_BYTES;
use proxyherd_bench::driver::{Opened, listen};
use proxyherd_bench::process::{self, Failure};

/// One member.
struct Relay {
    /// Where the next member listens; none after the last.
    next: Option<SocketAddr>,
    /// The connection to it, from the first line on.
    onward: Mutex<Option<TcpStream>>,
    /// The last one's names.
    known: Mutex<HashSet<Vec<u8>>>,
}

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let member = config.member();
    let after = config.herd.members().iter().skip_while(|it| it.name != member.name).nth(1);
    let next = after.map(|it| it.peer.resolve()).transpose()?;
    let relay = Relay { next, onward: Mutex::new(None), known: Mutex::new(HashSet::new()) };
    let clients = listen(config, Class::Client, Opened::Once)?;
    let peers = listen(config, Class::Peer, Opened::Once)?;
    process::exit_on_signal()?;
    thread::scope(|scope| {
        Builder::new().spawn_scoped(scope, || accept(scope, &peers, &relay, Class::Peer))?;
        accept(scope, &clients, &relay, Class::Client);
        Ok(())
    })
}

fn accept<'scope>(
    scope: &'scope Scope<'scope, '_>,
    listener: &TcpListener,
    relay: &'scope Relay,
    class: Class,
) {
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                // A connection that breaks is over like one that ends.
                let serve = move || drop(relay.serve(&socket, class));
                if let Err(error) = Builder::new().spawn_scoped(scope, serve) {
                    process::note_no_thread(&error);
                }
            }
            Err(error) => log_failure(&error, true),
        }
    }
}

impl Relay {
    fn serve(&self, mut socket: &TcpStream, class: Class) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut bytes = vec![0; CLIENT_READ_BYTES];
        let mut have = 0;
        loop {
            let count = socket.read(&mut bytes[have..])?;
            if count == 0 {
                return Ok(());
            }
            have += count;
            // Lines of several connections go on over one, so only whole ones do.
            let Some(end) = bytes[..have].iter().rposition(|&byte| byte == b'\n') else {
                if have == bytes.len() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                continue;
            };
            let lines = &bytes[..=end];
            match class {
                Class::Client if lines.starts_with(b"WHATSAT ") => socket.write_all(self.answer(lines))?,
                Class::Client => {
                    socket.write_all(lines)?;
                    self.pass_on(lines);
                }
                Class::Peer => self.pass_on(lines),
            }
            bytes.copy_within(end + 1..have, 0);
            have -= end + 1;
        }
    }

    fn pass_on(&self, lines: &[u8]) {
        let Some(next) = self.next else {
            let names = lines.split(|&byte| byte == b'\n').filter_map(name);
            self.known.lock().extend(names.map(<[u8]>::to_vec));
            return;
        };
        let mut onward = self.onward.lock();
        if onward.is_none() {
            let connect = || {
                let socket = TcpStream::connect(next)?;
                socket.set_nodelay(true)?;
                Ok::<_, io::Error>(socket)
            };
            *onward = connect().ok();
        }
        if onward.as_mut().is_some_and(|socket| socket.write_all(lines).is_err()) {
            *onward = None;
        }
    }

    fn answer(&self, question: &[u8]) -> &'static [u8] {
        let known = name(question).is_some_and(|name| self.known.lock().contains(name));
        if known { b"AT known\n\n" } else { b"? unknown\n" }
    }
}

/// The second word of a line.
fn name(line: &[u8]) -> Option<&[u8]> {
    line.split(|&byte| byte == b' ').nth(1)
}
