//! Real proxies in front of a server: HAProxy and nginx name their clients by the PROXY protocol, and look whether the
//! server is there.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
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

/// What comes back over HTTP, on a connection of its own.
fn over_http(address: SocketAddr, request: &str) -> String {
    let mut stream = eventually("the proxy listens", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn nginx_serves_the_herd_below_a_path() {
    if !has("nginx") {
        return;
    }
    let mut herd = RealHerd::with_http(&["Alford"], &[], &["--http-base-path", "proxyherd/"]);
    herd.start_one("Alford");
    let http = herd.http("Alford");
    let folder = tempfile::tempdir().unwrap();
    let proxy = free_address();
    // As a manual says it for any program: the path is passed on as it came.
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n access_log off;\n \
         client_body_temp_path body;\n proxy_temp_path temp;\n fastcgi_temp_path f;\n uwsgi_temp_path u;\n \
         scgi_temp_path s;\n server {{ listen {proxy}; location /proxyherd/ {{ proxy_pass http://{http}; }} }}\n}}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-c", "nginx.conf", "-e", "stderr", "-p"]).arg(folder.path());
    let _nginx = Proxy(nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let get = |path: &str| over_http(proxy, &format!("GET {path} HTTP/1.0\r\nHost: herd.example\r\n\r\n"));
    let body = "{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":1700000000,\"tid\":\"xx\"}";
    let report = format!(
        "POST /proxyherd/pub?u=jane&d=phone HTTP/1.0\r\nHost: herd.example\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = over_http(proxy, &report);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n[]"), "{answer}");
    let client = get("/proxyherd/v1/clients/jane%2Fphone");
    assert!(client.contains("\"latitude\":1.5"), "{client}");
    // The page names its files as its neighbours, so its own address must be that of a folder.
    assert!(get("/proxyherd/").contains("src=\"page/map.js\""));
    assert!(get("/proxyherd/page/map.js").contains("text/javascript"));
    let bare = over_http(http, "GET /proxyherd HTTP/1.0\r\n\r\n");
    assert!(bare.contains(" 308 ") && bare.contains("\r\nLocation: proxyherd/\r\n"), "{bare}");
    assert!(get("/proxyherd/health").contains("\"status\":\"ok\""));
    // Beside the path there is nothing, neither here nor where the proxy does not ask.
    assert!(get("/health").contains(" 404 "));
    for path in ["/health", "/", "/proxyherdx/health", "/v1/clients/jane%2Fphone"] {
        let answer = over_http(http, &format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("base path"), "{path}: {answer}");
    }
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}
