//! What a client of a fleet says, and what may be answered to it.

use super::behaviour::Behaviour;
use crate::load::clock::NS_PER_SECOND;
use crate::load::mqtt;

/// What a server says to a connection that it has no room for.
const REFUSALS: [&[u8]; 2] = [b"? too many connections", b"? no "];

/// Bytes of a turn that has no natural end: more than a line may have, and than is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// The longest name that a server takes by default.
const LONG_NAME_BYTES: usize = 1024;

/// Random bytes of a turn: some lines.
const NOISE_BYTES: usize = 1024;

/// A line that is no command.
const RUBBISH: &str = "what a client says that has lost its way\n";

/// The places that a phone publishes after an outage.
const QUEUED: u64 = 100;

/// The most bytes that a packet of MQTT may have by default.
const PACKET_BYTES: usize = 64 * 1024;

/// How long ago the first of them was: phones say whole seconds.
const QUEUED_BEGAN_S: u64 = 1_000_000;

/// Where everybody is; a catalogue of places has much to say about it.
const SPOT: &str = "+34.068930-118.445127";

/// What a client says.
#[derive(Debug)]
pub(super) struct Script {
    behaviour: Behaviour,
    name: String,
    /// Where no other of the fleet is, so that no two ask the same.
    place: String,
    /// Nanoseconds since 1970; every report is later than the one before.
    time_ns: u64,
    random: fastrand::Rng,
    piece: Vec<u8>,
    /// How much of `piece` has been said.
    said: usize,
    /// Whether it has been answered.
    is_answered: bool,
    /// Answers of MQTT on this connection.
    answers: u64,
}

/// What a line from the server means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// What should be said to this.
    Right,
    /// There was no room for this connection.
    Refused,
    /// Anything else.
    Wrong,
}

impl Script {
    /// The voice of the client with this number.
    pub(super) fn new(behaviour: Behaviour, number: usize, now_ns: u64) -> Script {
        let random = fastrand::Rng::with_seed(number as u64);
        let (name, piece) = (format!("crowd-{number}"), Vec::new());
        let place = format!("+{}.{number:05}-118.4", number % 80);
        Script {
            behaviour,
            name,
            place,
            time_ns: now_ns,
            random,
            piece,
            said: 0,
            is_answered: false,
            answers: 0,
        }
    }

    /// A new connection: nothing has been said on it.
    pub(super) fn begin(&mut self) {
        (self.said, self.is_answered, self.answers) = (0, false, 0);
        self.time_ns += 1;
        self.piece = match self.behaviour {
            Behaviour::Drip | Behaviour::Endless => vec![b'x'; PIECE_BYTES],
            Behaviour::Deaf | Behaviour::Storm | Behaviour::Split | Behaviour::Vanished => {
                report(&self.name, self.time_ns).into_bytes()
            }
            Behaviour::Noise | Behaviour::Strangers | Behaviour::LongNames => Vec::new(),
            Behaviour::Rubbish => RUBBISH.repeat(NOISE_BYTES / RUBBISH.len()).into_bytes(),
            Behaviour::Paid => {
                let Script { name, place, time_ns, .. } = self;
                let report = report_from(name, place, *time_ns);
                format!("{report}WHATSAT {name} 50 20\n").into_bytes()
            }
            Behaviour::MqttHalf => [&b"\x10\xff\xff\x03"[..], &vec![b'x'; PIECE_BYTES]].concat(),
            Behaviour::MqttDeaf | Behaviour::MqttGiant | Behaviour::MqttStorm => self.packets(),
        };
    }

    /// What is to be said at this turn; empty for nothing more.
    pub(super) fn turn(&mut self) -> &[u8] {
        let left = self.piece.len() - self.said;
        let count = match self.behaviour {
            // The length that the first packet has is announced at once.
            Behaviour::MqttHalf if self.said == 0 => 4,
            Behaviour::Drip | Behaviour::Split | Behaviour::MqttHalf => left.min(1),
            Behaviour::Storm
            | Behaviour::Vanished
            | Behaviour::Strangers
            | Behaviour::Paid
            | Behaviour::MqttGiant
            | Behaviour::MqttStorm => left,
            Behaviour::MqttDeaf => {
                if left == 0 {
                    self.time_ns += NS_PER_SECOND;
                    self.piece = self.place_of(0);
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
            Behaviour::Endless | Behaviour::Rubbish => {
                self.said = 0;
                self.piece.len()
            }
            Behaviour::Deaf => {
                if left == 0 {
                    let question = format!("WHATSAT {} 50 20\n", self.name);
                    self.piece = question.repeat(PIECE_BYTES / question.len()).into_bytes();
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
            Behaviour::Noise => {
                if left == 0 {
                    self.piece.resize(NOISE_BYTES, 0);
                    self.random.fill(&mut self.piece);
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
            Behaviour::LongNames => {
                if left == 0 {
                    self.piece = self.new_clients();
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
        };
        &self.piece[self.said..self.said + count]
    }

    /// Reports of clients that were never heard of.
    fn new_clients(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        while lines.len() < PIECE_BYTES {
            self.time_ns += 1;
            let name = format!("{}-{}-", self.name, self.time_ns);
            lines.extend_from_slice(report(&format!("{name:x<LONG_NAME_BYTES$}"), self.time_ns).as_bytes());
        }
        lines
    }

    /// What a client of MQTT says when it has come.
    fn packets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        mqtt::push_connect(self.name.as_bytes(), &mut out);
        if self.behaviour == Behaviour::MqttStorm {
            (0..QUEUED).for_each(|at| out.extend(self.place_of(at)));
        } else if self.behaviour == Behaviour::MqttDeaf {
            mqtt::push_subscribe(b"owntracks/#", 0, &mut out);
        } else if self.name.ends_with(['0', '2', '4', '6', '8']) {
            out.extend(b"\x32\xff\xff\xff\x7f");
        } else {
            let mut packet = Vec::new();
            mqtt::push_publish(
                b"owntracks/crowd/giant",
                Some(1),
                &vec![b'x'; PACKET_BYTES - 64],
                &mut packet,
            );
            out.extend(&packet[..packet.len() - 1]);
        }
        out
    }

    /// A place that is published.
    fn place_of(&self, at: u64) -> Vec<u8> {
        let time_s = self.time_ns / NS_PER_SECOND - QUEUED_BEGAN_S + at;
        let topic = format!("owntracks/crowd/{}", self.name);
        let message = format!(
            "{{\"_type\":\"location\",\"acc\":12,\"batt\":85,\"lat\":34.0689,\"lon\":-118.4451,\"tid\":\"ph\",\
             \"tst\":{time_s}}}"
        );
        let mut out = Vec::new();
        mqtt::push_publish(topic.as_bytes(), Some(at as u16 + 1), message.as_bytes(), &mut out);
        out
    }

    /// An answer of MQTT has come.
    pub(super) fn hear_packet(&mut self, answer: &[u8]) -> Heard {
        let wanted = match self.answers {
            0 => mqtt::ACCEPTED,
            at => [0x40, 2, (at >> 8) as u8, at as u8],
        };
        if self.answers == 0 && answer == [0x20, 2, 0, 3] {
            return Heard::Refused;
        }
        if answer != wanted {
            return Heard::Wrong;
        }
        self.answers += 1;
        self.is_answered = self.answers > QUEUED;
        Heard::Right
    }

    /// `count` bytes of it went out.
    pub(super) fn went(&mut self, count: usize) {
        self.said += count;
    }

    /// Whether something is on its way that must be answered.
    pub(super) fn waits(&self) -> bool {
        self.behaviour.must_be_answered() && self.said == self.piece.len() && !self.is_answered
    }

    /// A line has come, without its end.
    pub(super) fn hear(&mut self, line: &[u8]) -> Heard {
        if REFUSALS.iter().any(|refusal| line.starts_with(refusal)) {
            return Heard::Refused;
        }
        let is_right = match self.behaviour {
            Behaviour::Drip | Behaviour::Endless | Behaviour::Noise | Behaviour::Rubbish => {
                line.starts_with(b"? ")
            }
            Behaviour::Paid => !line.starts_with(b"? "),
            // Some are taken, the others are refused.
            Behaviour::LongNames => line.starts_with(b"AT ") || line.starts_with(b"? IAMAT "),
            Behaviour::Deaf => true,
            // They are told packets, and no lines.
            Behaviour::MqttDeaf | Behaviour::MqttHalf | Behaviour::MqttGiant | Behaviour::MqttStorm => false,
            Behaviour::Vanished => is_answer(line, &report(&self.name, self.time_ns)),
            // There is nothing to answer.
            Behaviour::Strangers => false,
            Behaviour::Storm | Behaviour::Split => {
                self.waits() && is_answer(line, &report(&self.name, self.time_ns))
            }
        };
        match self.behaviour {
            Behaviour::Split if is_right => self.begin(),
            Behaviour::Drip
            | Behaviour::Endless
            | Behaviour::Deaf
            | Behaviour::Storm
            | Behaviour::Noise
            | Behaviour::Vanished
            | Behaviour::Strangers
            | Behaviour::Split
            | Behaviour::LongNames
            | Behaviour::Rubbish
            | Behaviour::Paid
            | Behaviour::MqttDeaf
            | Behaviour::MqttHalf
            | Behaviour::MqttGiant
            | Behaviour::MqttStorm => {
                self.is_answered |= is_right;
            }
        }
        if is_right { Heard::Right } else { Heard::Wrong }
    }
}

/// The report of a client at a time, as a line.
pub(crate) fn report(name: &str, time_ns: u64) -> String {
    report_from(name, SPOT, time_ns)
}

fn report_from(name: &str, place: &str, time_ns: u64) -> String {
    format!("IAMAT {name} {place} {}.{:09}\n", time_ns / 1_000_000_000, time_ns % 1_000_000_000)
}

/// Whether a line, without its end, is the answer to that report: `AT`, a server, a skew, and what was reported.
pub(super) fn is_answer(line: &[u8], report: &str) -> bool {
    let Some(rest) = line.strip_prefix(b"AT ") else { return false };
    let mut words = rest.splitn(3, |byte| *byte == b' ');
    let (server, skew, reported) = (words.next(), words.next(), words.next());
    let is_skew = skew.is_some_and(|skew| matches!(skew.first(), Some(b'+' | b'-')));
    server.is_some_and(|server| !server.is_empty())
        && is_skew
        && reported == report.trim_end().strip_prefix("IAMAT ").map(str::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_what_was_reported_is_one() {
        let report = report("a", 1_500_000_000_000_000_007);
        assert_eq!(report, "IAMAT a +34.068930-118.445127 1500000000.000000007\n");
        let answer = b"AT Alford +0.263873386 a +34.068930-118.445127 1500000000.000000007";
        assert!(is_answer(answer, &report));
        assert!(!is_answer(&answer[..answer.len() - 1], &report));
        assert!(!is_answer(b"AT Alford a +34.068930-118.445127 1500000000.000000007", &report));
        assert!(!is_answer(b"? IAMAT a", &report));
    }

    #[test]
    fn a_split_report_is_said_byte_by_byte_and_answered_once() {
        let mut script = Script::new(Behaviour::Split, 3, 1);
        script.begin();
        let mut said = Vec::new();
        while !script.turn().is_empty() {
            assert_eq!(script.hear(b"AT Alford +1 crowd-3 +34.068930-118.445127 0.000000002"), Heard::Wrong);
            let byte = script.turn().to_vec();
            script.went(byte.len());
            said.extend(byte);
        }
        assert_eq!(said, report("crowd-3", 2).as_bytes());
        assert!(script.waits());
        assert_eq!(script.hear(b"AT Alford +1 crowd-3 +34.068930-118.445127 0.000000002"), Heard::Right);
        assert!(!script.waits() && script.turn() == b"I");
    }

    #[test]
    fn a_paid_question_is_asked_once_on_a_connection_and_is_unlike_any_other() {
        let mut script = Script::new(Behaviour::Paid, 7, 1);
        script.begin();
        let said = script.turn().to_vec();
        assert_eq!(said, b"IAMAT crowd-7 +7.00007-118.4 0.000000002\nWHATSAT crowd-7 50 20\n");
        for line in said.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            assert!(proxyherd::proto::line::commands::client_command(line).is_ok());
        }
        script.went(said.len());
        assert!(script.turn().is_empty() && !script.waits());
        assert_eq!(script.hear(b"   \"status\" : \"OVER_QUERY_LIMIT\""), Heard::Right);
        assert_eq!(script.hear(b"? WHATSAT crowd-7 50 20"), Heard::Wrong);
    }

    #[test]
    fn every_other_fleet_has_something_to_say_at_every_turn() {
        for (behaviour, bytes) in [
            (Behaviour::Drip, 1),
            (Behaviour::Endless, PIECE_BYTES),
            (Behaviour::Deaf, 1),
            (Behaviour::Noise, NOISE_BYTES),
            (Behaviour::LongNames, PIECE_BYTES),
            (Behaviour::Rubbish, RUBBISH.len()),
        ] {
            let mut script = Script::new(behaviour, 0, 1);
            script.begin();
            for _ in 0..100 {
                let count = script.turn().len();
                assert!(count >= bytes, "{behaviour:?}");
                script.went(count);
            }
            assert_eq!(script.hear(b"? no thread for one more connection; try again later"), Heard::Refused);
        }
    }
}
