//! What a provider of places is to those who ask it, and the shape of its entry in the table of providers.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::answer::Answer;
use super::circles::{Circle, Circles, Nearest};
use super::error::{OpenError, PlacesError};
use super::found::Found;
use super::gazetteer::Gazetteer;
use super::request::{Health, Reading, Reply, Request};
use super::said::Said;
use crate::proto::line::query::NearbyQuery;

/// A provider of places. Every method may be called from any thread at any time.
pub trait PlacesProvider: Send + Sync {
    /// Up to `PLACES_MAX` places around a point, nearest first where the provider lets us. A network
    /// provider may take as long as the overall deadline; no lock may be held meanwhile.
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError>;

    /// Whether [`PlacesProvider::nearby`] may wait for the network. The driver then writes out finished replies
    /// before it asks.
    fn may_wait(&self) -> bool;

    /// Whether the places, or the key for them, come from a file, which may change.
    fn has_file(&self) -> bool {
        false
    }

    /// Reads the places or the key again, if they come from a file. It takes its time, and what was read before is used
    /// meanwhile, and stays in use if the file is wrong. The log says what became of it.
    fn reload(&self) {}

    /// Ends the calls under way and makes later ones fail at once.
    fn stop(&self);
}

/// An entry of the table of providers: all that the rest of the program knows of one.
pub(crate) struct Provider {
    /// The word that chooses it on the command line; unlike that of any other provider.
    pub(crate) name: &'static str,
    /// What the command line gives it after a colon, as the help calls it.
    pub(crate) argument: Option<&'static str>,
    /// What the help says of it, beside its name.
    pub(crate) about: Option<&'static str>,
    pub(crate) source: Source,
}

/// Where a provider has its places.
pub(crate) enum Source {
    /// In memory: answered at once.
    Memory(PlacesInMemory),
    /// On the network: asked again for every question.
    Network(ProviderApi),
}

/// Reads all places at a path. Names are in the property of this name first, if one is given.
pub(crate) type Load = fn(path: &Path, name_field: Option<&str>) -> Result<Gazetteer, OpenError>;

/// Places that are read when the provider is opened, and again when the operator says so.
pub(crate) struct PlacesInMemory {
    /// Reads all places. The path is the argument of the command line, and empty if the provider takes none.
    pub(crate) load: Load,
    /// The places in the bytes of a file, or what is wrong with them.
    pub(crate) parse: fn(&[u8]) -> Result<Gazetteer, String>,
}

/// The interface of a network provider: where it is, how to ask it, what its replies mean. Pure: `remote` calls it.
pub(crate) struct ProviderApi {
    /// The provider's own server. The option `--places-url` names another.
    pub(crate) base: &'static str,
    /// Where the interface is on a server.
    pub(crate) path: &'static str,
    /// Other paths of such a server, which people copy.
    pub(crate) also: &'static [&'static str],
    pub(crate) policy: UsagePolicy,
    /// How it is asked for the nearest places, if it does not know them itself. Otherwise one call asks for all.
    pub(crate) circles: Option<Circles>,
    /// The request for everything near a point, to the whole address of the interface. The key is empty if the
    /// policy asks for none.
    pub(crate) request: fn(endpoint: &str, key: &str, near: &NearbyQuery) -> Request,
    /// What the body of a reply with HTTP status 200 holds.
    pub(crate) parse: fn(&NearbyQuery, &str) -> Result<Parsed, PlacesError>,
    /// A recorded reply that holds places, for the tests that every provider passes.
    #[cfg(test)]
    pub(crate) recorded: &'static str,
}

/// What a provider's terms of use demand and allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsagePolicy {
    /// Whether a request carries the Google key, which then crosses the network encrypted only.
    pub(crate) needs_key: bool,
    /// Calls under way at once; the option may allow fewer, and `None` leaves it to that.
    pub(crate) calls_max: Option<usize>,
    /// Questions that may wait for their turn, within their deadline.
    pub(crate) waiting_max: usize,
    /// Further attempts after one that failed.
    pub(crate) retries: u32,
    /// Whether answers may be kept.
    pub(crate) may_cache: bool,
    /// The shortest pause after the provider has said that it was asked too often, whatever its `Retry-After`.
    pub(crate) pause_min: Duration,
    /// The calls of one server within a minute and within a day, unless options say otherwise: what they cost, or
    /// what the provider asks for. `None` is as many as one likes.
    pub(crate) calls_per_minute: Option<u32>,
    /// See above.
    pub(crate) calls_per_day: Option<u32>,
    /// What must be shown with the provider's data.
    pub(crate) attributions: &'static [&'static str],
}

/// What the body of a successful reply holds.
pub(crate) enum Parsed {
    /// Places: in the order in which they are shown, unless the provider is asked in circles.
    Places(Found),
    /// An answer that is passed on as it came, and what it says of the provider's health.
    Answer(Answer, Health),
}

impl ProviderApi {
    /// What the reply to a request for `near` means.
    pub(crate) fn read(&self, near: &NearbyQuery, reply: &Reply) -> Reading<Parsed> {
        if reply.status == 200 {
            match (self.parse)(near, &reply.text) {
                Ok(Parsed::Answer(answer, health)) => {
                    return Reading { result: Ok(Parsed::Answer(answer, health)), health };
                }
                Ok(parsed) => return Reading::well(Ok(parsed)),
                // An error that is called a success.
                Err(PlacesError::Garbage(_)) if Said::in_json(&reply.text).is_some() => {}
                Err(error) => return Reading::unwell(error),
            }
        }
        let Reading { result, health } = Reading::of_refusal(reply);
        Reading { result, health: self.with_pause(health) }
    }

    /// The answer to a question about `near`, if this reply were all there is.
    pub(crate) fn answer(&self, near: &NearbyQuery, reply: &Reply) -> Reading<Answer> {
        let Reading { result, health } = self.read(near, reply);
        let result = result.and_then(|parsed| match parsed {
            Parsed::Answer(answer, _) => Ok(answer),
            Parsed::Places(found) => match self.circles {
                None => Ok(self.ranked(&found)),
                Some(circles) => {
                    let mut nearest = Nearest::new(near, circles, Circle::default());
                    nearest.learn(near, found.complete_m, found.places);
                    nearest.answer(self.policy.attributions, None)
                }
            },
        });
        Reading { result, health }
    }

    /// The answer of a provider that knows itself which places are nearest.
    pub(crate) fn ranked(&self, found: &Found) -> Answer {
        Answer::of(&found.places, self.policy.attributions, None)
    }

    fn with_pause(&self, health: Health) -> Health {
        match health {
            Health::AsksForSilence(asked) => match asked.max(self.policy.pause_min) {
                Duration::ZERO => Health::Well,
                pause => Health::AsksForSilence(pause),
            },
            Health::Well | Health::Unwell => health,
        }
    }
}

/// Names are unique, so they stand for the entry.
impl PartialEq for Provider {
    fn eq(&self, other: &Provider) -> bool {
        self.name == other.name
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
