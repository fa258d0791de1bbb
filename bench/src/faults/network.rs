//! A network namespace for each server, all on one switch, and what the switch drops.
//!
//! The switch drops IP packets between servers and nothing else: the reporters are on the switch itself, so what
//! they are told is not disturbed, and addresses are still resolved, so that what is measured after healing is the
//! herd and not how long the kernel remembers that a neighbour did not answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

use proxyherd::config::Herd;

use crate::suite::address::{NAMES, SEED};

const SWITCH: &str = "switch";

/// The switch's own address, from which the reporters come; it is outside of [`SERVERS_NET`].
const OWN_ADDRESS: &str = "10.77.0.254/24";

/// The addresses of the servers and of no other process.
pub(super) const SERVERS_NET: &str = "10.77.0.0/28";

const CLIENT_PORT: u16 = 12_550;
const PEER_PORT: u16 = 12_650;

/// The network of our namespaces. It vanishes with them.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) herd: Herd,
}

impl Network {
    /// Builds it, with nothing dropped, and the kernel set as `sysctls` say (`net.ipv4.NAME=VALUE`) for the servers.
    ///
    /// # Errors
    /// If the system refuses any part of it; the sentence says which.
    pub(super) fn build(sysctls: &[String]) -> Result<Network, String> {
        ip(&format!("link add {SWITCH} type bridge"))?;
        ip(&format!("addr add {OWN_ADDRESS} dev {SWITCH}"))?;
        ip(&format!("link set {SWITCH} up"))?;
        for (at, name) in NAMES.iter().enumerate() {
            ip(&format!("netns add {name}"))?;
            ip(&format!("link add {name} type veth peer name eth0 netns {name}"))?;
            ip(&format!("link set {name} master {SWITCH} up"))?;
            ip(&format!("-n {name} addr add {}/24 dev eth0", address(at)))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
            for setting in sysctls {
                let [ip, words @ ..] = within(name);
                command(ip, &[&words[..], &["sysctl", "--write", setting]].concat())?;
            }
        }
        let network = Network { herd: herd()? };
        // Every kind of rule once, so that what this kernel cannot do is known now.
        network.switch(&rules(&[(0, 1)], 1))?;
        network.heal()?;
        Ok(network)
    }

    /// Drops every packet from the first server of each pair to the second, and no other.
    pub(super) fn cut(&self, pairs: &[(usize, usize)]) -> Result<(), String> {
        self.switch(&rules(pairs, 0))
    }

    /// Drops `percent` of a hundred packets between servers, whichever way they go.
    pub(super) fn lose(&self, percent: u32) -> Result<(), String> {
        self.switch(&rules(&[], percent))
    }

    /// Drops nothing.
    pub(super) fn heal(&self) -> Result<(), String> {
        self.switch(&rules(&[], 0))
    }

    fn switch(&self, rules: &str) -> Result<(), String> {
        let failed = |why: &str| format!("`nft -f -` failed: {why}");
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = nft.spawn().map_err(|error| failed(&error.to_string()))?;
        // If it does not read to the end it says why.
        let _ = child.stdin.take().map(|mut input| input.write_all(rules.as_bytes()));
        let output = child.wait_with_output().map_err(|error| failed(&error.to_string()))?;
        succeeded(&output).map_err(|why| failed(&why))
    }
}

/// The words that run a program within the namespace of a server.
pub(super) fn within(name: &str) -> [&str; 4] {
    ["ip", "netns", "exec", name]
}

/// Runs a program to its end.
///
/// # Errors
/// If it does not start or fails; the sentence has the command and what it said.
pub(super) fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let failed = |why: &str| format!("`{program} {}` failed: {why}", arguments.join(" "));
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    succeeded(&output.map_err(|error| failed(&error.to_string()))?).map_err(|why| failed(&why))
}

fn ip(words: &str) -> Result<(), String> {
    command("ip", &words.split(' ').collect::<Vec<_>>())
}

fn succeeded(output: &Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim(), output.status)),
    }
}

fn address(at: usize) -> Ipv4Addr {
    // Five servers are far from the end of a byte.
    Ipv4Addr::new(10, 77, 0, 1 + at as u8)
}

fn herd() -> Result<Herd, String> {
    let links: Vec<String> =
        SEED.links.iter().map(|&(a, b)| format!("[\"{}\", \"{}\"]", NAMES[a], NAMES[b])).collect();
    let server = |(at, name): (usize, &&str)| {
        let address = address(at);
        format!("[servers.{name}]\nclient = \"{address}:{CLIENT_PORT}\"\npeer = \"{address}:{PEER_PORT}\"\n")
    };
    let servers: String = NAMES.iter().enumerate().map(server).collect();
    proxyherd::config::parse(&format!("links = [{}]\n{servers}", links.join(", ")))
        .map_err(|error| error.to_string())
}

/// All that the switch is told, in place of what it was told before.
fn rules(pairs: &[(usize, usize)], lost_percent: u32) -> String {
    let mut text = String::from("table bridge faults\ndelete table bridge faults\ntable bridge faults {\n");
    text.push_str("chain forward {\ntype filter hook forward priority 0; policy accept;\n");
    // Writing to a String cannot fail, so the results say nothing.
    for &(from, to) in pairs {
        let _ = writeln!(text, "iifname \"{}\" oifname \"{}\" meta protocol ip drop", NAMES[from], NAMES[to]);
    }
    if lost_percent > 0 {
        let _ = writeln!(text, "meta protocol ip numgen random mod 100 < {lost_percent} drop");
    }
    text.push_str("}\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_drops_what_it_is_told_and_nothing_else() {
        let drops = |text: &str| text.lines().filter(|line| line.ends_with("drop")).count();
        assert_eq!(drops(&rules(&[], 0)), 0);
        let cut = rules(&[(2, 3)], 0);
        assert!(cut.contains("iifname \"Hamilton\" oifname \"Parker\" meta protocol ip drop"), "{cut}");
        assert_eq!(drops(&cut), 1, "one way");
        assert!(rules(&[], 20).contains("numgen random mod 100 < 20 drop"));
    }

    #[test]
    fn every_server_has_an_address_of_its_own_in_the_servers_net() {
        let herd = herd().unwrap();
        let names: Vec<&str> = herd.members().iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, NAMES, "numbers of servers are places in the herd");
        assert_eq!(herd.members()[4].client, "10.77.0.5:12550".parse().unwrap());
        assert_eq!((herd.links().len(), herd.catch_up), (SEED.links.len(), true));
    }
}
