//! Real proxies in front of a server: HAProxy and nginx name their clients by the PROXY protocol, and look whether the
//! server is there.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};

use crate::free_address::free_address;
use crate::real::{RealHerd, eventually, note};
use crate::transcripts::sockets::WAIT;

/// Where the client is, as the proxy sees it. The proxy itself is elsewhere on this machine.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 50);

/// A proxy that is killed when the test ends.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // One that has ended cannot be killed any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program is there; if not, the test says so and is over.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("-v").output().is_ok();
    if !is_there {
        note(format_args!("skipped: it takes {program} (Debian: apt-get install {program})"));
    }
    is_there
}

fn herd() -> RealHerd {
    RealHerd::start(&["Alford"], &[], &["--proxy-from", "127.0.0.1", "--log-level", "info"])
}

/// A line over a proxy, and what comes back, on a connection that stays.
fn ask(proxy: SocketAddr, line: &str) -> (String, TcpStream) {
    let mut stream = eventually("the proxy listens", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((CLIENT, 0)).into()).unwrap();
        socket.connect(&proxy.into()).ok().map(|()| TcpStream::from(socket))
    });
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut reply).unwrap();
    (reply, stream)
}

/// That all clients were who they are, and no other has left a trace.
fn check_log(mut herd: RealHerd, clients: usize) {
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    let connected: Vec<&str> = log.lines().filter(|line| line.ends_with(" connected")).collect();
    assert_eq!(connected.len(), clients, "{log}");
    assert!(connected.iter().all(|line| line.contains(&format!("client {CLIENT}:"))), "{log}");
    assert!(!log.contains(" WARN refused "), "{log}");
    assert!(log.contains(&format!(" clients_accepted={clients} ")), "{log}");
}

#[test]
fn haproxy_names_its_clients_and_its_health_checks_leave_no_trace() {
    if !has("haproxy") {
        return;
    }
    let herd = herd();
    let folder = tempfile::tempdir().unwrap();
    let mut config = "global\n log stdout format raw local0\n\
                      defaults\n mode tcp\n log global\n option log-health-checks\n \
                      timeout connect 10s\n timeout client 30s\n timeout server 30s\n"
        .to_owned();
    let ways = [
        ("v1", "send-proxy check check-send-proxy"),
        ("v2", "send-proxy-v2 check check-send-proxy"),
        ("more", "send-proxy-v2 proxy-v2-options unique-id,crc32c check"),
    ];
    let ways = ways.map(|(name, options)| {
        let address = free_address();
        let server = herd.address("Alford");
        writeln!(config, "listen {name}\n bind {address}\n unique-id-format %pid").unwrap();
        writeln!(config, " server alford {server} source 127.0.0.1 {options} inter 100ms").unwrap();
        (name, address)
    });
    let path = folder.path().join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    let mut haproxy = Command::new("haproxy");
    haproxy.args(["-db", "-f"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut haproxy = Proxy(haproxy.spawn().unwrap());
    let mut said = BufReader::new(haproxy.0.stdout.take().unwrap());
    let mut checked = 0;
    while checked < ways.len() {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "haproxy has ended");
        assert!(!line.contains(" failed, "), "{line}");
        checked += usize::from(line.contains("Health check for server") && line.contains(" succeeded"));
    }
    let held: Vec<TcpStream> = ways
        .iter()
        .map(|(name, address)| {
            let (reply, stream) = ask(*address, &format!("IAMAT {name} +1+1 1"));
            assert!(
                reply.starts_with("AT Alford ") && reply.ends_with(&format!(" {name} +1+1 1\n")),
                "{reply}"
            );
            stream
        })
        .collect();
    drop(held);
    drop(haproxy);
    check_log(herd, ways.len());
}

#[test]
fn nginx_names_its_clients() {
    if !has("nginx") {
        return;
    }
    let herd = herd();
    let folder = tempfile::tempdir().unwrap();
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let load = if Path::new(module).exists() { format!("load_module {module};\n") } else { String::new() };
    let (proxy, server) = (free_address(), herd.address("Alford"));
    let config = format!(
        "{load}daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nstream {{\n server {{ \
         listen {proxy}; proxy_pass {server}; proxy_bind 127.0.0.1; proxy_protocol on; }}\n}}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-c", "nginx.conf", "-e", "stderr", "-p"]).arg(folder.path());
    let mut nginx = Proxy(nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    if !load.is_empty() || nginx.0.try_wait().unwrap().is_none() {
        let (reply, stream) = ask(proxy, "IAMAT kiwi +1+1 1");
        assert!(reply.starts_with("AT Alford ") && reply.ends_with(" kiwi +1+1 1\n"), "{reply}");
        drop(stream);
        drop(nginx);
        check_log(herd, 1);
    } else {
        note(format_args!("skipped: this nginx has no stream module (Debian: libnginx-mod-stream)"));
    }
}
