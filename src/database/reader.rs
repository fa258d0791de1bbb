//! The reader: a thread that asks the database for those who may wait a little, but not for long.
//!
//! Of all who ask for one client at once only the first one's question goes to the database. Clients that it does not
//! have are remembered for some seconds, and while it does not answer no question waits for it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::engine::{Engine, EngineError};
use super::hearsay::Hearsay;
use crate::member::Member;
use crate::member::core::NoTrack;
use crate::member::metrics::Event;
use crate::member::warnings::Source;
use crate::os::clock;

/// How long a question about an unknown client may wait for the database.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(300);

/// How long a track may be waited for: ten thousand points are read in a tenth of a second.
const TRACK_WAIT_MAX: Duration = Duration::from_secs(3);

/// Questions that wait for the thread.
const JOBS_MAX: usize = 64;

/// How long a client that the database does not have is not asked for again, and how many are remembered.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
const UNKNOWN_MAX: usize = 4_096;

/// How long nothing is asked after a failure.
const DOWN_FOR: Duration = Duration::from_secs(1);

/// Questions to the database.
#[derive(Debug)]
pub(super) struct Questions {
    jobs: Sender<Job>,
    to_do: Receiver<Job>,
    fetches: Mutex<Fetches>,
    fetched: Condvar,
}

#[derive(Debug, Default)]
struct Fetches {
    under_way: HashSet<String>,
    /// Until when clients are known not to be there.
    unknown: HashMap<String, Instant>,
    down_until: Option<Instant>,
    /// Whether a question is under way that finds out whether the database is there again.
    is_probed: bool,
}

#[derive(Debug)]
enum Job {
    Fetch(String),
    Track(String, Sender<Result<Vec<Vec<u8>>, NoTrack>>),
    Stop,
}

impl Questions {
    pub(super) fn new() -> Questions {
        let (jobs, to_do) = bounded(JOBS_MAX);
        Questions { jobs, to_do, fetches: Mutex::default(), fetched: Condvar::default() }
    }

    /// Has the database asked for a client; whether that may be known now.
    pub(super) fn fetch(&self, client: &str) -> bool {
        let (now, deadline) = (clock::instant(), clock::deadline(FETCH_WAIT_MAX));
        let mut fetches = self.fetches.lock();
        if fetches.is_down(now) || fetches.unknown.get(client).is_some_and(|until| now < *until) {
            return false;
        }
        if fetches.under_way.insert(client.to_owned()) {
            if self.jobs.try_send(Job::Fetch(client.to_owned())).is_err() {
                fetches.under_way.remove(client);
                return false;
            }
            fetches.is_probed = true;
        }
        while fetches.under_way.contains(client) {
            if self.fetched.wait_until(&mut fetches, deadline).timed_out() {
                return false;
            }
        }
        !fetches.unknown.contains_key(client)
    }

    /// Has the history of a client read.
    pub(super) fn track(&self, client: &str) -> Result<Vec<Vec<u8>>, NoTrack> {
        let (answer, answered) = bounded(1);
        let mut fetches = self.fetches.lock();
        if fetches.is_down(clock::instant()) {
            return Err(NoTrack::Silent);
        }
        self.jobs.try_send(Job::Track(client.to_owned(), answer)).map_err(|_| NoTrack::Busy)?;
        fetches.is_probed = true;
        drop(fetches);
        answered.recv_timeout(TRACK_WAIT_MAX).unwrap_or(Err(NoTrack::Silent))
    }

    /// Lets the thread end.
    pub(super) fn stop(&self) {
        // Who waits for one of the others is told that there is no answer.
        while self.to_do.try_recv().is_ok() {}
        // If there is no room for it others have come meanwhile, and one of them is left out.
        while self.jobs.try_send(Job::Stop).is_err() && self.to_do.try_recv().is_ok() {}
    }

    /// Answers questions until stopped.
    pub(super) fn run(&self, member: &Member, mut engine: Box<dyn Engine>) {
        while let Ok(job) = self.to_do.recv() {
            // Those that have waited for one that failed need not fail one by one.
            let is_down = self.fetches.lock().down_until.is_some_and(|until| clock::instant() < until);
            let failed = match job {
                Job::Stop => return,
                Job::Fetch(client) if is_down => {
                    self.fetched(client, Err(EngineError::Silent));
                    continue;
                }
                Job::Track(_, answer) if is_down => {
                    // It may have given up waiting.
                    let _ = answer.try_send(Err(NoTrack::Silent));
                    continue;
                }
                Job::Fetch(client) => {
                    member.metrics.database_questions.add(1);
                    let read = again_if_closed(|| engine.read(&client));
                    let found = read.map(|value| {
                        // Questions must not fill the memory that clients need which register themselves.
                        if !member.read(|node| node.store().is_near_capacity()) {
                            Hearsay::of(value.as_deref()).merge_into(member);
                        }
                        member.locate(client.as_bytes()).is_some()
                    });
                    self.fetched(client, found)
                }
                Job::Track(client, answer) => {
                    let track = again_if_closed(|| engine.track(&client));
                    let failed = track.as_ref().err().cloned();
                    // It may have given up waiting.
                    let _ = answer.try_send(track.map_err(|_| NoTrack::Silent));
                    failed
                }
            };
            let down_until = failed.is_some().then(|| clock::deadline(DOWN_FOR));
            {
                let mut fetches = self.fetches.lock();
                (fetches.down_until, fetches.is_probed) = (down_until, false);
            }
            if let Some(error) = failed {
                let what = format_args!("the database cannot be asked: {error}");
                member.metrics.count_and_warn(Event::Database, Source::Own, what);
            }
        }
    }

    fn fetched(&self, client: String, found: Result<bool, EngineError>) -> Option<EngineError> {
        let mut fetches = self.fetches.lock();
        fetches.under_way.remove(&client);
        let failed = match found {
            Ok(true) => {
                fetches.unknown.remove(&client);
                None
            }
            Ok(false) => {
                if fetches.unknown.len() >= UNKNOWN_MAX {
                    fetches.unknown.clear();
                }
                fetches.unknown.insert(client, clock::deadline(UNKNOWN_FOR));
                None
            }
            Err(error) => Some(error),
        };
        drop(fetches);
        self.fetched.notify_all();
        failed
    }
}

impl Fetches {
    /// Whether the database is not to be asked now: it has just failed, or a question is under way that finds out
    /// whether it still does, for which one waits, and not all.
    fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until || self.is_probed)
    }
}

/// Asks again at once if the connection was closed while nothing was asked, if the database has begun again, or if its
/// servers are others now: the second question finds that out. One that does not answer in time is not asked again.
fn again_if_closed<T>(mut ask: impl FnMut() -> Result<T, EngineError>) -> Result<T, EngineError> {
    ask().or_else(|error| match error {
        EngineError::NoScript | EngineError::Unreachable(_) | EngineError::Refused(_) => ask(),
        EngineError::Silent
        | EngineError::Denied(_)
        | EngineError::Full
        | EngineError::ReadOnly
        | EngineError::Moving
        | EngineError::Changed => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_database_is_down_one_question_finds_out_and_others_do_not_wait() {
        let questions = Questions::new();
        questions.fetches.lock().down_until = Some(clock::instant());
        // There is no thread that answers: it is asked, and given up.
        assert!(!questions.fetch("kiwi"));
        assert_eq!(questions.to_do.len(), 1);
        assert!(!questions.fetch("emu"));
        assert!(matches!(questions.track("emu"), Err(NoTrack::Silent)));
        assert_eq!(questions.to_do.len(), 1);
    }
}
