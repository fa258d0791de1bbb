//! A thread for every connection: one that has just finished with another, or a new one.
//!
//! A thread still serves one connection from its first byte to its last. Keeping it for a while afterwards
//! saves the cost of starting one, which nearly doubles the connections that can be served in a second.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, Scope};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Shared;
use super::conversation;
use super::listen::{Accepted, Port};

/// The stack of a connection's thread. Only what is touched costs memory, so this is generous.
pub(super) const STACK_BYTES: usize = 512 * 1024;

/// How long a thread without a connection waits for one.
const IDLE: Duration = Duration::from_secs(10);

/// Hands every accepted connection to a thread, until accepting has ended.
pub(super) fn serve_all<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    accepted: &Receiver<Accepted<'env>>,
) {
    // No capacity: a connection is handed over only to a thread that is waiting for one.
    let (idle_threads, next_connection) = bounded::<Accepted>(0);
    let mut started = 0_u64;
    for connection in accepted {
        if connection.port == Port::Client && shared.clients_open() >= shared.connections_max {
            refuse(shared, &connection, "too many connections here; try another server of the herd");
            continue;
        }
        shared.conversation_begins(connection.port);
        if let Err(connection) = hand_over(&idle_threads, connection) {
            started += 1;
            let name = format!("connection-{started}");
            // The connection crosses in a slot of its own, so that it is still here if no thread can be had.
            let (slot, first) = bounded(1);
            let more = next_connection.clone();
            let thread = Builder::new().name(name).stack_size(STACK_BYTES);
            match thread.spawn_scoped(scope, move || serve_one_after_another(shared, &first, &more)) {
                Ok(_) => drop(slot.send(connection)),
                Err(error) => {
                    shared.conversation_ended(connection.port);
                    log::warn!(
                        "no thread for a connection: {error}; raise the limits on processes or mappings"
                    );
                    refuse(shared, &connection, "no thread for one more connection; try again later");
                }
            }
        }
    }
}

/// Gives the connection to a thread that waits for one, or back.
fn hand_over<'a>(idle_threads: &Sender<Accepted<'a>>, connection: Accepted<'a>) -> Result<(), Accepted<'a>> {
    idle_threads.try_send(connection).map_err(|error| error.into_inner())
}

fn serve_one_after_another<'a>(
    shared: &'a Shared,
    first: &Receiver<Accepted<'a>>,
    more: &Receiver<Accepted<'a>>,
) {
    let mut next = first.recv().ok();
    while let Some(connection) = next {
        let (port, from) = (connection.port, connection.from);
        // A bug of ours costs this one connection, and nobody else's.
        let ended = catch_unwind(AssertUnwindSafe(|| conversation::serve(shared, connection)));
        shared.conversation_ended(port);
        if ended.is_err() {
            shared.stats.bugs.add(1);
            log::error!(
                "bug: the conversation with {from} panicked; please report what stands on standard error"
            );
        }
        next = more.recv_timeout(IDLE).ok();
    }
}

/// Tells the client in one line why it is not served. It must not hold up the others, so it is tried once.
fn refuse(shared: &Shared, connection: &Accepted<'_>, why: &str) {
    shared.stats.connections_refused.add(1);
    log::warn!("refused {}: {why}", connection.from);
    let _ = connection.socket.set_nonblocking(true);
    let _ = std::io::Write::write(&mut &*connection.socket, format!("? {why}\n").as_bytes());
}
