//! A wire from one server to another that can be cut, go dark and heal: a relay of TCP connections.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, Scope};

use parking_lot::{Condvar, Mutex, MutexGuard};
use socket2::SockRef;

use crate::free_address::free_address;
use crate::talk::WAIT;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// What a wire does with what is sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// It arrives.
    Fair,
    /// Connections break, and new ones are refused.
    Cut,
    /// Connections live and new ones can be made, and nothing arrives: no byte, no end of a stream.
    Dark,
    /// The test is over.
    Over,
}

/// A wire on which one server dials another.
pub(crate) struct Relay {
    /// Where the one dials.
    pub(crate) address: SocketAddr,
    /// Where the other listens.
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    weather: Weather,
    listener: Option<TcpListener>,
    /// Both sockets of each connection.
    sockets: BTreeMap<u64, [TcpStream; 2]>,
    next: u64,
    /// Ends of connections that have not been closed by their server.
    ends_open: usize,
}

impl Relay {
    /// A wire to a server that listens, or will, at `target`.
    pub(crate) fn new(target: SocketAddr) -> Relay {
        let sockets = BTreeMap::new();
        let state = State { weather: Weather::Fair, listener: None, sockets, next: 0, ends_open: 0 };
        Relay { address: free_address(), target, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Carries connections until it is over.
    pub(crate) fn run<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        scope.spawn(move || {
            while self.wait_until(|state| state.weather != Weather::Cut).weather != Weather::Over {
                let listener = TcpListener::bind(self.address).unwrap();
                self.state().listener = Some(listener.try_clone().unwrap());
                // Cut before anybody listened?
                while !self.is_broken() {
                    let Ok((near, _)) = listener.accept() else { break };
                    scope.spawn(move || self.carry(&near));
                }
                self.state().listener = None;
            }
        });
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.turn(Weather::Cut);
    }

    /// Lets nothing arrive.
    pub(crate) fn darken(&self) {
        self.turn(Weather::Dark);
    }

    /// Lets everything arrive, what was sent in the dark included.
    pub(crate) fn heal(&self) {
        self.turn(Weather::Fair);
    }

    /// Ends all threads.
    pub(crate) fn end(&self) {
        self.turn(Weather::Over);
    }

    /// Waits until a connection is up.
    pub(crate) fn wait_until_up(&self) {
        drop(self.wait_until(|state| state.ends_open == 2));
    }

    /// Waits until the servers at both ends have closed all that was connected, of their own accord.
    pub(crate) fn wait_until_given_up(&self) {
        drop(self.wait_until(|state| state.ends_open == 0));
    }

    fn turn(&self, weather: Weather) {
        let mut state = self.state();
        state.weather = weather;
        if matches!(weather, Weather::Cut | Weather::Over) {
            state.sockets.values().flatten().for_each(|socket| hang_up(socket, Shutdown::Both));
            if let Some(listener) = state.listener.take() {
                // Wakes the thread that accepts, and from now on refuses.
                let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn carry(&self, near: &TcpStream) {
        if self.wait_until(|state| state.weather != Weather::Dark).weather != Weather::Fair {
            return;
        }
        // The other server may not be there.
        let Ok(far) = TcpStream::connect(self.target) else { return };
        let mut state = self.state();
        if matches!(state.weather, Weather::Cut | Weather::Over) {
            return;
        }
        let key = state.next;
        state.next += 1;
        state.sockets.insert(key, [near, &far].map(|socket| socket.try_clone().unwrap()));
        state.ends_open += 2;
        drop(state);
        self.changed.notify_all();
        thread::scope(|scope| {
            scope.spawn(|| self.carry_one_way(&far, near));
            self.carry_one_way(near, &far);
        });
        self.state().sockets.remove(&key);
    }

    /// What comes in the dark is held until the first that comes after it, and a server beats every second.
    fn carry_one_way(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = vec![0; READ_BYTES];
        let mut held = Vec::new();
        loop {
            let count = from.read(&mut buffer).unwrap_or(0);
            held.extend_from_slice(&buffer[..count]);
            if count == 0 {
                self.state().ends_open -= 1;
                self.changed.notify_all();
                drop(self.wait_until(|state| state.weather != Weather::Dark));
            }
            if self.state().weather == Weather::Dark {
                continue;
            }
            let written = to.write_all(&held);
            held.clear();
            if count == 0 || written.is_err() {
                // The other direction lives on, unless its end is gone too.
                hang_up(to, Shutdown::Write);
            }
            if count == 0 {
                return;
            }
        }
    }

    fn is_broken(&self) -> bool {
        matches!(self.state().weather, Weather::Cut | Weather::Over)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn wait_until(&self, found: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let is_over = |state: &State| state.weather == Weather::Over || found(state);
        self.changed.wait_while_for(&mut state, |state| !is_over(state), WAIT);
        assert!(is_over(&state), "not within {WAIT:?}: {:?}, {} ends open", state.weather, state.ends_open);
        state
    }
}

/// It fails only if the other side has closed it already.
fn hang_up(socket: &TcpStream, half: Shutdown) {
    let _ = socket.shutdown(half);
}
