//! Reports as real ones are: 10,000 clients in shuffled order, every report news; and what a neighbour tells of them.

use std::fmt::{self, Write};
use std::ops::Range;

use clap::ValueEnum;

use super::turn::{NAME, NEIGHBOUR};

/// Clients that report: as many as a busy server has, and more records than a processor's nearest cache holds.
pub const CLIENTS: usize = 10_000;

/// The bytes of a client's name.
const NAME_BYTES: Range<usize> = 8..31;

/// When the first reports were made. Every pass is `PASS_SECONDS` later than the one before.
const FIRST_SECOND: u64 = 1_700_000_000;
const PASS_SECONDS: u64 = 10;

/// How much later than a report was made it is received, in nanoseconds: some clocks are ahead.
const SKEW_NANOS: Range<i64> = -300_000_000..2_000_000_000;

/// Whose reports are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reports {
    /// Those of clients that have reported before.
    Known,
    /// The first of each client, on a server that knows no client.
    New,
}

/// Who says the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Speaker {
    /// A client: `IAMAT`.
    Client,
    /// A neighbour, of clients of any server of a herd of five: `AT`.
    Neighbour,
}

/// How many digits are behind the points of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Places {
    /// Between one and seven, each as often.
    #[value(name = "1-7")]
    OneToSeven,
    /// Always six, as most telephones say it.
    #[value(name = "6")]
    Six,
}

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Who says them.
    pub speaker: Speaker,
    /// Whose reports.
    pub reports: Reports,
    /// How exact their places are.
    pub places: Places,
    /// How many lines are read at once.
    pub lines_per_buffer: usize,
}

/// The servers to which clients of a neighbour's lines have reported.
const ORIGINS: [&str; 5] = [NEIGHBOUR, "Ball", "Holiday", "Wilkes", "Welsh"];

/// One report of every client, in an order of its own.
pub struct Pass {
    speaker: Speaker,
    text: Vec<u8>,
    /// Where each buffer ends in the text.
    ends: Vec<usize>,
}

impl Pass {
    /// The reports of this pass, later by each client's clock than those of the pass before.
    pub fn new(shape: Shape, number: u64) -> Pass {
        let mut random = fastrand::Rng::with_seed(number);
        let mut clients: Vec<usize> = (0..CLIENTS).collect();
        random.shuffle(&mut clients);
        let (mut text, mut ends) = (String::new(), Vec::new());
        for some in clients.chunks(shape.lines_per_buffer) {
            for &client in some {
                let skew = random.i64(SKEW_NANOS);
                let sent = received_second(number) as i64 * 1_000_000_000 - skew;
                let (seconds, nanos) = (sent / 1_000_000_000, sent % 1_000_000_000);
                let latitude = degrees(&mut random, 90, shape.places);
                let longitude = degrees(&mut random, 180, shape.places);
                // Writing to a string cannot fail.
                let _ = match shape.speaker {
                    Speaker::Client => write!(text, "IAMAT"),
                    Speaker::Neighbour => {
                        let (sign, size) = (if skew < 0 { '-' } else { '+' }, skew.abs());
                        let origin = ORIGINS[random.usize(..ORIGINS.len())];
                        write!(text, "AT {origin} {sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
                    }
                };
                let _ = writeln!(text, " {} {latitude}{longitude} {seconds}.{nanos:09}", Name(client));
            }
            ends.push(text.len());
        }
        Pass { speaker: shape.speaker, text: text.into_bytes(), ends }
    }

    /// What is read at once, one after the other.
    pub fn buffers(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// How many reports there are.
    pub fn lines(&self) -> u64 {
        CLIENTS as u64
    }

    /// The bytes of all replies: `IAMAT` becomes `AT`, the name of the server and a skew of less than ten seconds. What
    /// a neighbour tells is not replied to.
    pub fn reply_bytes(&self) -> usize {
        if self.speaker == Speaker::Neighbour {
            return 0;
        }
        let more = format!("AT {NAME} +0.123456789").len() - "IAMAT".len();
        self.text.len() + CLIENTS * more
    }
}

/// When the reports of a pass are received: the whole seconds.
pub fn received_second(pass: u64) -> u64 {
    FIRST_SECOND + pass * PASS_SECONDS
}

/// A signed number of degrees below `max`, anywhere on earth.
fn degrees(random: &mut fastrand::Rng, max: u32, places: Places) -> String {
    let places = match places {
        Places::OneToSeven => random.usize(1..=7),
        Places::Six => 6,
    };
    let sign = if random.bool() { '+' } else { '-' };
    let fraction = random.u32(..10_u32.pow(places as u32));
    format!("{sign}{}.{fraction:0places$}", random.u32(..max))
}

/// The name of a client: the same in every pass, and of any length.
struct Name(usize);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut random = fastrand::Rng::with_seed(self.0 as u64);
        // The number makes names differ.
        let number = format!("{:05}.", self.0);
        f.write_str(&number)?;
        (number.len()..random.usize(NAME_BYTES)).try_for_each(|_| f.write_char(random.lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_pass_has_one_report_of_every_client() {
        let speakers = [(Speaker::Client, 1), (Speaker::Neighbour, 3)];
        let all = speakers.map(|speaker| [Places::OneToSeven, Places::Six].map(|places| (speaker, places)));
        for ((speaker, name), places) in all.into_iter().flatten() {
            let shape = Shape { speaker, reports: Reports::Known, places, lines_per_buffer: 64 };
            let pass = Pass::new(shape, 2);
            let text = String::from_utf8(pass.text.clone()).unwrap();
            assert_eq!(pass.buffers().map(<[u8]>::len).sum::<usize>(), text.len());
            assert_eq!(pass.buffers().next().unwrap().iter().filter(|&&byte| byte == b'\n').count(), 64);
            let names: BTreeSet<&str> = text.lines().map(|line| line.split(' ').nth(name).unwrap()).collect();
            assert_eq!((text.lines().count(), names.len()), (CLIENTS, CLIENTS));
            assert!(names.iter().all(|name| NAME_BYTES.contains(&name.len())));
            let place = |line: &str| line.rsplit('.').nth(1).unwrap().split(' ').next().unwrap().len();
            let seen: BTreeSet<usize> = text.lines().map(place).collect();
            assert_eq!(seen, if places == Places::Six { [6].into() } else { (1..=7).collect() });
        }
    }
}
