//! Listening, with what every accepted socket inherits.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::os::sync::TcpListener;

/// Connections that the kernel holds until they are accepted. The standard library's 128 overflows in a
/// storm, and a client whose SYN was dropped waits a second to try again.
const BACKLOG: i32 = 4096;

/// Replies are written when they have grown to this, even if more lines wait: memory is bounded whatever a
/// client pipelines.
pub const REPLIES_BYTES_MAX: usize = 64 * 1024;

/// What the kernel may keep of what one client has sent and nobody has read: four reads. A client that sends without
/// taking its replies is not read, and what waits then would otherwise grow to megabytes.
pub const INPUT_BYTES_MAX: usize = 32 * 1024;

/// The kernel asks for signs of life at whole seconds.
const KEEPALIVE_FLOOR: Duration = Duration::from_secs(1);

/// How the bytes owed to one client are shared out: so many wait in this process, then so many in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Replies are written when they have grown to this.
    pub replies_bytes_max: usize,
    /// What the kernel's buffer of a socket may take up.
    pub kernel_bytes_max: usize,
}

impl Output {
    /// A quarter for this process, up to what is worth writing at once, and the rest for the kernel.
    pub fn shared_out(output_bytes_max: u32) -> Output {
        let all = output_bytes_max as usize;
        let replies_bytes_max = (all / 4).min(REPLIES_BYTES_MAX);
        Output { replies_bytes_max, kernel_bytes_max: all - replies_bytes_max }
    }
}

/// How the kernel finds out that the other side of a connection has vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vanished {
    keepalive_idle: Duration,
    keepalive_interval: Duration,
    /// How long the other side may acknowledge nothing that it was sent.
    unacknowledged: Duration,
}

impl Vanished {
    /// The kernel asks for a sign of life after half of `vanished_time_max` without any, then every eighth of it, and
    /// gives up after five sixths, at the next of these. What takes its replies slowly but in time is not cut.
    pub fn within(vanished_time_max: Duration, write_time_max: Duration) -> Vanished {
        Vanished {
            keepalive_idle: (vanished_time_max / 2).max(KEEPALIVE_FLOOR),
            keepalive_interval: (vanished_time_max / 8).max(KEEPALIVE_FLOOR),
            unacknowledged: (vanished_time_max * 5 / 6).max(write_time_max),
        }
    }

    fn watch(self, socket: &Socket) -> io::Result<()> {
        let keepalive =
            TcpKeepalive::new().with_time(self.keepalive_idle).with_interval(self.keepalive_interval);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(self.unacknowledged))
    }
}

/// Binds `address`, at once after a predecessor too, and listens.
///
/// Of what is sent to an accepted socket and nobody reads the kernel keeps `input_bytes_max`, if that is given, and as
/// much as it likes otherwise.
pub fn listen(
    address: SocketAddr,
    output: Output,
    input_bytes_max: Option<usize>,
    vanished: Vanished,
) -> io::Result<TcpListener> {
    let socket = unbound(address, output, input_bytes_max)?;
    // Accepted sockets inherit both, so it costs them no system call.
    vanished.watch(&socket)?;
    socket.set_tcp_nodelay(true)?;
    listen_on(socket, address)
}

/// A socket for [`listen_on`], with what [`listen`] gives one, to which more may be given before it is bound.
pub fn unbound(address: SocketAddr, output: Output, input_bytes_max: Option<usize>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Those of both families, whatever the system's default is.
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Accepted sockets inherit it, and the kernel then does not let it grow to megabytes. It takes twice the number,
    // of which what it needs for its own records is a part.
    socket.set_send_buffer_size(output.kernel_bytes_max / 2)?;
    if let Some(most) = input_bytes_max {
        socket.set_recv_buffer_size(most / 2)?;
    }
    Ok(socket)
}

/// Binds a socket to `address`, and listens.
pub fn listen_on(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::io::{ErrorKind, Write};
    use std::net::TcpStream;

    #[test]
    fn accepted_socket_asks_for_signs_of_life() {
        let second = Duration::from_secs;
        let vanished = Vanished::within(second(120), second(30));
        let at = "127.0.0.1:0".parse().unwrap();
        let listener = listen(at, Output::shared_out(32 << 10), None, vanished).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        let served = SockRef::from(&served);
        assert!(served.keepalive().unwrap());
        let times = (served.tcp_keepalive_time().unwrap(), served.tcp_keepalive_interval().unwrap());
        assert_eq!(times, (second(60), second(15)));
        assert_eq!(served.tcp_user_timeout().unwrap(), Some(second(100)));
        assert!(served.tcp_nodelay().unwrap(), "replies would wait for the other side");
        // The last question before it gives up comes within the time, from the shortest to the longest.
        for most in [4, 5, 6, 7, 10, 120, 12 * 60 * 60] {
            let Vanished { keepalive_idle, keepalive_interval, unacknowledged } =
                Vanished::within(second(most), second(1));
            let mut at = keepalive_idle + keepalive_interval;
            while at < unacknowledged {
                at += keepalive_interval;
            }
            assert!(at <= second(most), "{most} s: {at:?}");
        }
        assert_eq!(Vanished::within(second(120), second(600)).unacknowledged, second(600));
    }

    #[test]
    fn kernel_send_buffer_is_bounded() {
        for output_bytes_max in [32 << 10, 256 << 10] {
            let output = Output::shared_out(output_bytes_max);
            let all = output.replies_bytes_max + output.kernel_bytes_max;
            assert_eq!(all, output_bytes_max as usize);
            let listener = listen("127.0.0.1:0".parse().unwrap(), output, None, soon()).unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(&listener.local_addr().unwrap().into()).unwrap();
            let client = TcpStream::from(socket);
            let (mut served, _) = listener.accept().unwrap();
            assert!(SockRef::from(&served).send_buffer_size().unwrap() <= output.kernel_bytes_max);
            served.set_nonblocking(true).unwrap();
            let mut taken = 0;
            let refused = loop {
                match served.write(&[b'x'; 1024]) {
                    Ok(count) => taken += count,
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::WouldBlock);
            let at_the_client = SockRef::from(&client).recv_buffer_size().unwrap();
            assert!(taken <= output.kernel_bytes_max + at_the_client, "{taken} bytes");
        }
    }

    fn soon() -> Vanished {
        Vanished::within(Duration::from_secs(4), Duration::from_secs(1))
    }

    #[test]
    fn kernel_receive_buffer_is_bounded() {
        let output = Output::shared_out(32 << 10);
        let listener = listen("127.0.0.1:0".parse().unwrap(), output, Some(INPUT_BYTES_MAX), soon()).unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        let (served, _) = listener.accept().unwrap();
        assert!(SockRef::from(&served).recv_buffer_size().unwrap() <= INPUT_BYTES_MAX);
        socket.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from(socket);
        let mut taken = 0;
        let refused = loop {
            match client.write(&[b'x'; 1024]) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let at_the_client = SockRef::from(&client).send_buffer_size().unwrap();
        assert!(taken <= INPUT_BYTES_MAX + at_the_client, "{taken} bytes");
    }
}
