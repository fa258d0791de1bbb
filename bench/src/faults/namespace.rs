//! Namespaces of our own, which the kernel removes with the last process in them: nothing has to be cleaned up, not
//! even after `kill -9`, and nothing of the machine's own network is touched.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::Stop;
use super::network::command;

/// The programs that are needed, and the packages of Debian that have them; elsewhere they are called alike.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
];

/// The option with which a program starts itself again within namespaces of its own.
pub const INSIDE_OPTION: &str = "--started-from";

/// The folder that is our namespaces' own: a file system in memory lies over it.
pub(super) const OWN_FOLDER: &str = "/run";

/// Becomes this program again, with the same arguments and in a network and mounts of its own; as root, or as
/// anybody in a user namespace where that is permitted. Returns only if that fails.
pub fn enter() -> Stop {
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(tool, package)| format!("`{tool}` (package {package})"))
        .collect();
    if !missing.is_empty() {
        return Stop::NotPermitted(format!("install what is missing: {}", missing.join(", ")));
    }
    let mut words = vec!["--net", "--mount", "--propagation", "private"];
    if !geteuid().is_root() {
        words.push("--map-root-user");
    }
    if let Err(why) = command("unshare", &[&words[..], &["true"]].concat()) {
        return Stop::NotPermitted(format!("namespaces are not permitted here: {why}"));
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Stop::Failed(format!("cannot tell which program this is: {error}")),
    };
    let mut unshare = Command::new("unshare");
    unshare.args(words).arg("--").arg(own).args([INSIDE_OPTION, &namespaces()]);
    Stop::Failed(format!("cannot start unshare: {}", unshare.args(std::env::args_os().skip(1)).exec()))
}

/// Prepares our own namespaces, entered from the namespaces `outside`.
///
/// # Errors
/// If these are not our own namespaces, or the system refuses.
pub fn settle(outside: &str) -> Result<(), Stop> {
    let here = namespaces();
    let is_new = here.split(' ').zip(outside.split(' ')).all(|(ours, theirs)| ours != theirs);
    // A network that has just been made leads nowhere yet. In any other place the mount below would hide a folder
    // of the whole machine, so the option alone is not believed.
    let routes = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    if !is_new || routes.lines().count() > 1 {
        return Err(Stop::Failed(format!("{INSIDE_OPTION} is for the program itself: leave it out")));
    }
    let settled = command("mount", &["-t", "tmpfs", "tmpfs", OWN_FOLDER])
        .and_then(|()| command("ip", &["link", "set", "lo", "up"]));
    settled.map_err(Stop::NotPermitted)
}

/// What tells our network and mounts from others.
fn namespaces() -> String {
    let name = |kind: &str| {
        let link = fs::read_link(Path::new("/proc/self/ns").join(kind));
        link.map(|link| link.display().to_string()).unwrap_or_default()
    };
    format!("{} {}", name("net"), name("mnt"))
}

/// Whether there is such a program.
pub(super) fn is_installed(tool: &str) -> bool {
    // All of them know this option; what it prints does not matter here.
    let said = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    said.is_ok()
}
