//! Addresses for servers that a test starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

/// An address that nothing else uses: a loopback address of this process's own, with a port that is free.
///
/// The port is bound but never listened on. A process that another test starts at this moment holds a copy of the
/// socket until it runs its own program: a copy that listened would take connections that are meant for the server,
/// and reset them, and one without `SO_REUSEADDR` would keep the server from binding.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let third = (std::process::id() % 251) as u8;
    let host = Ipv4Addr::new(127, 64 + (next / 250 % 128) as u8, third, 1 + (next % 250) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((IpAddr::V4(host), 0)).into()).unwrap();
    socket.local_addr().unwrap().as_socket().unwrap()
}
