//! One thread that serves one client at a time, to its end: the simplest server there is.
//!
//! It speaks the rules as well as the others, reads and writes a batch at once, and has no neighbours.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;

use proxyherd::config::Config;
use proxyherd_bench::clock;
use proxyherd_bench::listen::{
    ACCEPT_PAUSE_MAX, Opened, is_about_one_connection, listen, note_accept_failure,
};
use proxyherd_bench::process::{self, Failure};
use proxyherd_bench::shared::{LINGER_READS_MAX, LINGER_WAIT, Port, Shared, WRITE_WAIT_MAX};
use proxyherd_bench::talk::{Pause, Talk, Turn};

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let shared = Shared::new(config)?;
    let listener = listen(shared.clients, Opened::Once)?;
    process::exit_on_signal()?;
    shared.note_serving();
    let mut turn = Turn::default();
    loop {
        match listener.accept() {
            Ok((socket, from)) => {
                shared.enter(Port::Client);
                let mut talk = Talk::begin(&shared, Port::Client, from)?;
                let how = converse(&shared, &mut talk, &socket, &mut turn);
                if how.is_err() {
                    // What could not be sent must not reach the next client.
                    turn = Turn::default();
                }
                talk.ended(&how);
                shared.leave(Port::Client);
            }
            Err(error) => {
                note_accept_failure(&error, true);
                if !is_about_one_connection(&error) {
                    thread::sleep(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }
}

fn converse(shared: &Shared, talk: &mut Talk, mut socket: &TcpStream, turn: &mut Turn) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_WAIT_MAX))?;
    let mut framing = talk.port.framing();
    loop {
        let count = match socket.read(framing.space()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        framing.filled(count);
        let received = clock::now();
        loop {
            let pause = talk.lines(shared, turn, &mut framing, received);
            turn.settle(shared);
            if !turn.replies().is_empty() {
                socket.write_all(turn.replies())?;
                turn.sent();
            }
            match pause {
                Pause::Empty => break,
                Pause::Full | Pause::Met(_) => {}
                Pause::Ask(search) => {
                    talk.answered(shared, turn, &search, shared.places.nearby(search.nearby()));
                }
                Pause::Close => return linger(socket),
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// Says that nothing more will be sent, and reads on for a moment until the other side has closed too.
fn linger(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(LINGER_WAIT))?;
    let mut ignored = [0; 4096];
    for _ in 0..LINGER_READS_MAX {
        match socket.read(&mut ignored) {
            Ok(1..) => {}
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}
