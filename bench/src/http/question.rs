//! The processor time of a question for a hundred of a million clients: that of the whole process, less what asking
//! takes, so the finder, the text of the answer and the sockets are part of it.

use std::thread::sleep;
use std::time::Duration;

use proxyherd::os::clock;
use proxyherd::proto::store::update::{Source, Update};
use rustix::time::{ClockId, clock_gettime};

use super::running::{NAME, Running, Talk};
use crate::process::Failure;

/// Clients that are known.
const CLIENTS: usize = 1_000_000;

/// Questions of a round, each for another box.
const QUESTIONS: u32 = 2_000;

/// Where they are: degrees of latitude and longitude, and how many.
const SOUTH: f64 = -60.0;
const HEIGHT: f64 = 140.0;
const WEST: f64 = -180.0;
const WIDTH: f64 = 360.0;

/// The side of a box with a hundred of them, in degrees.
const SIDE: f64 = 2.245;

/// How a client of an answer begins.
const CLIENT: &[u8] = b"{\"client\":";

/// How often to look whether the index has all of them.
const LOOK: Duration = Duration::from_millis(50);

/// What a line begins with that has all attributes.
const WITH: &str = "WITH acc=12&alt=40&vac=3&speed=5&course=90&batt=85&charge=0&tid=JP&trigger=u ";

/// What clients say beside place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// Nothing, as those of the line protocol.
    None,
    /// All that phones say.
    All,
}

/// What a round has found out.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time of a question, in microseconds.
    pub cpu_us: f64,
    /// Clients of an answer.
    pub clients: f64,
    /// Bytes of its body.
    pub bytes: f64,
}

/// Asks for boxes, in so many rounds, where clients have these attributes.
///
/// # Errors
/// If an answer is not right.
pub fn boxes(rounds: u32, attributes: Attributes) -> Result<Vec<Cost>, Failure> {
    let server = Running::start(None)?;
    let mut random = fastrand::Rng::with_seed(1);
    let now_s = clock::now().seconds;
    for client in 0..CLIENTS {
        let (latitude, longitude) = (SOUTH + random.f64() * HEIGHT, WEST + random.f64() * WIDTH);
        let with = match attributes {
            Attributes::None => "",
            Attributes::All => WITH,
        };
        let line = format!(
            "{with}AT {NAME} +0.123456789 user-{client}/phone {latitude:+.6}{longitude:+.6} {}\n",
            now_s - 10
        );
        let mut update = Update::from_stored(line.as_bytes(), Source::CLIENT).ok_or("no stored line")?;
        server.member.apply(&mut update);
    }
    server.member.notifiers.notify();
    let mut talk = server.talk()?;
    while !is_indexed(&mut talk)? {
        sleep(LOOK);
    }
    let costs: Result<Vec<Cost>, Failure> = (0..rounds).map(|_| round(&mut talk, &mut random)).collect();
    drop(talk);
    server.stop()?;
    costs
}

fn round(talk: &mut Talk, random: &mut fastrand::Rng) -> Result<Cost, Failure> {
    let (mut clients, mut bytes) = (0, 0);
    let before = used();
    for _ in 0..QUESTIONS {
        let south = SOUTH + random.f64() * (HEIGHT - SIDE);
        let west = WEST + random.f64() * (WIDTH - SIDE);
        let area = format!("{west:.4},{south:.4},{:.4},{:.4}", west + SIDE, south + SIDE);
        let request = format!("GET /v1/clients?box={area}&limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (status, body) = talk.ask(request.as_bytes())?;
        if status != 200 || !body.ends_with(b"\"is_cut\":false}") {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])).into());
        }
        clients += body.windows(CLIENT.len()).filter(|text| *text == CLIENT).count();
        bytes += body.len();
    }
    let cpu_us = (used() - before) * 1e6 / f64::from(QUESTIONS);
    let each = |count: usize| count as f64 / f64::from(QUESTIONS);
    Ok(Cost { cpu_us, clients: each(clients), bytes: each(bytes) })
}

/// The processor time of this process in seconds, less that of this thread.
fn used() -> f64 {
    let seconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    seconds(ClockId::ProcessCPUTime) - seconds(ClockId::ThreadCPUTime)
}

fn is_indexed(talk: &mut Talk) -> Result<bool, Failure> {
    let (_, body) = talk.ask(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let status: serde_json::Value = serde_json::from_slice(body)?;
    Ok(status["gauges"]["clients_indexed"] == CLIENTS)
}
