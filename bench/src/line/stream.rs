//! Reports as real ones are: 10,000 clients in shuffled order, every report news.

use std::fmt::{self, Write};
use std::ops::Range;

use clap::ValueEnum;

use super::turn::NAME;

/// Clients that report: as many as a busy server has, and more records than a processor's nearest cache holds.
pub const CLIENTS: usize = 10_000;

/// The bytes of a client's name.
const NAME_BYTES: Range<usize> = 8..31;

/// When the first reports were made. Every pass is so many seconds later than the one before.
const FIRST_SECOND: u64 = 1_700_000_000;
const PASS_SECONDS: u64 = 10;

/// How much later than a report was made it is received, in nanoseconds: some clocks are ahead.
const SKEW_NANOS: Range<i64> = -300_000_000..2_000_000_000;

/// Whose reports are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reports {
    /// Those of clients that have reported before.
    Known,
    /// The first of each client, on a server that knows nobody.
    New,
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
    /// Whose reports.
    pub reports: Reports,
    /// How exact their places are.
    pub places: Places,
    /// How many lines are read at once.
    pub lines_per_buffer: usize,
}

/// One report of every client, in an order of its own.
pub struct Pass {
    text: Vec<u8>,
    /// Where each buffer ends in the text.
    ends: Vec<usize>,
}

impl Reports {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Reports::Known => "known",
            Reports::New => "new",
        }
    }
}

impl Places {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Places::OneToSeven => "1-7",
            Places::Six => "6",
        }
    }
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
                let sent = received_second(number) as i64 * 1_000_000_000 - random.i64(SKEW_NANOS);
                let (seconds, nanos) = (sent / 1_000_000_000, sent % 1_000_000_000);
                let latitude = degrees(&mut random, 90, shape.places);
                let longitude = degrees(&mut random, 180, shape.places);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "IAMAT {} {latitude}{longitude} {seconds}.{nanos:09}", Name(client));
            }
            ends.push(text.len());
        }
        Pass { text: text.into_bytes(), ends }
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

    /// The bytes of all replies: `IAMAT` becomes `AT`, the name of the server and a skew of less than ten seconds.
    pub fn reply_bytes(&self) -> usize {
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
        for places in [Places::OneToSeven, Places::Six] {
            let shape = Shape { reports: Reports::Known, places, lines_per_buffer: 64 };
            let pass = Pass::new(shape, 2);
            let text = String::from_utf8(pass.text.clone()).unwrap();
            assert_eq!(pass.buffers().map(<[u8]>::len).sum::<usize>(), text.len());
            assert_eq!(pass.buffers().next().unwrap().iter().filter(|&&byte| byte == b'\n').count(), 64);
            let names: BTreeSet<&str> = text.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
            assert_eq!((text.lines().count(), names.len()), (CLIENTS, CLIENTS));
            assert!(names.iter().all(|name| NAME_BYTES.contains(&name.len())));
            let place = |line: &str| line.rsplit('.').nth(1).unwrap().split(' ').next().unwrap().len();
            let seen: BTreeSet<usize> = text.lines().map(place).collect();
            assert_eq!(seen, if places == Places::Six { [6].into() } else { (1..=7).collect() });
        }
    }
}
