//! The golden transcripts, but for what is ours alone.

use crate::herd::{Herd, Variant};
use crate::transcripts::format::{Step, Transcript};
use crate::transcripts::run::{self, run};
use crate::transcripts::sockets::{Addresses, Connection};
use crate::transcripts::{each_transcript, transcript};

macro_rules! names {
    ($($name:ident)*) => { const NAMES: &[&str] = &[$(stringify!($name)),*]; };
}
each_transcript!(names);

/// In the field anybody who can connect is believed, names have no bound, and there is neither a peer port nor a
/// thought for telnet or browsers.
const NOT_THEIRS: [&str; 5] = ["long_names", "other_protocols", "peer_port", "peer_words", "telnet"];

pub(crate) fn transcripts_hold(variant: Variant) {
    assert!(NOT_THEIRS.iter().all(|name| NAMES.contains(name)), "a transcript has another name now");
    let mut broken = Vec::new();
    for name in NAMES.iter().filter(|name| !NOT_THEIRS.contains(*name)) {
        let transcript = until_one_returns(transcript(name).unwrap());
        for piece_bytes in [usize::MAX, 5] {
            let mut served = Served::start(variant.clone(), &transcript);
            if let Err(why) = run(&transcript, &mut served, piece_bytes) {
                broken.push(format!("{name}.txt:{why}, sent {piece_bytes} bytes at a time"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// In the field a server that returns is not told what it missed.
fn until_one_returns(mut transcript: Transcript) -> Transcript {
    let returns = transcript.steps.iter().position(|(_, step)| matches!(step, Step::Start(_)));
    transcript.steps.truncate(returns.unwrap_or(transcript.steps.len()));
    transcript
}

/// A herd of processes, as transcripts see it.
struct Served {
    herd: Herd,
    addresses: Addresses,
}

impl Served {
    fn start(variant: Variant, transcript: &Transcript) -> Served {
        let names: Vec<&str> = transcript.servers.iter().map(String::as_str).collect();
        let links: Vec<_> = transcript.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let herd = Herd::start(variant, &names, &links);
        let addresses = Addresses::new(names.iter().map(|name| ((*name).to_owned(), herd.address(name))));
        Served { herd, addresses }
    }
}

impl run::Herd for Served {
    type Talk = Connection;

    fn connect(&mut self, server: &str) -> Result<Connection, String> {
        self.addresses.connect(server)
    }

    fn ask_again(&mut self, times: u64) -> bool {
        self.addresses.ask_again(times)
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        self.herd.kill(server);
        Ok(())
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        self.herd.start_again(server);
        Ok(())
    }
}
