//! A client that vanishes without a word, as a phone without coverage does: the server finds out by itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::real::{RealHerd, eventually, note};

/// Starts what follows in a network of its own, in which the server can be reached.
const IN_OWN_NETWORK: &str = "set -- unshare --net sh -c 'ip link set lo up && exec \"$@\"' sh \"$@\";";

/// No client is let go before it has had the time to take its replies.
const OPTIONS: [&str; 6] = ["--vanished-time-max", "4s", "--reply-time-max", "2s", "--log-level", "info"];

#[test]
fn client_that_vanishes_is_let_go_although_it_never_hangs_up() {
    let runs = |command: &mut Command| command.output().is_ok_and(|it| it.status.success());
    if !runs(Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"])) {
        note(format_args!("skipped: it takes the superuser, unshare and ip (Debian: util-linux, iproute2)"));
        return;
    }
    let mut herd = RealHerd::new(&["Alford"], &[], &OPTIONS);
    herd.spawn_in_shell("Alford", IN_OWN_NETWORK);
    let address = herd.address("Alford").to_string();
    eventually("it serves", || herd.log_so_far("Alford").contains(" serves clients on ").then_some(()));
    let inside = |herd: &mut RealHerd| {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &herd.process_id("Alford").to_string()]);
        command
    };
    let mut client = inside(&mut herd);
    client.args([env!("CARGO_BIN_EXE_proxyherd"), "client", &address]);
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    let mut asks = client.stdin.take().unwrap();
    let mut replies = BufReader::new(client.stdout.take().unwrap());
    asks.write_all(b"x\n").unwrap();
    asks.flush().unwrap();
    let mut reply = String::new();
    replies.read_line(&mut reply).unwrap();
    assert_eq!(reply, "? x\n");
    assert!(!herd.log("Alford").contains(" disconnected"));

    // From now on no packet reaches either side, and neither says anything.
    assert!(runs(inside(&mut herd).args(["ip", "link", "set", "lo", "down"])));
    eventually("it is let go", || herd.log("Alford").contains(" disconnected").then_some(()));
    assert!(client.try_wait().unwrap().is_none(), "it never hung up");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    assert!(herd.log("Alford").contains(" over_idle_time=0 "), "{}", herd.log("Alford"));
}
