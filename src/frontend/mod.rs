//! The doors: what is spoken on each port, one file for each, and the thread that serves one connection.

pub mod access;
pub mod admin;
pub mod connection;
pub mod failed_logins;
pub mod http;
pub mod keys;
pub mod line;
pub mod mqtt;
pub mod page;
pub mod peer;
pub mod protocol;
pub mod relay;
mod sealed;
pub mod sessions;

use std::io;

use self::connection::Shared;
use self::protocol::Protocol;
use crate::net::accept::Accepted;

/// Serves a connection from its first byte to its last.
pub fn serve(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) {
    let remote = protocol::remote(&accepted);
    let metrics = &shared.member.metrics;
    remote.log_connected(metrics);
    remote.log_disconnected(metrics, serve_by(shared, accepted).err().as_ref());
}

/// Each door has a frame of its own: what one of them needs of the stack, every thread would need.
fn serve_by(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) -> io::Result<()> {
    match accepted.door.protocol {
        Protocol::Line | Protocol::LineTls => line::serve(shared, accepted),
        Protocol::Peer => peer::serve(shared, accepted),
        Protocol::Http | Protocol::Https => serve_http(shared, accepted),
        Protocol::Mqtt | Protocol::Mqtts => serve_mqtt(shared, accepted),
    }
}

#[expect(clippy::boxed_local, reason = "by value it would stand on the stack while the connection lives")]
#[inline(never)]
fn serve_http(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) -> io::Result<()> {
    http::serve(*shared, *accepted)
}

#[expect(clippy::boxed_local, reason = "by value it would stand on the stack while the connection lives")]
#[inline(never)]
fn serve_mqtt(shared: &Shared<'_>, accepted: Box<Accepted<'_, Protocol>>) -> io::Result<()> {
    mqtt::serve(*shared, *accepted)
}
