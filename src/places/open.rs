//! Which provider, how it is reached, and whether that can work at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::endpoint;
use super::answer::Answer;
use super::budget::Budget;
use super::choice::Choice;
use super::error::{OpenError, PlacesError};
use super::key::Key;
use super::local::{Local, SourceFile};
use super::network::Network;
use super::provider::{PlacesProvider, ProviderApi, Source};
use super::remote::Remote;
use super::request::Reply;
use crate::config::{PLACES_CALLS_DEFAULT, PLACES_DEADLINE_S_DEFAULT, PLACES_DEADLINE_S_MAX, PlacesArgs};
use crate::proto::line::query::NearbyQuery;

/// The longest overall deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(PLACES_DEADLINE_S_MAX as u64);

/// For a connection: three round trips to the far side of the world, with one packet lost.
const CONNECT_DEADLINE: Duration = Duration::from_millis(1_500);

/// For the next bytes of an answer: what is left of the whole after a slow connection.
const READ_DEADLINE: Duration = Duration::from_secs(4);

/// For answers that may be kept: maps change slowly, and public servers ask not to be asked twice.
const CACHE_LIFETIME: Duration = Duration::from_secs(600);

/// Which provider, and how it is reached. All but `choice` and the key concern network providers only.
#[derive(Clone, Debug)]
pub struct Options {
    /// The provider.
    pub choice: Choice,
    /// Another base address for a network provider: a server of one's own, a proxy, a test.
    pub url: Option<String>,
    /// A PEM file of the certificates to trust in place of the public authorities.
    pub ca: Option<PathBuf>,
    /// The key for Google's providers.
    pub google_key: Option<Key>,
    /// Where that key was read from, and is read from again on a reload.
    pub google_key_file: Option<PathBuf>,
    /// For a whole question, with waiting for a call permit and a second attempt; at most 60 s. Default 5 s.
    pub deadline: Duration,
    /// For a connection, TLS included; default 1.5 s. Neither this nor a name look-up can be broken off by stopping.
    pub connect_deadline: Duration,
    /// For the next bytes of an answer. Default 4 s.
    pub read_deadline: Duration,
    /// Calls under way at once, 32 by default. One more fails at once instead of piling up on a slow provider.
    pub calls_max: usize,
    /// Calls within a minute; `None` is what the provider's policy says, or as many as one likes of a server of one's
    /// own that costs nothing.
    pub budget_per_minute: Option<u32>,
    /// Calls within a day; `None` as above.
    pub budget_per_day: Option<u32>,
    /// The property that names come from first, in a file of places.
    pub name_field: Option<String>,
    /// How long an answer is kept, where the provider's terms allow it (OpenStreetMap's
    /// do, Google's do not). Default 10 minutes.
    pub cache_lifetime: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            choice: Choice::default(),
            url: None,
            ca: None,
            google_key: None,
            google_key_file: None,
            deadline: Duration::from_secs(PLACES_DEADLINE_S_DEFAULT as u64),
            connect_deadline: CONNECT_DEADLINE,
            read_deadline: READ_DEADLINE,
            calls_max: PLACES_CALLS_DEFAULT as usize,
            budget_per_minute: None,
            budget_per_day: None,
            name_field: None,
            cache_lifetime: CACHE_LIFETIME,
        }
    }
}

impl Options {
    /// What the command line chose, with the key from the environment or the file that it named.
    pub fn of(args: &PlacesArgs) -> Result<Options, OpenError> {
        let PlacesArgs {
            choice,
            url,
            ca,
            google_key_file,
            deadline_s,
            calls_max,
            budget_per_minute,
            budget_per_day,
            name_field,
        } = args.clone();
        let choice: Choice = choice.parse()?;
        let needs_key = choice.policy().is_some_and(|policy| policy.needs_key);
        let google_key = if needs_key { Key::from_env_or_file(google_key_file.as_deref())? } else { None };
        let deadline = Duration::from_secs(u64::from(deadline_s));
        // With more time for the whole, a provider that computes for long before its first byte has it too.
        let read_deadline = deadline.mul_f32(0.8);
        let calls_max = calls_max as usize;
        Ok(Options {
            choice,
            url,
            ca,
            google_key,
            google_key_file,
            deadline,
            read_deadline,
            calls_max,
            budget_per_minute,
            budget_per_day,
            name_field,
            ..Options::default()
        })
    }
}

/// Opens the provider that `options` choose. Nothing is sent yet.
pub fn open(options: &Options) -> Result<Arc<dyn PlacesProvider>, OpenError> {
    let provider = options.choice.provider;
    match &provider.source {
        Source::Memory(places) => {
            refuse_unused_options(options)?;
            let file = SourceFile {
                load: places.load,
                path: options.choice.path().to_owned(),
                name_field: options.name_field.clone(),
            };
            Ok(Arc::new(match provider.argument {
                Some(_) => Local::of_file(file, provider.name)?,
                None => Local::new(file.read()?, provider.name),
            }))
        }
        Source::Network(_) if options.name_field.is_some() => {
            Err(OpenError::NoNameField(options.choice.to_string()))
        }
        Source::Network(api) => Ok(Arc::new(open_remote(options, provider.name, api)?)),
    }
}

/// The answer that a question about `near` would get from `choice`, if that replied with this HTTP status and body;
/// for places in memory, if `body` were what is in the file. It takes neither a network nor a file: the bytes come
/// from a recording, or from a search for bytes that are taken wrongly.
pub fn answer_in(
    choice: &Choice,
    near: &NearbyQuery,
    status: u16,
    body: Vec<u8>,
) -> Result<Answer, PlacesError> {
    match &choice.provider.source {
        Source::Memory(places) => {
            let places = (places.parse)(&body).map_err(PlacesError::Garbage)?;
            Local::new(places, choice.provider.name).nearby(near)
        }
        Source::Network(api) => api.answer(near, &Reply::new(status, None, body)?).result,
    }
}

/// Opens the network provider `name`.
pub(super) fn open_remote(
    options: &Options,
    name: &'static str,
    api: &'static ProviderApi,
) -> Result<Remote, OpenError> {
    let needs_key = api.policy.needs_key;
    let key = options.google_key.clone().filter(|_| needs_key);
    if needs_key && key.is_none() {
        return Err(OpenError::NoKey(name));
    }
    let endpoint = endpoint(options.url.as_deref().unwrap_or(api.base), api.path, api.also, needs_key)?;
    let network = Network::new(options.connect_deadline, options.read_deadline, options.ca.as_deref())?;
    let deadline = options.deadline.min(DEADLINE_MAX);
    // Another server than the provider's own costs nothing, unless the key goes there.
    let policy = Some(&api.policy).filter(|policy| policy.needs_key || options.url.is_none());
    let budget = Budget::new(
        options.budget_per_minute.or(policy.and_then(|policy| policy.calls_per_minute)),
        options.budget_per_day.or(policy.and_then(|policy| policy.calls_per_day)),
    );
    let remote =
        Remote::new(api, endpoint, key, network, deadline, options.calls_max, options.cache_lifetime);
    let key_file = options.google_key_file.clone().filter(|_| needs_key);
    Ok(remote.within(budget).with_key_file(key_file))
}

/// Refuses options that have no meaning for places in memory.
fn refuse_unused_options(options: &Options) -> Result<(), OpenError> {
    let unused = |option| Err(OpenError::Unused(option, options.choice.to_string()));
    if options.name_field.is_some() && options.choice.provider.argument.is_none() {
        return Err(OpenError::NoNameField(options.choice.to_string()));
    }
    match (&options.url, &options.ca) {
        (Some(_), _) => unused("--places-url"),
        (None, Some(_)) => unused("--places-ca"),
        (None, None) => Ok(()),
    }
}
