//! TLS with real programs: openssl and curl, a pair that is renewed while the server runs, and pairs that are wrong.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Signal;

use crate::free_address::free_address;
use crate::real::{RealHerd, eventually, note};

/// Whether a program is there; if not, the test says so and is over.
pub(crate) fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        note(format_args!("skipped: it takes {program} (Debian: apt-get install {program})"));
    }
    is_there
}

/// Makes a certificate and its key as `OPERATING.md` has it.
pub(crate) fn make_pair(cert: &Path, key: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    let made = openssl.arg("-keyout").arg(key).arg("-out").arg(cert).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// One server with ports for TLS.
struct Secured {
    herd: RealHerd,
    https: SocketAddr,
    client_tls: SocketAddr,
}

impl Secured {
    /// With a pair made as `OPERATING.md` has it, not started.
    fn new() -> Secured {
        let options = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        let herd = RealHerd::new(&["Alford"], &[], &options);
        let (https, client_tls) = (free_address(), free_address());
        let path = herd.path("herd.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}https = \"{https}\"\nclient_tls = \"{client_tls}\"\n")).unwrap();
        let secured = Secured { herd, https, client_tls };
        secured.make_pair("cert.pem", "key.pem");
        secured
    }

    fn start() -> Secured {
        let mut secured = Secured::new();
        secured.herd.start_one("Alford");
        secured
    }

    fn make_pair(&self, cert: &str, key: &str) {
        let [cert, key] = [cert, key].map(|file| self.herd.path(file));
        make_pair(&cert, &key);
    }

    fn cert(&self) -> PathBuf {
        self.herd.path("cert.pem")
    }

    /// What `openssl s_client` says of a connection, with these options.
    fn openssl(&self, to: SocketAddr, options: &[&str]) -> OpenSsl {
        // So that a test that waits in vain comes to its end.
        let mut command = Command::new("timeout");
        command.args(["60", "openssl", "s_client", "-connect", &to.to_string(), "-servername", "localhost"]);
        command.args(options).arg("-CAfile").arg(self.cert());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        OpenSsl { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// The serial number of the certificate that a new connection is shown.
    fn serial(&self) -> String {
        let shown = self.openssl(self.https, &[]).rest();
        let begin = shown.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
        let mut x509 = Command::new("openssl");
        x509.args(["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = x509.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&shown.as_bytes()[begin..]).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--connect-to"]);
        curl.arg(format!("localhost:443:{}", self.https)).arg("--cacert").arg(self.cert());
        let done = curl.args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// A connection of openssl.
struct OpenSsl {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl OpenSsl {
    /// The next line that begins like this.
    fn line(&mut self, begins: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the connection ended before {begins:?}");
            if line.trim_start().starts_with(begins) {
                return line;
            }
        }
    }

    fn ask(&mut self, line: &str, begins: &str) -> String {
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.line(begins)
    }

    /// All that it says when nothing more is sent.
    fn rest(self) -> String {
        let OpenSsl { child, stdin, mut stdout } = self;
        drop(stdin);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
        OpenSsl::reap(child);
        rest
    }

    fn reap(mut child: Child) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn openssl_speaks_lines_in_both_versions() {
    if !has("openssl") {
        return;
    }
    let secured = Secured::start();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut talk = secured.openssl(secured.client_tls, &[version, "-verify_return_error", "-ign_eof"]);
        assert!(talk.line("New, ").contains(name));
        assert!(talk.line("Verify return code").contains(": 0 (ok)"));
        let reply = talk.ask(&format!("IAMAT {name} +1+1 1"), "AT ");
        assert!(reply.starts_with("AT Alford +") && reply.ends_with(&format!(" {name} +1+1 1\n")), "{reply}");
        // New keys for both directions are asked for with `K`, and are no line.
        if version == "-tls1_3" {
            assert_eq!(talk.ask("y", "? y"), "? y\n");
        }
        OpenSsl::reap(talk.child);
    }
    for version in ["-tls1_1", "-tls1"] {
        let refused = secured.openssl(secured.client_tls, &[version]).rest();
        assert!(!refused.contains("BEGIN CERTIFICATE"), "{refused}");
    }
    assert_eq!(
        secured.openssl(secured.https, &["-alpn", "h2"]).rest().matches("BEGIN CERTIFICATE").count(),
        0
    );
}

#[test]
fn curl_reports_and_asks_over_https() {
    if !has("openssl") || !has("curl") {
        return;
    }
    let secured = Secured::start();
    let report = r#"{"_type":"location","lat":34.5,"lon":-118.25,"tst":1700000000,"tid":"ja"}"#;
    let path = secured.herd.path("report.json");
    fs::write(&path, report).unwrap();
    let upload = format!("@{}", path.display());
    let json = ["-H", "Content-Type: application/json", "-H", "X-Limit-U: jane", "-H", "X-Limit-D: phone"];
    let post = |more: &[&str]| {
        let words: Vec<&str> = json.iter().chain(more).copied().collect();
        secured.curl(&[&words[..], &["--data-binary", upload.as_str()]].concat())
    };
    assert!(post(&["https://localhost/pub"]).starts_with('['));
    assert!(post(&["-H", "Transfer-Encoding: chunked", "https://localhost/pub"]).starts_with('['));
    let known = secured.curl(&["https://localhost/v1/clients/jane%2Fphone"]);
    assert!(known.contains("\"jane/phone\""), "{known}");
    // Two requests on one connection, and one without a body.
    let url = "https://localhost/health";
    let written = secured.curl(&[
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        "%{num_connects} %{http_version} ",
        url,
        url,
    ]);
    assert_eq!(written, "1 1.1 0 1.1 ");
    assert!(secured.curl(&["--head", url]).starts_with("HTTP/1.1 200 OK"));
    for version in ["--tls-max", "--tlsv1.3"] {
        let options: &[&str] =
            if version == "--tls-max" { &["--tls-max", "1.2", url] } else { &[version, url] };
        secured.curl(options);
    }
    // Plain text where TLS is spoken.
    let plain = secured.curl(&["-i", &format!("http://{}/health", secured.https)]);
    assert!(
        plain.starts_with("HTTP/1.1 400 ") && plain.contains("this port speaks TLS: use https"),
        "{plain}"
    );
}

#[test]
fn renewed_pair_is_for_new_connections() {
    if !has("openssl") {
        return;
    }
    let mut secured = Secured::start();
    let mut old = secured.openssl(secured.client_tls, &["-ign_eof"]);
    assert_eq!(old.ask("before", "? before"), "? before\n");
    let first = secured.serial();
    // As programs that renew certificates do it: both files are replaced, one after the other.
    secured.make_pair("cert.new", "key.new");
    fs::rename(secured.herd.path("cert.new"), secured.cert()).unwrap();
    secured.herd.signal("Alford", Signal::HUP);
    let log = |secured: &Secured, words: &str| {
        eventually(words, || secured.herd.log_so_far("Alford").contains(words).then_some(()));
    };
    log(
        &secured,
        "the certificate is as it was before: the key in key.pem is not that of the first certificate in cert.pem",
    );
    assert_eq!(secured.serial(), first);
    fs::rename(secured.herd.path("key.new"), secured.herd.path("key.pem")).unwrap();
    secured.herd.signal("Alford", Signal::HUP);
    log(&secured, "cert.pem and key.pem are read again, good until ");
    assert_ne!(secured.serial(), first);
    assert_eq!(old.ask("after", "? after"), "? after\n");
    OpenSsl::reap(old.child);
    assert_eq!(secured.herd.terminate("Alford").0.code(), Some(0));
    let log = secured.herd.log("Alford");
    assert!(log.contains(" serves clients on ") && log.contains(", and clients in TLS on "), "{log}");
    assert!(
        log.contains(", and HTTPS on ") && log.contains(" tls_handshakes=4 tls_handshakes_failed=0 "),
        "{log}"
    );
}

#[test]
fn wrong_pair_is_refused_at_the_start() {
    if !has("openssl") {
        return;
    }
    let mut secured = Secured::new();
    secured.make_pair("other.pem", "key.pem");
    secured.herd.spawn("Alford");
    assert_eq!(secured.herd.ended("Alford").0.code(), Some(2));
    let said = secured.herd.complaints("Alford");
    assert!(
        said.contains("proxyherd: the key in key.pem is not that of the first certificate in cert.pem"),
        "{said}"
    );
}
