//! What a member of a crowd says, and what may be answered to it.

use super::habit::Habit;

/// What a server says to a connection that it has no room for.
const REFUSALS: [&[u8]; 2] = [b"? too many connections", b"? no "];

/// Bytes of a turn that has no natural end: more than a line may have, and than is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Random bytes of a turn: some lines.
const NOISE_BYTES: usize = 1024;

/// Where everybody is; a catalogue of places has much to say about it.
const SPOT: &str = "+34.068930-118.445127";

/// What a member says.
#[derive(Debug)]
pub(super) struct Voice {
    habit: Habit,
    name: String,
    /// Nanoseconds since 1970; every report is later than the one before.
    time_ns: u64,
    random: fastrand::Rng,
    piece: Vec<u8>,
    /// How much of `piece` has been said.
    said: usize,
    /// Whether it has been answered.
    is_answered: bool,
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

impl Voice {
    /// The voice of the member with this number.
    pub(super) fn new(habit: Habit, number: usize, now_ns: u64) -> Voice {
        let random = fastrand::Rng::with_seed(number as u64);
        let (name, piece) = (format!("crowd-{number}"), Vec::new());
        Voice { habit, name, time_ns: now_ns, random, piece, said: 0, is_answered: false }
    }

    /// A new connection: nothing has been said on it.
    pub(super) fn begin(&mut self) {
        (self.said, self.is_answered) = (0, false);
        self.time_ns += 1;
        self.piece = match self.habit {
            Habit::Drip | Habit::Endless => vec![b'x'; PIECE_BYTES],
            Habit::Deaf | Habit::Storm | Habit::Split => report(&self.name, self.time_ns).into_bytes(),
            Habit::Noise => Vec::new(),
        };
    }

    /// What is to be said at this turn; empty for nothing more.
    pub(super) fn turn(&mut self) -> &[u8] {
        let left = self.piece.len() - self.said;
        let count = match self.habit {
            Habit::Drip | Habit::Split => left.min(1),
            Habit::Storm => left,
            Habit::Endless => {
                self.said = 0;
                self.piece.len()
            }
            Habit::Deaf => {
                if left == 0 {
                    let question = format!("WHATSAT {} 50 20\n", self.name);
                    self.piece = question.repeat(PIECE_BYTES / question.len()).into_bytes();
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
            Habit::Noise => {
                if left == 0 {
                    self.piece.resize(NOISE_BYTES, 0);
                    self.random.fill(&mut self.piece);
                    self.said = 0;
                }
                self.piece.len() - self.said
            }
        };
        &self.piece[self.said..self.said + count]
    }

    /// So many bytes of it went out.
    pub(super) fn went(&mut self, count: usize) {
        self.said += count;
    }

    /// Whether something is on its way that must be answered.
    pub(super) fn waits(&self) -> bool {
        self.habit.is_honest() && self.said == self.piece.len() && !self.is_answered
    }

    /// A line has come, without its end.
    pub(super) fn hear(&mut self, line: &[u8]) -> Heard {
        if REFUSALS.iter().any(|refusal| line.starts_with(refusal)) {
            return Heard::Refused;
        }
        let is_right = match self.habit {
            Habit::Drip | Habit::Endless | Habit::Noise => line.starts_with(b"? "),
            Habit::Deaf => true,
            Habit::Storm | Habit::Split => self.waits() && is_answer(line, &report(&self.name, self.time_ns)),
        };
        match self.habit {
            Habit::Split if is_right => self.begin(),
            Habit::Drip | Habit::Endless | Habit::Deaf | Habit::Storm | Habit::Noise | Habit::Split => {
                self.is_answered |= is_right;
            }
        }
        if is_right { Heard::Right } else { Heard::Wrong }
    }
}

/// The report of a client at a time, as a line.
pub(super) fn report(name: &str, time_ns: u64) -> String {
    format!("IAMAT {name} {SPOT} {}.{:09}\n", time_ns / 1_000_000_000, time_ns % 1_000_000_000)
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
        let mut voice = Voice::new(Habit::Split, 3, 1);
        voice.begin();
        let mut said = Vec::new();
        while !voice.turn().is_empty() {
            assert_eq!(voice.hear(b"AT Alford +1 crowd-3 +34.068930-118.445127 0.000000002"), Heard::Wrong);
            let byte = voice.turn().to_vec();
            voice.went(byte.len());
            said.extend(byte);
        }
        assert_eq!(said, report("crowd-3", 2).as_bytes());
        assert!(voice.waits());
        assert_eq!(voice.hear(b"AT Alford +1 crowd-3 +34.068930-118.445127 0.000000002"), Heard::Right);
        assert!(!voice.waits() && voice.turn() == b"I");
    }

    #[test]
    fn every_other_crowd_has_something_to_say_at_every_turn() {
        for (habit, bytes) in
            [(Habit::Drip, 1), (Habit::Endless, PIECE_BYTES), (Habit::Deaf, 1), (Habit::Noise, NOISE_BYTES)]
        {
            let mut voice = Voice::new(habit, 0, 1);
            voice.begin();
            for _ in 0..100 {
                let count = voice.turn().len();
                assert!(count >= bytes, "{habit:?}");
                voice.went(count);
            }
            assert_eq!(voice.hear(b"? no thread for one more connection; try again later"), Heard::Refused);
        }
    }
}
