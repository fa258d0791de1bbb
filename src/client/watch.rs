//! What becomes of clients, live: one line for each change, over a stream that is resumed when it ends.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::filters::Filters;
use super::http::{Http, Lines, next_line};
use super::now;
use super::seen::{Seen, name};
use crate::proto::model::calendar::date_time;
use crate::proto::model::time::Moment;

/// The wait before the first attempt to come back, doubled up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The most bytes of a line of a stream: the longest name, and what is said of its client.
const LINE_BYTES_MAX: usize = 1 << 20;

/// An event of a stream.
#[derive(Debug, Default, PartialEq)]
struct Event {
    kind: String,
    data: String,
}

/// A watch that goes on over many streams.
struct Watch<'a> {
    filters: &'a Filters,
    json: bool,
    /// Where the next stream goes on.
    last_id: Option<String>,
    /// The clients within a radius, of which the server knows but the box.
    inside: BTreeSet<String>,
}

/// Prints a line for each change until the reader of the lines or the asker has enough.
pub(super) fn watch(
    http: &Http,
    filters: &Filters,
    json: bool,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let path = format!("/v1/events{}", filters.events_query());
    let mut watch = Watch { filters, json, last_id: None, inside: BTreeSet::new() };
    let (mut was_there, mut pause) = (false, PAUSE_MIN);
    loop {
        let field = watch.last_id.clone();
        let opened = http.stream(&path, field.as_deref().map(|id| ("Last-Event-ID", id)));
        let why = match opened {
            Ok(stream) => {
                if pause > PAUSE_MIN {
                    let _ = writeln!(outputs.notes, "{} is there again", http.url);
                }
                was_there = true;
                let before = watch.last_id.clone();
                let why = watch.follow(stream, &mut outputs.replies)?;
                if watch.last_id != before {
                    pause = PAUSE_MIN;
                }
                why
            }
            // A wrong token or question does not become a right one.
            Err(error) if !was_there || is_final(&error) => return Err(error),
            Err(error) => error.to_string(),
        };
        if is_closed() {
            return Ok(Replies::Good);
        }
        if pause == PAUSE_MIN {
            let _ = writeln!(outputs.notes, "{}: {why}; trying again", http.url);
        }
        // Many watchers must not come back at one moment.
        thread::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::Http { status: Some(400..=428 | 430..=499), .. })
}

impl Watch<'_> {
    /// Prints what a stream says until it ends; returns why it did.
    fn follow(&mut self, mut stream: Lines, out: &mut impl Write) -> Result<String, ClientError> {
        let (mut event, mut line) = (Event::default(), Vec::new());
        loop {
            match next_line(&mut stream, LINE_BYTES_MAX, &mut line) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok("it says nothing".to_owned());
                }
                Err(error) => return Ok(format!("the stream is cut off: {error}")),
                Ok(false) => return Ok("the stream has ended".to_owned()),
                Ok(true) if !line.ends_with(b"\n") => return Ok("the stream is cut off".to_owned()),
                Ok(true) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                let whole = std::mem::take(&mut event);
                if !whole.kind.is_empty() {
                    self.print(&whole, out).and_then(|()| out.flush()).map_err(ClientError::Output)?;
                }
            } else if let Some(id) = text.strip_prefix("id: ") {
                self.last_id = Some(id.to_owned());
            } else if let Some(kind) = text.strip_prefix("event: ") {
                event.kind = kind.to_owned();
            } else if let Some(data) = text.strip_prefix("data: ") {
                event.data = data.to_owned();
            } else if text.starts_with(':') && is_closed() {
                // While nothing changes nothing is written, which would find that out.
                return Err(ClientError::Output(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }

    fn print(&mut self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        #[derive(Deserialize)]
        struct Gone {
            client: String,
        }
        match event.kind.as_str() {
            "client" => {
                let Ok(seen) = serde_json::from_str::<Seen<'_>>(&event.data) else { return Ok(()) };
                if !self.filters.is_exact() {
                    let is_inside = seen.place().is_some_and(|(lat, lon)| self.filters.has(lat, lon));
                    if !is_inside {
                        let was_inside = self.inside.remove(&seen.client);
                        return if was_inside { self.print_gone(&seen.client, out) } else { Ok(()) };
                    }
                    self.inside.insert(seen.client.clone());
                }
                if self.json { self.print_json(event, out) } else { print_seen(&seen, out) }
            }
            "gone" => {
                let Ok(Gone { client }) = serde_json::from_str(&event.data) else { return Ok(()) };
                let is_told = self.filters.is_exact() || self.inside.remove(&client);
                if is_told { self.print_gone(&client, out) } else { Ok(()) }
            }
            "reset" if self.json => self.print_json(event, out),
            "current" if self.json => self.print_json(event, out),
            // A kind of a later release, or of no interest to people.
            _ => Ok(()),
        }
    }

    fn print_gone(&self, client: &str, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            let data = json!({ "client": client }).to_string();
            return self.print_json(&Event { kind: "gone".to_owned(), data }, out);
        }
        let now = now();
        let now = date_time(Moment { seconds: now.as_secs(), nanos: 0 });
        writeln!(out, "{now} {} is gone", name(client))
    }

    /// The event and its data, as they came.
    fn print_json(&self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        let Ok(data) = serde_json::from_str::<&RawValue>(&event.data) else { return Ok(()) };
        writeln!(out, "{{\"event\":\"{}\",\"data\":{data}}}", event.kind)
    }
}

fn print_seen(seen: &Seen<'_>, out: &mut impl Write) -> io::Result<()> {
    let (latitude, longitude) = (seen.latitude.get(), seen.longitude.get());
    let more = [seen.accuracy(), seen.battery()].into_iter().filter(|text| !text.is_empty());
    let more: String = more.map(|text| format!(", {text}")).collect();
    let (name, server) = (name(&seen.client), name(&seen.server));
    writeln!(out, "{} {name} at {latitude},{longitude} by {server}{more}", seen.time_utc)
}

/// Whether the reader of standard output is gone.
fn is_closed() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let polled_any = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or_default() > 0;
    polled_any && polled[0].revents().contains(PollFlags::ERR)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn printed(filters: &Filters, json: bool, stream: &str) -> (String, Option<String>) {
        let mut watch = Watch { filters, json, last_id: None, inside: BTreeSet::new() };
        let mut out = Vec::new();
        let stream: Box<dyn io::Read> = Box::new(io::Cursor::new(stream.to_owned()));
        watch.follow(BufReader::new(stream), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), watch.last_id)
    }

    fn client(name: &str, longitude: &str) -> String {
        format!(
            "id: 1.5\nevent: client\ndata: {{\"client\":\"{name}\",\"latitude\":1.50,\"longitude\":{longitude},\
             \"time\":\"5\",\"time_utc\":\"then\",\"server\":\"A\",\"accuracy_m\":5}}\n\n"
        )
    }

    #[test]
    fn each_event_is_a_line() {
        let stream = format!(
            "retry: 2000\n\nid: 1.0\nevent: reset\ndata: {{}}\n\n{}: nothing new\nid: 1.9\n\n\
             event: gone\ndata: {{\"client\":\"k\\u001b\"}}\n\nevent: later\ndata: 5\n\nevent: client\ndata: {{}}",
            client("k", "2")
        );
        let (text, last_id) = printed(&Filters::default(), false, &stream);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "then k at 1.50,2 by A, 5 m");
        assert!(lines[1].ends_with(" k\\x1b is gone") && lines.len() == 2, "{text}");
        assert_eq!(last_id.as_deref(), Some("1.9"));
        let (text, _) = printed(&Filters::default(), true, &stream);
        let events: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["reset", "client", "gone"]);
        assert!(text.contains("\"latitude\":1.50,"));
    }

    #[test]
    fn one_that_leaves_the_radius_is_gone() {
        let filters = Filters { near: Some(((1.5, 2.0), Some(1_000.0))), ..Filters::default() };
        let stream =
            [client("k", "2.001"), client("k", "2.1"), client("k", "2.1"), client("x", "2.1")].concat();
        let (text, _) = printed(&filters, false, &stream);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("2.001") && lines[1].ends_with("k is gone"), "{text}");
    }
}
