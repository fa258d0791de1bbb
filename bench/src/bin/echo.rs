//! The physical limit of a thread for each connection: whatever is read is written back, and nothing else.
//!
//! Threads are started and kept for the next connection as in the threaded server.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread::{self, Builder, Scope};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use proxyherd::config::Config;
use proxyherd::net::accept::{ACCEPT_PAUSE_MAX, is_about_one_connection, log_failure};
use proxyherd::net::admission::Class;
use proxyherd::proto::line::framing::CLIENT_READ_BYTES;
use proxyherd_bench::driver::{Opened, listen};
use proxyherd_bench::process::{self, Failure};

/// The stack of a connection's thread.
const STACK_BYTES: usize = 512 * 1024;

/// Accepted connections that wait for a thread.
const ACCEPTED_MAX: usize = 1024;

/// How long a thread without a connection waits for one.
const IDLE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let listener = listen(config, Class::Client, Opened::Once)?;
    process::exit_on_signal()?;
    let (accepted, to_serve) = bounded(ACCEPTED_MAX);
    thread::scope(|scope| {
        Builder::new().spawn_scoped(scope, move || start_all(scope, &to_serve))?;
        loop {
            match listener.accept() {
                Ok((socket, _)) => accepted.send(socket)?,
                Err(error) => {
                    log_failure(&error, true);
                    if !is_about_one_connection(&error) {
                        thread::sleep(ACCEPT_PAUSE_MAX);
                    }
                }
            }
        }
    })
}

fn start_all<'scope>(scope: &'scope Scope<'scope, '_>, to_serve: &Receiver<TcpStream>) {
    let (idle_threads, next) = bounded::<TcpStream>(0);
    for socket in to_serve {
        let Err(refused) = idle_threads.try_send(socket) else { continue };
        let (first, more) = (refused.into_inner(), next.clone());
        let thread = Builder::new().stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn_scoped(scope, move || echo_one_after_another(first, &more)) {
            process::note_no_thread(&error);
        }
    }
}

fn echo_one_after_another(first: TcpStream, more: &Receiver<TcpStream>) {
    let mut next = Some(first);
    while let Some(socket) = next {
        // A connection that breaks is over like one that ends.
        let _ = echo(&socket);
        drop(socket);
        next = more.recv_timeout(IDLE).ok();
    }
}

fn echo(mut socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; CLIENT_READ_BYTES];
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        socket.write_all(&buffer[..count])?;
    }
}
