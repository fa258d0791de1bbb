//! The processor time of a question for a hundred of a million clients: that of the server's process, so the finder,
//! the text of the answer and the sockets are part of it.

use std::fmt::Write;
use std::thread::sleep;
use std::time::Duration;

use proxyherd::os::clock;

use super::running::{Running, Talk};
use crate::load::process::Process;
use crate::process::Failure;

/// Clients that are known, and how many report at once, in the array of an app.
const CLIENTS: usize = 1_000_000;
const BATCH: usize = 4_000;

/// Questions of a round, each for another box. The system counts processor time in hundredths of a second.
const QUESTIONS: u32 = 4_000;

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

/// What phones say beside place and time.
const MORE: &str = r#","accuracy":12,"altitude":40,"speed":"9.72","bearing":90,"batt":85,"charge":"false""#;

/// What clients say beside place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// Nothing, as those of the line protocol.
    None,
    /// What phones say.
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
    let mut server = Running::start(&[], None)?;
    let mut random = fastrand::Rng::with_seed(1);
    let (mut talk, time_s) = (server.talk()?, clock::now().seconds - 10);
    let more = if attributes == Attributes::All { MORE } else { "" };
    for first in (0..CLIENTS).step_by(BATCH) {
        let mut body = String::from("[");
        for client in first..first + BATCH {
            let (latitude, longitude) = (SOUTH + random.f64() * HEIGHT, WEST + random.f64() * WIDTH);
            let place = format!(r#""lat":{latitude:.6},"lon":{longitude:.6},"timestamp":{time_s}{more}"#);
            let comma = if client == first { "" } else { "," };
            write!(body, r#"{comma}{{"id":"user-{client}/phone",{place}}}"#)?;
        }
        body.push(']');
        let head = "POST /traccar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (status, body) = talk.ask(request.as_bytes())?;
        if status != 200 {
            return Err(format!("{status}: {}", String::from_utf8_lossy(body)).into());
        }
    }
    while talk.status("", "gauges", "clients_indexed")? < CLIENTS as u64 {
        sleep(LOOK);
    }
    let pid = server.pid();
    let costs: Result<Vec<Cost>, Failure> = (0..rounds).map(|_| round(&mut talk, &mut random, pid)).collect();
    drop(talk);
    server.stop()?;
    costs
}

fn round(talk: &mut Talk, random: &mut fastrand::Rng, pid: u32) -> Result<Cost, Failure> {
    let used_s = || Process::look(pid).map(|process| process.cpu_seconds).ok_or("the server has ended");
    let (mut clients, mut bytes) = (0, 0);
    let before_s = used_s()?;
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
    let cpu_us = (used_s()? - before_s) * 1e6 / f64::from(QUESTIONS);
    let each = |count: usize| count as f64 / f64::from(QUESTIONS);
    Ok(Cost { cpu_us, clients: each(clients), bytes: each(bytes) })
}
