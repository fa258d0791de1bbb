//! One thread that serves one client at a time, to its end: the simplest server there is.
//!
//! It speaks the rules as well as the others, reads and writes a batch at once, and has no neighbours.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;

use proxyherd::config::Config;
use proxyherd::member::conversation::{Conversation, Pause};
use proxyherd::member::turn::Turn;
use proxyherd::net::accept::{ACCEPT_PAUSE_MAX, is_about_one_connection, log_failure};
use proxyherd::net::admission::Class;
use proxyherd::net::stream::linger;
use proxyherd::os::clock;
use proxyherd::proto::line::framing::Framing;
use proxyherd_bench::driver::{Driver, Opened, listen};
use proxyherd_bench::process::{self, Failure};

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let driver = Driver::new(config)?;
    let listener = listen(config, Class::Client, Opened::Once)?;
    process::exit_on_signal()?;
    driver.log_serving();
    let mut turn = Turn::new(&driver.member);
    loop {
        match listener.accept() {
            Ok((socket, from)) => {
                let send = |line: &[u8]| (&socket).write(line);
                let Some(_admitted) = driver.admit(Class::Client, from, send) else { continue };
                let mut conversation = driver.begin(Class::Client, from)?;
                let ended = converse(&driver, &mut conversation, &socket, &mut turn);
                if ended.is_err() {
                    // What could not be sent must not reach the next client.
                    turn = Turn::new(&driver.member);
                }
                conversation.remote().log_disconnected(&driver.member.metrics, ended.err().as_ref());
            }
            Err(error) => {
                log_failure(&error, true);
                if !is_about_one_connection(&error) {
                    thread::sleep(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }
}

fn converse(
    driver: &Driver,
    conversation: &mut Conversation,
    mut socket: &TcpStream,
    turn: &mut Turn,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(driver.config.limits.reply_time_max))?;
    let (mut framing, mut rate_limit) = (Framing::for_client(), driver.rate_limit());
    loop {
        let count = match socket.read(framing.space()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        framing.filled(count);
        let (member, received) = (&driver.member, clock::now());
        loop {
            let replies_bytes_max = driver.output.replies_bytes_max;
            match conversation.lines(member, turn, &mut framing, received, replies_bytes_max) {
                Pause::Empty => break,
                Pause::Full => flush(driver, conversation, socket, turn)?,
                Pause::Ask(query) => {
                    if member.asks_network() {
                        flush(driver, conversation, socket, turn)?;
                    }
                    let answer = member.nearby(query.nearby(), &mut rate_limit);
                    if !turn.has_room_for(answer.as_str()) {
                        flush(driver, conversation, socket, turn)?;
                    }
                    conversation.answer(turn, &query, answer.as_str());
                }
                Pause::Close(why) => {
                    member.closed(conversation.remote(), why);
                    flush(driver, conversation, socket, turn)?;
                    linger(socket);
                    return Ok(());
                }
                // Only a neighbour comes to these, and there is no port for one.
                Pause::Secured(_) | Pause::Authenticated(_) | Pause::Heartbeat(_) => {}
            }
        }
        flush(driver, conversation, socket, turn)?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Applies what is pending, then sends all replies.
fn flush(
    driver: &Driver,
    conversation: &Conversation,
    mut socket: &TcpStream,
    turn: &mut Turn,
) -> io::Result<()> {
    driver.member.flush(conversation, turn)?;
    if !turn.replies().is_empty() {
        socket.write_all(turn.replies())?;
        turn.sent();
    }
    Ok(())
}
