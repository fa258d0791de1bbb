//! The binary as a person or a script meets it: what it prints, and its exit codes.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proxyherd::config::Herd;

use crate::free_address::free_address;

/// Long enough for any machine; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn proxyherd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxyherd"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: exit code, standard output, standard error.
fn outcome(args: &[&str]) -> (i32, String, String) {
    ended(proxyherd(args).spawn().unwrap())
}

/// Runs it to its end with this on its standard input.
fn outcome_with(args: &[&str], input: &str) -> (i32, String, String) {
    let mut child = proxyherd(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ended(child)
}

/// Waits for the end of a process; one that does not end by itself is killed, and has exit code -1.
fn ended(mut child: Child) -> (i32, String, String) {
    let (mut output, mut errors) = (child.stdout.take(), child.stderr.take().unwrap());
    let (done, wait) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut printed, mut complained) = (String::new(), String::new());
            if let Some(output) = &mut output {
                output.read_to_string(&mut printed).unwrap();
            }
            errors.read_to_string(&mut complained).unwrap();
            // The receiver is gone if it took too long.
            let _ = done.send((printed, complained));
        });
        let texts = wait.recv_timeout(PATIENCE);
        if texts.is_err() {
            child.kill().unwrap();
        }
        let code = child.wait().unwrap().code().unwrap_or(-1);
        let (printed, complained) = texts.unwrap_or_default();
        (code, printed, complained)
    })
}

/// While `check` runs, one connection is accepted at the address it is handed, and given to `server`.
fn with_server(server: impl FnOnce(TcpStream) + Send, check: impl FnOnce(SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            server(connection);
        });
        check(address);
    });
}

/// Sends `lines` lines and no end of the stream, which comes when they have been answered.
fn requests(connection: &TcpStream, lines: usize) -> String {
    let mut text = String::new();
    let mut reader = BufReader::new(connection);
    for _ in 0..lines {
        reader.read_line(&mut text).unwrap();
    }
    text
}

#[test]
fn the_printed_herd_is_one_to_start_from() {
    let (code, toml, errors) = outcome(&["herd"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(proxyherd::config::parse(&toml).unwrap(), Herd::suggested());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    fs::write(&path, &toml).unwrap();
    let path = path.to_str().unwrap();
    let (code, drawn, errors) = outcome(&["herd", "--check", path]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(drawn.starts_with(&proxyherd::config::draw(&Herd::built_in())), "{drawn}");
    assert_eq!(outcome(&["herd", "--herd", path]).1, toml);
}

#[test]
fn a_wrong_herd_is_one_sentence_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let toml = proxyherd::config::to_toml(&Herd::built_in());
    let server = "[servers.Zoe]\nclient = \"127.0.0.1:1\"\npeer = \"127.0.0.1:2\"\n";
    let cases = [
        (toml.replace("12551", "12550"), "give each an address of its own"),
        (toml.replace("\"Alford\", \"Parker\"", "\"Alford\", \"Nobody\""), "names \"Nobody\""),
        (toml.replace("\"Alford\", \"Powell\"", "\"Parker\", \"Alford\""), "is there twice"),
        (toml.clone() + server, "cannot reach Zoe: add a link between them"),
        (toml.clone() + "[servers.Alford]\n", "line 43, column 10: this name is there twice"),
        (toml.replace("catch_up", "catchup"), "unknown field `catchup`"),
    ];
    for (text, sentence) in cases {
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let uses: [&[&str]; 4] = [
            &["herd", "--check", path],
            &["herd", "--list", "--herd", path],
            &["serve", "Alford", "--herd", path],
            &["client", "--herd", path],
        ];
        for args in uses {
            let (code, output, errors) = outcome(args);
            assert_eq!((code, output.as_str()), (2, ""), "{args:?}");
            assert!(errors.starts_with(&format!("proxyherd: {path}: ")), "{errors}");
            assert!(errors.contains(sentence) && errors.lines().count() == 1, "{errors}");
        }
    }
}

#[test]
fn bad_usage_is_exit_code_2_and_help_is_0() {
    for args in [&[][..], &["serve"], &["sevre"], &["serve", "Alford", "--log-level", "loud"]] {
        assert_eq!(outcome(args).0, 2, "{args:?}");
    }
    let wild = "\u{1b}[2Jloud\nProxyherd: all is well";
    let (_, output, errors) = outcome(&["serve", "Alford", "--log-level", wild]);
    assert_eq!((output.as_str(), errors.lines().count()), ("", 1), "{errors}");
    assert!(errors.starts_with("proxyherd: invalid value '\\x1b[2Jloud\\nProxyherd: "), "{errors}");
    let (code, output, errors) = outcome(&["client", "--help"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.contains("proxyherd client Bolden whatsat kiwi 10 5"), "{output}");
}

#[test]
fn completions_and_manual_go_to_standard_output() {
    let (code, script, errors) = outcome(&["completions", "bash"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(script.contains("_proxyherd()"), "{script}");
    let (code, manual, errors) = outcome(&["man"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(manual.contains(".TH proxyherd 1"), "{manual}");
}

#[test]
fn a_closed_standard_output_ends_it_quietly() {
    for args in [&["herd"][..], &["man"], &["completions", "zsh"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let (code, _, errors) = ended(proxyherd(args).stdout(writer).spawn().unwrap());
        assert_eq!((code, errors.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn a_pipe_goes_to_the_server_and_its_replies_come_back() {
    let why = "proxyherd: wrong word: a line begins with IAMAT or WHATSAT, in capitals\n";
    let foreign = "proxyherd: this is no reply of a server of a herd: HTTP/1.1 400 Bad Request; \
                   is the address right?\n";
    for (reply, expected, why) in [
        ("AT a\nAT hello\nAT b\n", 0, ""),
        ("AT a\n? hello\nAT b\n", 1, why),
        ("HTTP/1.1 400 Bad Request\r\nServer: a\r\n\r\n<html>\n", 1, foreign),
    ] {
        with_server(
            |connection| {
                assert_eq!(requests(&connection, 3), "IAMAT a\nhello\nlast\n");
                (&connection).write_all(reply.as_bytes()).unwrap();
            },
            |address| {
                let args = ["client", &address.to_string()];
                let met = outcome_with(&args, "IAMAT a\nhello\nlast");
                assert_eq!(met, (expected, reply.to_owned(), why.to_owned()));
            },
        );
    }
}

#[test]
fn single_requests_find_the_server_by_its_name_in_the_herd() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let path = path.to_str().unwrap();
    let cases: [(&[&str], &str, &str, i32); 3] = [
        (&["Home", "iamat", "kiwi", "-33.8-151.2", "1.50"], "IAMAT kiwi -33.8-151.2 1.50\n", "AT Home\n", 0),
        (&["iamat", "kiwi", "+1+2"], "IAMAT kiwi +1+2 ", "AT Home\n", 0),
        (&["whatsat", "kiwi", "99", "5"], "WHATSAT kiwi 99 5\n", "? WHATSAT kiwi 99 5\n", 1),
    ];
    for (words, request, reply, expected) in cases {
        with_server(
            |connection| {
                let asked = requests(&connection, 1);
                assert!(asked.starts_with(request), "{asked:?}");
                assert_eq!(asked.matches('\n').count(), 1);
                (&connection).write_all(reply.as_bytes()).unwrap();
            },
            |address| {
                fs::write(path, format!("[servers.Home]\nclient = '{address}'\npeer = '127.0.0.1:1'\n"))
                    .unwrap();
                let args = [&["client", "--herd", path], words].concat();
                let why = ["", "proxyherd: bad radius: not an integer from 1 to 50\n"][expected as usize];
                assert_eq!(outcome(&args), (expected, reply.to_owned(), why.to_owned()));
            },
        );
    }
}

#[test]
fn a_reply_is_seen_before_the_input_ends_and_a_hang_up_ends_the_client() {
    with_server(
        |connection| {
            let mut request = String::new();
            BufReader::new(&connection).read_line(&mut request).unwrap();
            (&connection).write_all(b"AT a\n").unwrap();
            // Dropped here: the server hangs up while the terminal is still open.
        },
        |address| {
            let mut child =
                proxyherd(&["client", &address.to_string()]).stdin(Stdio::piped()).spawn().unwrap();
            let mut keyboard = child.stdin.take().unwrap();
            keyboard.write_all(b"IAMAT a\n").unwrap();
            let (code, output, errors) = ended(child);
            assert_eq!((code, output.as_str()), (2, "AT a\n"));
            assert!(errors.starts_with("proxyherd: the server closed the connection before"), "{errors}");
            drop(keyboard);
        },
    );
}

#[test]
fn server_that_does_not_listen_is_exit_code_2() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, output, errors) = outcome(&["client", &address, "iamat", "a", "+1+1"]);
    assert_eq!((code, output.as_str()), (2, ""));
    assert!(errors.starts_with(&format!("proxyherd: cannot connect to {address}: ")), "{errors}");
    assert_eq!(errors.lines().count(), 1);
}

/// Mistakes that only the system notices.
#[test]
fn a_server_that_cannot_start_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let serve = |client: &str, options: &[&str]| {
        let herd = format!("[servers.A]\nclient = '{client}'\npeer = '{}'\n", free_address());
        fs::write(path("herd.toml"), herd).unwrap();
        let herd = path("herd.toml");
        let (data, log) = (path("data"), path("log"));
        let own = ["serve", "A", "--herd", &herd, "--insecure"];
        let folders = ["--data-dir", &data, "--log-dir", &log];
        // An option that is given counts, and one of them only once.
        let folders =
            if options.first().is_some_and(|it| it.ends_with("-dir")) { &folders[..0] } else { &folders[..] };
        let (code, _, errors) = outcome(&[&own[..], folders, options].concat());
        assert_eq!(code, 2, "{errors}");
        errors
    };
    let free = free_address().to_string();
    fs::write(path("file"), "").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let (file, pipe) = (path("file"), path("pipe"));
    fs::create_dir(path("piped")).unwrap();
    fs::rename(path("pipe"), path("piped/A.log")).unwrap();
    let piped = path("piped");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(path("wide"), "k\0e\0y\0k\0e\0y\0k\0e\0y\0").unwrap();
    let wide = path("wide");
    let wide_key = ["--places", "google", "--google-key-file", &wide];
    let key = ["--places", "google", "--google-key-file", &pipe];
    let catalogue = format!("file:{pipe}");
    for (client, options, advice) in [
        (&taken, &[][..], "stop what uses it, or choose another in the herd file"),
        (&"192.0.2.1:4".to_owned(), &[], "this machine does not have it"),
        (&free, &["--log-dir", &file, "--durability", "none"], "or name another directory with --log-dir"),
        (
            &free,
            &["--data-dir", &file, "--log-dir", dir.path().to_str().unwrap()],
            "choose another with --data-dir",
        ),
        (&free, &["--log-dir", &piped, "--durability", "none"], "it is a pipe: move it away"),
        (
            &free,
            &["--data-dir", "/", "--log-dir", dir.path().to_str().unwrap()],
            "the data directory is /, where",
        ),
        (&free, &["--secret-file", &wide], "it has zero bytes: save it as UTF-8 text"),
        (&free, &wide_key, "it has zero bytes: save it as UTF-8 text"),
        (&free, &["--secret-file", &pipe], "it is a pipe: name a file"),
        (&free, &key, "it is a pipe: name a file"),
        (&free, &["--places", &catalogue], "it is a pipe: name a file"),
        (
            &free,
            &["--places", "yelp"],
            "places come from catalogue, file:PATH, google, google-legacy, overpass or photon",
        ),
        (&free, &["--places", "google"], "set PROXYHERD_GOOGLE_KEY or give --google-key-file"),
    ] {
        let errors = serve(client, options);
        assert!(errors.contains(advice), "{options:?}: {errors}");
    }
}

#[test]
fn a_log_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().to_str().unwrap();
    let herd = |file: &str| {
        let path = dir.path().join(file);
        let text = format!("[servers.A]\nclient = '{}'\npeer = '{}'\n", free_address(), free_address());
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (herd("first.toml"), herd("second.toml"));
    let words = |herd| ["serve", "A", "--herd", herd, "--log-dir", log, "--durability", "none"];
    let mut child = proxyherd(&words(&first)).spawn().unwrap();
    crate::real::eventually("it serves", || {
        fs::read_to_string(dir.path().join("A.log"))
            .is_ok_and(|text| text.contains("serves clients"))
            .then_some(())
    });
    let (code, _, errors) = outcome(&words(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(code, 2);
    assert!(errors.contains("A.log: another server writes it: stop that one"), "{errors}");
}
