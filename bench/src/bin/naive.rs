//! A thread for each connection as one writes it at first: `BufReader::lines`, `format!`, a `HashMap` in a
//! `Mutex`, and one write for each reply. It has no neighbours, and shares nothing with the others but the
//! catalogue of places.
//!
//! It answers as it should, with these exceptions: a line that is not UTF-8 ends the connection, a line may be
//! as long as memory allows, and its JSON is formatted again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use proxyherd::config::Config;
use proxyherd::net::admission::Class;
use proxyherd::os::clock;
use proxyherd::places::PlacesProvider;
use proxyherd::proto::line::query::NearbyQuery;
use proxyherd_bench::driver::{Opened, listen};
use proxyherd_bench::options::open_places;
use proxyherd_bench::process::{self, Failure};
use serde_json::Value;

fn main() -> ExitCode {
    process::run_plain(serve)
}

#[expect(clippy::disallowed_methods, reason = "a beginner's threads are joined nowhere")]
fn serve(config: &Config) -> Result<(), Failure> {
    let server = Arc::new(Server {
        name: config.name.to_string(),
        places: open_places(config)?,
        clients: Mutex::new(HashMap::new()),
    });
    let listener = listen(config, Class::Client, Opened::Once)?;
    process::exit_on_signal()?;
    loop {
        let (socket, _) = listener.accept()?;
        let server = Arc::clone(&server);
        thread::spawn(move || {
            // A client that hung up does not hear of it.
            let _ = server.talk(socket);
        });
    }
}

struct Server {
    name: String,
    places: Arc<dyn PlacesProvider>,
    clients: Mutex<HashMap<String, Report>>,
}

/// What is known of a client.
#[derive(Clone)]
struct Report {
    line: String,
    /// Whole seconds and the digits of the fraction, which compare as text without their trailing zeros.
    time: (u64, String),
    latitude: f64,
    longitude: f64,
}

impl Server {
    fn talk(&self, mut socket: TcpStream) -> std::io::Result<()> {
        // Without it each reply but the first waits for the client's acknowledgement, some 40 ms.
        socket.set_nodelay(true)?;
        let reader = BufReader::new(socket.try_clone()?);
        for line in reader.lines() {
            let line = line?;
            let reply = self.reply(&line).unwrap_or_else(|| format!("? {line}\n"));
            socket.write_all(reply.as_bytes())?;
        }
        Ok(())
    }

    /// The reply to a good line.
    fn reply(&self, line: &str) -> Option<String> {
        // Not `split_whitespace`: a no-break space is part of a name.
        let white = [' ', '\t', '\r', '\x0b', '\x0c'];
        let fields: Vec<&str> = line.split(white).filter(|field| !field.is_empty()).collect();
        match fields[..] {
            ["IAMAT", client, location, time] => self.report(client, location, time),
            ["WHATSAT", client, radius, limit] => self.answer(client, radius, limit),
            _ => None,
        }
    }

    fn report(&self, client: &str, location: &str, time: &str) -> Option<String> {
        let (latitude, longitude) = parse_location(location)?;
        let time_parts = parse_time(time)?;
        let skew = skew(&time_parts);
        let line = format!("AT {} {skew} {client} {location} {time}\n", self.name);
        let report = Report { line: line.clone(), time: time_parts, latitude, longitude };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match clients.get(client) {
            Some(known) if known.time >= report.time => {}
            Some(_) | None => drop(clients.insert(client.to_string(), report)),
        }
        Some(line)
    }

    fn answer(&self, client: &str, radius: &str, limit: &str) -> Option<String> {
        let radius_km = parse_number(radius, 50)?;
        let limit = parse_number(limit, 20)?;
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let report = clients.get(client)?.clone();
        drop(clients);
        let Report { line, latitude, longitude, .. } = report;
        let answer = self.places.nearby(&NearbyQuery { latitude, longitude, radius_m: radius_km * 1000 });
        let answer = answer.unwrap_or_else(|error| error.to_answer());
        let mut json: Value = serde_json::from_str(answer.as_str()).ok()?;
        json["results"].as_array_mut()?.truncate(limit as usize);
        Some(format!("{line}{json:#}\n\n"))
    }
}

fn parse_location(text: &str) -> Option<(f64, f64)> {
    let second = text.get(1..)?.find(['+', '-'])? + 1;
    Some((parse_degrees(&text[..second], 90.0)?, parse_degrees(&text[second..], 180.0)?))
}

fn parse_degrees(text: &str, max: f64) -> Option<f64> {
    let size = text.strip_prefix(['+', '-'])?;
    let (whole, fraction) = size.split_once('.').unwrap_or((size, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let size: f64 = size.parse().ok()?;
    // Rounded, 90.00000000000000001 is 90.
    let beyond = size > max || (size == max && fraction.contains(|digit| digit != '0'));
    if beyond { None } else { text.parse().ok() }
}

fn parse_time(text: &str) -> Option<(u64, String)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(seconds) || !is_digits(fraction) || seconds.len() > 18 {
        return None;
    }
    let time = (seconds.parse().ok()?, fraction.trim_end_matches('0').to_string());
    if time == (0, String::new()) { None } else { Some(time) }
}

fn skew((seconds, fraction): &(u64, String)) -> String {
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let sent = i128::from(*seconds) * 1_000_000_000 + nanos.parse::<i128>().unwrap_or(0);
    let now = clock::now();
    let received = i128::from(now.seconds) * 1_000_000_000 + i128::from(now.nanos);
    let sign = if received < sent { '-' } else { '+' };
    let size = (received - sent).abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}

fn parse_number(text: &str, max: u32) -> Option<u32> {
    let number = text.parse().ok()?;
    (is_digits(text) && (1..=max).contains(&number)).then_some(number)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit())
}
