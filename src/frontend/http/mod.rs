//! The door of HTTP/1.1: phones report, programs ask. One thread serves a connection, one request after the other.

pub(super) mod access;
mod answer;
mod asked;
mod backup;
mod drain;
mod events;
mod friends;
mod guard;
mod herd;
mod list;
mod question;
mod report;
mod route;
mod shares;
mod status;
mod track;

use std::io;
use std::sync::Arc;

use self::access::LastLogin;
use self::answer::Answer;
use self::asked::Asked;
use self::route::Route;
use super::connection::Shared;
use super::protocol::{Protocol, remote};
use crate::member::conversation::Remote;
use crate::member::metrics::Event;
use crate::member::rate_limit::RateLimit;
use crate::net::accept::Accepted;
use crate::net::admission::{Admitted, network};
use crate::net::bodies::Held;
use crate::net::deadlines::{Deadlines, Phase, Received, TimedOut, Written};
use crate::net::stream::Stream;
use crate::os::clock;
use crate::proto::http::head::BadRequest;
use crate::proto::http::request::{Progress, Reader};
use crate::proto::http::response::{CONTINUE, Response, Sending, push_stream_head};

/// The media types of answers that go on until one side ends them.
const EVENT_STREAM: &str = "text/event-stream";
const JSON_LINES: &str = "application/x-ndjson";

/// One connection.
struct Connection<'a> {
    shared: Shared<'a>,
    remote: Remote,
    stream: &'a Arc<Stream>,
    admitted: Admitted<'a>,
    deadlines: Deadlines<'a>,
    rate_limit: RateLimit,
    last_login: LastLogin,
    reader: Reader,
    /// The room for the body that is coming.
    held: Held<'a>,
    out: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum After {
    GoOn,
    Close,
}

/// Serves a client until either side ends the connection.
///
/// # Errors
/// Why it ended, if neither side meant it to.
#[inline(never)]
pub fn serve(shared: Shared<'_>, accepted: Accepted<'_, Protocol>) -> io::Result<()> {
    let limits = &shared.gate.limits;
    let remote = remote(&accepted);
    let phase = Phase::Messages {
        idle_time_max: limits.idle_time_max,
        idle_time_when_full: limits.idle_time_when_full,
        message_time_max: limits.line_time_max,
    };
    accepted.stream.set_nodelay(true)?;
    let connection = Connection {
        shared,
        remote,
        deadlines: Deadlines::new(&accepted.stream, accepted.tls, phase, limits.reply_time_max)?,
        stream: &accepted.stream,
        admitted: accepted.admitted,
        rate_limit: RateLimit::new(limits.places_calls_per_minute)
            .from_address(network(remote.from.ip()), limits.places_calls_per_address),
        last_login: LastLogin::default(),
        reader: if accepted.door.tls.is_some() { Reader::sparing() } else { Reader::default() },
        held: shared.gate.bodies.hold(),
        out: Vec::new(),
    };
    connection.run()
}

impl Connection<'_> {
    fn run(mut self) -> io::Result<()> {
        loop {
            let is_mid_request = self.reader.is_mid_request();
            // While it waits for a request there is nothing to finish.
            let resting = (!is_mid_request).then(|| self.shared.gate.resting.register(self.stream));
            let received = self.deadlines.read(self.reader.space(), is_mid_request)?;
            drop(resting);
            let count = match received {
                Received::Bytes(0) | Received::Cut => return Ok(()),
                Received::Bytes(count) => count,
                Received::Idle => {
                    self.admitted.may_give_way(self.stream);
                    continue;
                }
                Received::TimedOut(what) => return self.give_up(what),
            };
            let keeps_place = self.admitted.keeps_place();
            self.reader.filled(count);
            let after = self.requests()?;
            self.flush()?;
            if self.shared.gate.open.is_stopping() {
                self.deadlines.let_replies_leave();
                return Ok(());
            }
            if after == After::Close || !keeps_place {
                self.deadlines.linger();
                return Ok(());
            }
        }
    }

    /// Answers all whole requests.
    // Never inlined: callgrind can then tell it from what reads and writes.
    #[inline(never)]
    fn requests(&mut self) -> io::Result<After> {
        loop {
            match self.reader.progress() {
                Err(error) => return Ok(self.refuse(error)),
                Ok(Progress::More) if !self.held.grow_to(self.reader.held_bytes()) => {
                    let why = "too many large bodies at once: send it again later";
                    return Ok(self.refuse(BadRequest::new(503, why)));
                }
                Ok(Progress::More) => return Ok(After::GoOn),
                Ok(Progress::Continue) => {
                    self.out.extend_from_slice(CONTINUE);
                    self.flush()?;
                }
                Ok(Progress::Head) => {
                    let request = self.reader.request().and_then(|it| it.below(self.shared.base_path));
                    let bytes_max = request.map_or(route::BODY_BYTES_MAX, |it| Route::body_bytes_max(&it));
                    if let Err(error) = self.reader.bound_body(bytes_max) {
                        return Ok(self.refuse(error));
                    }
                }
                Ok(Progress::Whole) => {
                    let after = self.request()?;
                    self.reader.done();
                    self.deadlines.message_ended();
                    self.held.release();
                    if after == After::Close {
                        return Ok(After::Close);
                    }
                    if self.out.len() >= self.shared.output.replies_bytes_max {
                        self.flush()?;
                    }
                }
            }
        }
    }

    /// Answers the request that is whole.
    fn request(&mut self) -> io::Result<After> {
        let Some(request) = self.reader.request() else { return Ok(After::Close) };
        let member = self.shared.member;
        member.metrics.http_requests.add(1);
        let received = clock::now();
        let (shared, remote) = (self.shared, self.remote);
        let (rate_limit, last_login) = (&mut self.rate_limit, &mut self.last_login);
        let below = request.below(shared.base_path);
        let request = below.unwrap_or(request);
        let is_head = request.method() == b"HEAD";
        let response = match below {
            None => Response::problem(404, "there is nothing outside of the base path of this server"),
            Some(_) => {
                let asked = Asked { shared, remote, request: &request, received, rate_limit, last_login };
                match answer::answer(asked) {
                    Answer::Whole(response) => response,
                    Answer::Events(mut stream) => {
                        log::debug!("{} watches", stream.asker().at(self.remote));
                        return self.stream(EVENT_STREAM, is_head, |send| stream.run(send));
                    }
                    Answer::Export(mut export) => {
                        return self.stream(JSON_LINES, is_head, |send| export.run(send));
                    }
                }
            }
        };
        if response.status >= 400 {
            member.metrics.http_refused.add(1);
        }
        log::debug!(
            "{}: {} {}: {}",
            self.remote,
            request.method().escape_ascii(),
            route::without_token(request.path()).escape_ascii(),
            response.status
        );
        let gate = self.shared.gate;
        let keeps_alive = request.keeps_alive() && !gate.open.is_stopping() && !gate.is_draining();
        let says_so = keeps_alive && request.must_say_keep_alive();
        let response = if says_so { response.with("Connection", "keep-alive") } else { response };
        response.push_to(Sending { now: received, keeps_alive, is_head }, &mut self.out);
        Ok(if keeps_alive { After::GoOn } else { After::Close })
    }

    /// Sends an answer that goes on until either side ends it.
    fn stream(
        &mut self,
        media_type: &str,
        is_head: bool,
        run: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<After> {
        push_stream_head(clock::now(), media_type, &mut self.out);
        if !is_head {
            run(&mut |bytes| {
                self.out.extend_from_slice(bytes);
                self.flush()
            })?;
        }
        Ok(After::Close)
    }

    /// Says why a request is not understood. Nothing says where the next one begins, so there is none.
    fn refuse(&mut self, error: BadRequest) -> After {
        let metrics = &self.shared.member.metrics;
        metrics.http_requests.add(1);
        metrics.http_refused.add(1);
        log::debug!("{}: {}: {error}", self.remote, error.status);
        self.say(error.status, error.why);
        After::Close
    }

    fn say(&mut self, status: u16, why: &str) {
        let sending = Sending { now: clock::now(), keeps_alive: false, is_head: false };
        Response::problem(status, why).push_to(sending, &mut self.out);
    }

    /// What was waited for did not come.
    fn give_up(mut self, what: TimedOut) -> io::Result<()> {
        let (metrics, remote) = (&self.shared.member.metrics, self.remote);
        if what == TimedOut::Message {
            let wait = humantime::format_duration(self.shared.gate.limits.line_time_max);
            metrics.count_and_warn(
                Event::LineTime,
                remote.from,
                format_args!("{remote} took over {wait} for a request"),
            );
            // Not 408: an iPhone deletes a point that gets any 4xx, and its link may only have been slow.
            self.say(503, "the request did not come to its end in time: send it again");
        } else {
            metrics.over_idle_time.add(1);
        }
        self.flush()?;
        self.deadlines.linger();
        Ok(())
    }

    /// Sends all answers so far.
    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if self.deadlines.write(&self.out)? == Written::Late {
            let _permit = self.shared.member.turn_permits.late();
            let wait = humantime::format_duration(self.shared.gate.limits.reply_time_max);
            let why = format!("it has not taken its answers within {wait}");
            let what = format_args!("{}: {why}", self.remote);
            self.shared.member.metrics.count_and_warn(Event::ReplyTime, self.remote.from, what);
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.out.clear();
        self.out.shrink_to(4 * 1024);
        Ok(())
    }
}
