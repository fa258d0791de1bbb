//! Two servers with one name and one memory, because a data folder was copied; and one that restarts in haste.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::free_address::free_address;
use crate::real::{RealHerd, ask, eventually};

/// More than the replacements from which on two servers are seen, those of a second look included.
const REPLACED_MAX: u64 = 30;

/// A process that is killed when it is dropped.
struct Twin(Child);

impl Drop for Twin {
    fn drop(&mut self) {
        // One that has ended cannot be killed any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A herd whose Bolden has a memory, and does not run.
fn herd() -> RealHerd {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--status-every", "1s"]);
    assert!(ask(&mut herd.client("Bolden"), "IAMAT kiwi +1+1 1700000000").starts_with("AT "));
    eventually("the neighbour knows", || {
        ask(&mut herd.client("Alford"), "WHATSAT kiwi 1 1").starts_with("AT ").then_some(())
    });
    herd.kill_one("Bolden");
    herd
}

/// The last number that a server has reported under a name.
fn reported(log: &str, name: &str) -> u64 {
    let number = log.rsplit(&format!(" {name}=")).next().unwrap_or_default();
    number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0)
}

#[test]
fn copied_data_folder_is_noticed_and_one_of_the_two_is_kept_out() {
    let mut herd = herd();
    let copy = herd.path("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(herd.path("data/Bolden")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }
    // The copy runs beside the other, so it needs addresses of its own.
    let mut text = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let bolden = text.find("[servers.Bolden]").unwrap();
    text.replace_range(
        bolden..,
        &format!("[servers.Bolden]\nclient = '{}'\npeer = '{}'\n", free_address(), free_address()),
    );
    fs::write(herd.path("copy.toml"), text).unwrap();
    herd.start_one("Bolden");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxyherd"));
    command.args(["serve", "Bolden", "--herd", "copy.toml", "--data-dir", "copy", "--log-dir", "copy"]);
    command.current_dir(herd.path(".")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _twin = Twin(command.spawn().unwrap());

    eventually("they are noticed", || {
        let log = herd.log("Alford");
        (reported(&log, "peers_flapping") > 3).then_some(())
    });
    let log = herd.log("Alford");
    let warning = log.lines().find(|line| line.contains("two servers say that they are Bolden")).unwrap();
    assert_eq!(warning.matches("127.0.0.1:").count(), 2, "{warning}");
    assert!(warning.contains("a name and an empty data folder of its own"), "{warning}");
    let status = log.lines().rfind(|line| line.contains("status: link to Bolden")).unwrap();
    assert!(status.ends_with("flapping: two servers have this name"), "{status}");
    let replaced = reported(&log, "peers_replaced");
    assert!(replaced <= REPLACED_MAX, "{replaced}");
    eventually("the one kept out is told", || {
        let logs = [herd.log("Bolden"), fs::read_to_string(copy.join("Bolden.log")).unwrap()];
        logs.iter().any(|log| log.contains("two servers have your name")).then_some(())
    });
}

#[test]
fn server_that_restarts_in_haste_has_no_twin() {
    let mut herd = herd();
    for _ in 0..15 {
        let before = herd.log("Alford").matches("neighbour Bolden is here").count();
        herd.start_one("Bolden");
        eventually("it is here", || {
            (herd.log("Alford").matches("neighbour Bolden is here").count() > before).then_some(())
        });
        herd.kill_one("Bolden");
    }
    assert!(!herd.log("Alford").contains("two servers"), "{}", herd.log("Alford"));
}
