//! Who is connected over MQTT: what they tell each other, and that a client which connects again takes the place of its
//! older connection, because a phone that has changed networks is not to wait until the old one is given up.

use std::collections::HashMap;
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::relay::Relay;
use crate::net::stream::{Stream, hang_up};
use crate::os::sync::Mutex;

/// A client: only its own user can take its place.
type Key = (String, String);

/// The clients that are connected.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Key, Arc<Holder>>>,
    /// What they tell each other, if that is passed on.
    pub relay: Option<Relay>,
}

#[derive(Debug)]
struct Holder {
    stream: Arc<Stream>,
    is_taken_over: AtomicBool,
}

/// The place of a client, until it is dropped.
#[derive(Debug)]
pub(super) struct Session<'a> {
    sessions: &'a Sessions,
    key: Key,
    holder: Arc<Holder>,
}

impl Sessions {
    /// No client is connected yet. Whether messages are passed on is an option.
    pub fn new(relays: bool) -> Sessions {
        Sessions { relay: relays.then(Relay::default), ..Sessions::default() }
    }

    /// A client is here. Says whether an older connection of it must go, whose thread sees the end of its stream.
    pub(super) fn begin(&self, user: &str, client_id: &str, stream: &Arc<Stream>) -> (Session<'_>, bool) {
        let key = (user.to_owned(), client_id.to_owned());
        let holder = Arc::new(Holder { stream: Arc::clone(stream), is_taken_over: AtomicBool::new(false) });
        let older = self.open.lock().insert(key.clone(), Arc::clone(&holder));
        if let Some(older) = &older {
            older.is_taken_over.store(true, Ordering::Release);
            hang_up(&older.stream, Half::Read);
        }
        (Session { sessions: self, key, holder }, older.is_some())
    }
}

impl Session<'_> {
    /// Whether a newer connection of the client is here.
    pub(super) fn is_taken_over(&self) -> bool {
        self.holder.is_taken_over.load(Ordering::Acquire)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock();
        if open.get(&self.key).is_some_and(|holder| Arc::ptr_eq(holder, &self.holder)) {
            open.remove(&self.key);
        }
    }
}
