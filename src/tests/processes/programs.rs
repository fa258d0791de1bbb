//! Programs of others between a client and a server: relays that close both directions at once, and telnet.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::free_address::free_address;
use crate::real::{RealHerd, eventually, note};

/// Where nginx has its module for streams where that is not built in.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A program that is killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a program is; says so if it is not there.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        note(format_args!("skipped: this needs {name} (Debian: apt-get install {package})"));
    }
    found
}

/// Starts a relay, and waits until it takes connections.
fn start(command: &mut Command, at: SocketAddr) -> Running {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut running = Running(child);
    eventually("the relay listens", || {
        assert!(running.0.try_wait().unwrap().is_none(), "the relay has ended");
        TcpStream::connect(at).ok().map(drop)
    });
    running
}

fn nginx(program: &Path, folder: &Path, at: SocketAddr, server: SocketAddr) -> Running {
    let module = match Path::new(NGINX_STREAM).is_file() {
        true => format!("load_module {NGINX_STREAM};\n"),
        false => String::new(),
    };
    let config = format!(
        "{module}daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         stream {{ server {{ listen {at}; proxy_pass {server}; }} }}\n",
        folder.display()
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    start(Command::new(program).arg("-p").arg(folder).arg("-c").arg(path), at)
}

fn haproxy(program: &Path, folder: &Path, at: SocketAddr, server: SocketAddr) -> Running {
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
         listen herd\n  bind {at}\n  server Alford {server}\n"
    );
    let path = folder.join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    start(Command::new(program).arg("-db").arg("-f").arg(path), at)
}

/// Whether everything is answered through the relay: one request, a question, and many from a pipe.
fn holds(relay: SocketAddr) {
    let client = |args: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxyherd"));
        command.arg("client").arg(relay.to_string()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut keyboard = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // It is not read where the request is one of the arguments.
                let _ = keyboard.write_all(input.as_bytes());
            });
            child.wait_with_output().unwrap()
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, reply, notes) = client(&["iamat", "kiwi", "+34.068930-118.445127", "5"], "");
    assert_eq!((code, reply.lines().count(), notes.as_str()), (0, 1, ""), "{reply}");
    let (code, reply, notes) = client(&["whatsat", "kiwi", "10", "5"], "");
    assert!(code == 0 && notes.is_empty() && reply.ends_with("}\n\n"), "{reply}{notes}");
    let reports: String =
        (6..10_006).map(|time| format!("IAMAT kiwi +34.068930-118.445127 {time}\n")).collect();
    let (code, replies, notes) = client(&[], &(reports + "WHATSAT emu 10 5"));
    assert_eq!((code, replies.lines().count()), (1, 10_001));
    assert!(replies.ends_with("\n? WHATSAT emu 10 5\n"));
    assert_eq!(notes, "proxyherd: unknown client: no server has told of it\n");
}

#[test]
fn the_client_works_through_nginx() {
    let Some(program) = program("nginx", "nginx libnginx-mod-stream") else { return };
    let herd = RealHerd::start(&["Alford"], &[], &[]);
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let _relay = nginx(&program, folder.path(), at, herd.address("Alford"));
    holds(at);
}

#[test]
fn the_client_works_through_haproxy() {
    let Some(program) = program("haproxy", "haproxy") else { return };
    let herd = RealHerd::start(&["Alford"], &[], &[]);
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let _relay = haproxy(&program, folder.path(), at, herd.address("Alford"));
    holds(at);
}

#[test]
fn ctrl_c_in_telnet_spoils_no_command() {
    let (Some(_), Some(script)) = (program("telnet", "telnet"), program("script", "bsdutils")) else {
        return;
    };
    let herd = RealHerd::start(&["Alford"], &[], &[]);
    let address = herd.address("Alford");
    let telnet = format!("telnet {} {}", address.ip(), address.port());
    // It gives telnet a terminal, whose Ctrl-C it is.
    let mut command = Command::new(script);
    command.args(["-qec", &telnet, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut keyboard = running.0.stdin.take().unwrap();
    let mut screen = BufReader::new(running.0.stdout.take().unwrap());
    let mut until = |expected: &str| loop {
        let mut line = String::new();
        assert_ne!(screen.read_line(&mut line).unwrap(), 0, "telnet ended before {expected:?}");
        if line.contains(expected) {
            return;
        }
    };
    until("Escape character");
    keyboard.write_all(b"IAMAT kiwi +1+1 5\n").unwrap();
    until("AT Alford ");
    keyboard.write_all(b"\x03IAMAT kiwi +1+1 6\n").unwrap();
    until("AT Alford ");
    keyboard.write_all(b"\x03\x03hello\n").unwrap();
    until("? hello");
    drop(keyboard);
    running.0.kill().unwrap();
    let _ = screen.read_to_end(&mut Vec::new());
}
