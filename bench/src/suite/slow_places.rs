//! A provider of places on this machine that takes its time, in the form of Google's older one.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, Scope, park_timeout};
use std::time::Duration;

/// What it answers, whatever it is asked.
const ANSWER: &str = r#"{
   "html_attributions" : [],
   "results" : [
      {
         "geometry" : { "location" : { "lat" : 34.0689, "lng" : -118.4451 } },
         "name" : "Slow Food",
         "place_id" : "slow-1",
         "types" : [ "restaurant" ],
         "vicinity" : "Somewhere near"
      }
   ],
   "status" : "OK"
}
"#;

/// How long a connection may be silent before it is looked whether all is over.
const SILENCE: Duration = Duration::from_millis(200);

/// A provider that runs until this is dropped.
#[derive(Debug)]
pub(super) struct SlowPlaces<'a> {
    address: SocketAddr,
    state: &'a State,
}

/// What its threads share.
#[derive(Debug, Default)]
pub(super) struct State {
    stop: AtomicBool,
    answers: AtomicU64,
}

impl<'a> SlowPlaces<'a> {
    /// Starts it in threads of `scope`: one for each connection, each waiting for `delay` before it answers.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        state: &'env State,
        delay: Duration,
    ) -> io::Result<SlowPlaces<'env>>
    where
        'env: 'a,
    {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Builder::new().spawn_scoped(scope, move || {
            while let Ok((socket, _)) = listener.accept() {
                if state.stop.load(Ordering::Relaxed) {
                    return;
                }
                let answer = move || {
                    // The other side may hang up whenever it likes.
                    let _ = serve(socket, state, delay);
                };
                // Without a thread the connection closes, and the server under test reports the failure.
                let _ = Builder::new().spawn_scoped(scope, answer);
            }
        })?;
        Ok(SlowPlaces { address, state })
    }

    /// Its address as servers are told it.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers given so far.
    pub(super) fn answers(&self) -> u64 {
        self.state.answers.load(Ordering::Relaxed)
    }
}

impl Drop for SlowPlaces<'_> {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: TcpStream, state: &State, delay: Duration) -> io::Result<()> {
    socket.set_read_timeout(Some(SILENCE))?;
    socket.set_nodelay(true)?;
    let mut lines = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    loop {
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(()),
            // The empty line ends a request; a GET has no body.
            Ok(_) if line == "\r\n" => {
                park_timeout(delay);
                let length = ANSWER.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
                (&socket).write_all(format!("{head} {length}\r\n\r\n{ANSWER}").as_bytes())?;
                state.answers.fetch_add(1, Ordering::Relaxed);
                line.clear();
            }
            Ok(_) => line.clear(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if state.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn requests_on_one_connection_are_answered_in_turn() {
        let state = State::default();
        std::thread::scope(|scope| {
            let places = SlowPlaces::start(scope, &state, Duration::from_millis(1)).unwrap();
            let mut socket = TcpStream::connect(places.address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            for _ in 0..2 {
                socket.write_all(b"GET /maps/x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                let mut byte = [0];
                while !answer.ends_with(ANSWER.as_bytes()) {
                    socket.read_exact(&mut byte).unwrap();
                    answer.extend_from_slice(&byte);
                }
                assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            }
            // The second is counted after it was sent, so only the first is sure.
            assert!(places.answers() >= 1);
        });
    }
}
