//! Server-Sent Events: what becomes of the clients that the asker may see, from now on, over one long answer.
//!
//! | event | data | when |
//! |---|---|---|
//! | `client` | the object of `GET /v1/clients/{name}` | a client has reported, or is there at the beginning |
//! | `gone` | `{"client":"NAME"}` | it was forgotten, has expired, has left the box, or may not be seen any more |
//! | `reset` | `{}` | everything follows: what is not told again until the next `current` is gone |
//! | `current` | `{}` | all that was due has been told, once after each beginning |
//!
//! The id of an event is a generation and a position. The generation is another after each start of the server, and
//! after each change of the users: then everything is told. A thread serves a stream, as it does any connection, and
//! waits with all others in [`crate::member::watchers`]. What it tells is decided in [`crate::member::watch`].

use std::io;
use std::time::{Duration, Instant};

use super::access::Asker;
use super::asked::Asked;
use super::guard;
use super::question::push_object;
use crate::frontend::access;
use crate::frontend::connection::Shared;
use crate::member::metrics;
use crate::member::watch::{Event, Looked, Wants, Watch};
use crate::member::watchers::Place;
use crate::os::clock;
use crate::proto::geo::area::Area;
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;
use crate::proto::http::share::Share;

/// How long a browser waits before it comes back, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// How long a stream says nothing: a write finds out whether the other side is still there. Proxies forget connections
/// on which nothing comes for a minute, some sooner, and half of that is soon enough: of thousands of idle streams
/// these writes are all that takes time.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The most clients that a stream may name: each change is compared with all of them.
const CLIENTS_MAX: usize = 100;

/// The bytes of events that are written at once. A reader that takes no more than so many within --reply-time-max is
/// cut off, so they are few.
const WRITE_BYTES: usize = 16 * 1024;

/// A stream of events.
pub(super) struct EventStream<'a> {
    shared: Shared<'a>,
    _place: Place<'a>,
    asker: Asker,
    /// The asker as it was, until the watcher has caught up since.
    before: Option<Asker>,
    wants: Wants,
    /// The users of this group alone.
    group: Option<String>,
    watch: Watch,
    /// Of the access file, at the time of `asker`.
    generation: u64,
    /// The position that the other side was told last.
    told: u64,
    /// Whether the client of a share is gone, or another one of the same name has come.
    is_over: bool,
    events: Vec<(u64, Event)>,
}

/// Begins a stream.
///
/// # Errors
/// The answer to one who cannot have it.
pub(super) fn begin<'a>(asked: &Asked<'a, '_>) -> Result<Box<EventStream<'a>>, Response> {
    let (shared, request) = (asked.shared, asked.request);
    // Before the asker, so that no change of the users is missed.
    let generation = access::generation(shared.access);
    let asker = Asker::of(shared, request, asked.remote)?;
    // It costs a thread for as long as it is open.
    guard::check_site(request).map_err(|(status, why)| Response::problem(status, why))?;
    let (wants, group) =
        wanted(&request.query_pairs(), &asker).map_err(|why| Response::problem(400, &why))?;
    let Some(place) = shared.watchers.enter() else {
        let most = shared.watchers.watchers_max();
        let what = format_args!(
            "{} cannot watch: {most} streams of events are open (--watchers-max)",
            asker.at(asked.remote)
        );
        shared.member.metrics.count_and_warn(metrics::Event::Watchers, asked.remote.from, what);
        let why = "as many streams of events are open as may be: try another server of the herd";
        return Err(Response::problem(503, why).with("Retry-After", "30"));
    };
    let after = after(request, id_generation(shared, generation));
    let sees = |client: &str| sees(&asker, group.as_deref(), client);
    let watch = Watch::begin(shared.member, shared.finder, wants.clone(), after, &sees);
    Ok(Box::new(EventStream {
        shared,
        _place: place,
        asker,
        before: None,
        wants,
        group,
        watch,
        generation,
        told: 0,
        is_over: false,
        events: Vec::new(),
    }))
}

impl EventStream<'_> {
    /// Hands out what is to be sent until the server stops, or the asker may watch no more.
    ///
    /// # Errors
    /// Those of `send`.
    pub(super) fn run(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        send(RETRY)?;
        let (watchers, open) = (self.shared.watchers, &self.shared.gate.open);
        let (mut out, mut silent_by) = (Vec::new(), clock::deadline(SILENCE_MAX));
        loop {
            let woken = watchers.woken();
            let mut looked = Looked::More;
            while looked != Looked::All {
                if open.is_stopping() || self.shared.gate.is_draining() || !self.is_allowed() {
                    return Ok(());
                }
                looked = self.look(&mut out);
                let is_due = looked == Looked::All || self.is_over || out.len() >= WRITE_BYTES;
                if is_due && !out.is_empty() {
                    send(&out)?;
                    out.clear();
                    silent_by = clock::deadline(SILENCE_MAX);
                }
                if self.is_over {
                    return Ok(());
                }
            }
            out = Vec::new();
            open.pause(watchers.rest());
            loop {
                watchers.wait(woken, self.ends_by().map_or(silent_by, |end| end.min(silent_by)));
                if silent_by > clock::instant() {
                    break;
                }
                self.push_comment(&mut out);
                send(&out)?;
                out = Vec::new();
                silent_by = clock::deadline(SILENCE_MAX);
                // Nothing has changed, so there is nothing to look for either.
            }
        }
    }

    /// When the share ends by itself, if it is one.
    fn ends_by(&self) -> Option<Instant> {
        let share = self.asker.share()?;
        Some(clock::deadline(Duration::from_secs(share.until_s.saturating_sub(clock::now().seconds))))
    }

    /// Who watches, for the log.
    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Whether the asker may watch still, whose rights may have changed.
    fn is_allowed(&mut self) -> bool {
        if self.asker.share().is_some_and(|share| clock::now().seconds >= share.until_s) {
            return false;
        }
        let Ok(before) = self.asker.renew(self.shared.access, &mut self.generation) else { return false };
        if before.is_some() {
            self.before = before;
            self.watch.begin_again();
        }
        true
    }

    /// Looks once, and appends what is to be told.
    fn look(&mut self, out: &mut Vec<u8>) -> Looked {
        let EventStream { shared, asker, before, wants, group, watch, events, .. } = self;
        let group = group.as_deref();
        let now = |client: &str| sees(asker, group, client);
        let then = |client: &str| before.as_ref().is_some_and(|asker| sees(asker, group, client));
        let mut looked = watch.look(shared.member, &now, before.is_some().then_some(&then), events);
        if looked == Looked::Lost {
            *watch = Watch::begin(shared.member, shared.finder, wants.clone(), None, &now);
            looked = Looked::More;
        }
        if watch.is_current() {
            *before = None;
        }
        self.push_events(out);
        looked
    }

    fn push_events(&mut self, out: &mut Vec<u8>) {
        let generation = id_generation(self.shared, self.generation);
        self.shared.member.metrics.events_told.add(self.events.len() as u64);
        let share = self.asker.share();
        for (position, event) in self.events.drain(..) {
            // A client of a later era is another one, and nothing is told of it.
            let is_other = |share: &Share| matches!(&event, Event::Client(it) if it.era() != share.era);
            self.is_over |= share.is_some_and(|share| is_other(share) || matches!(event, Event::Gone(_)));
            if share.is_some_and(is_other) {
                break;
            }
            self.told = position;
            push_id(generation, position, out);
            match event {
                Event::Reset => out.extend_from_slice(b"event: reset\ndata: {}"),
                Event::Current => out.extend_from_slice(b"event: current\ndata: {}"),
                Event::Client(located) => {
                    out.extend_from_slice(b"event: client\ndata: ");
                    push_object(&located, None, out);
                }
                Event::Gone(client) => {
                    out.extend_from_slice(b"event: gone\ndata: {\"client\":");
                    // Writing to memory cannot fail.
                    let _ = serde_json::to_writer(&mut *out, &client);
                    out.push(b'}');
                }
            }
            out.extend_from_slice(b"\n\n");
        }
    }

    /// Appends a comment, with an id if the position has moved: one who comes back need not go through what is of no
    /// interest again.
    fn push_comment(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": nothing new\n");
        let position = self.watch.position();
        if self.watch.is_current() && position != self.told {
            self.told = position;
            push_id(id_generation(self.shared, self.generation), position, out);
        }
        out.push(b'\n');
    }
}

/// Whether a client is one that the asker may see and wants to, as far as groups go.
fn sees(asker: &Asker, group: Option<&str>, client: &str) -> bool {
    group.is_none_or(|group| asker.has_group(group, client)) && asker.may_see(client)
}

fn push_id(generation: u64, position: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("id: {generation:016x}.{position}\n").as_bytes());
}

/// What positions are good for: a run of this server, with the users of the moment.
fn id_generation(shared: Shared<'_>, generation: u64) -> u64 {
    shared.watchers.run.wrapping_add(generation)
}

/// The position after which a stream goes on, if the request names one of this generation.
fn after(request: &Request<'_>, generation: u64) -> Option<u64> {
    let pairs = request.query_pairs();
    let asked = pairs.iter().find(|pair| pair.0 == "last_event_id").map(|pair| pair.1.as_bytes());
    // A browser that comes back sends the field, and the address that it was given first.
    let id = request.header(Name::LastEventId).or(asked)?;
    let (of, position) = std::str::from_utf8(id).ok()?.trim().split_once('.')?;
    (of.len() == 16 && u64::from_str_radix(of, 16).ok()? == generation).then_some(())?;
    position.parse().ok()
}

/// What a query asks for, and the group.
fn wanted(pairs: &[(String, String)], asker: &Asker) -> Result<(Wants, Option<String>), String> {
    if let Some(share) = asker.share() {
        // Whatever else is asked for, that is all there is to be seen.
        return Ok((Wants { area: None, clients: vec![share.client.clone()] }, None));
    }
    let value = |key: &str| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.clone());
    let area = value("box").map(|text| Area::parse(&text).map_err(|error| error.to_string())).transpose()?;
    let named = pairs.iter().filter(|pair| pair.0 == "client");
    let mut clients: Vec<String> = named.map(|pair| pair.1.clone()).collect();
    clients.sort();
    clients.dedup();
    if clients.len() > CLIENTS_MAX {
        return Err(format!("these are more than {CLIENTS_MAX} clients: use more streams, or none by name"));
    }
    let group = value("group");
    if group.is_some() && asker.user().is_none() {
        return Err("there are no groups, because there are no users: see --access".to_owned());
    }
    Ok((Wants { area, clients }, group))
}
