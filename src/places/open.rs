//! Which provider, how it is reached, and whether that can work at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::endpoint;
use super::google::{self, Google};
use super::google_legacy::{self, GoogleLegacy};
use super::local::Local;
use super::network::Network;
use super::overpass::{self, Overpass};
use super::remote::Remote;
use super::request::Rules;
use super::{Choice, Key, OpenError, Places, catalogue, geojson};
use crate::config::{PLACES_CALLS_DEFAULT, PLACES_DEADLINE_S_DEFAULT, PLACES_DEADLINE_S_MAX, PlacesArgs};

/// The longest overall deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(PLACES_DEADLINE_S_MAX as u64);

/// For a connection: three round trips to the far side of the world, with one packet lost.
const CONNECT_DEADLINE: Duration = Duration::from_millis(1_500);

/// For the next bytes of an answer: what is left of the whole after a slow connection.
const READ_DEADLINE: Duration = Duration::from_secs(4);

/// For answers that may be kept: maps change slowly, and public servers ask not to be asked twice.
const CACHE_LIFETIME: Duration = Duration::from_secs(600);

/// Which provider, and how it is reached. All but `choice` and `google_key` concern network providers only.
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
    /// For a whole question, with waiting for a turn and a second attempt; at most 60 s. Default 5 s.
    pub deadline: Duration,
    /// For a connection, TLS included; default 1.5 s. Neither this nor a name look-up can be broken off by stopping.
    pub connect_deadline: Duration,
    /// For the next bytes of an answer. Default 4 s.
    pub read_deadline: Duration,
    /// Calls under way at once, 32 by default. One more fails at once instead of piling up on a slow provider.
    pub calls_max: usize,
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
            deadline: Duration::from_secs(PLACES_DEADLINE_S_DEFAULT as u64),
            connect_deadline: CONNECT_DEADLINE,
            read_deadline: READ_DEADLINE,
            calls_max: PLACES_CALLS_DEFAULT as usize,
            cache_lifetime: CACHE_LIFETIME,
        }
    }
}

impl Options {
    /// What the command line chose, with the key from the environment or the file that it named.
    pub fn of(args: &PlacesArgs) -> Result<Options, OpenError> {
        let PlacesArgs { choice, url, ca, google_key_file, deadline_s, calls_max } = args.clone();
        let choice: Choice = choice.parse()?;
        let google_key = match choice {
            Choice::Google | Choice::GoogleLegacy => Key::from_env_or_file(google_key_file.as_deref())?,
            Choice::Catalogue | Choice::File(_) | Choice::Overpass => None,
        };
        let deadline = Duration::from_secs(u64::from(deadline_s));
        // With more time for the whole, a provider that computes for long before its first byte has it too.
        let read_deadline = deadline.mul_f32(0.8);
        let calls_max = calls_max as usize;
        Ok(Options { choice, url, ca, google_key, deadline, read_deadline, calls_max, ..Options::default() })
    }
}

/// Opens the provider that `options` choose. Nothing is sent yet.
pub fn open(options: &Options) -> Result<Arc<dyn Places>, OpenError> {
    match &options.choice {
        Choice::Catalogue => {
            refuse_what_is_for_networks(options)?;
            Ok(Arc::new(Local::new(catalogue::places(), "catalogue")))
        }
        Choice::File(path) => {
            refuse_what_is_for_networks(options)?;
            let geojson::Collection { places, not_points, nameless } = geojson::load(path)?;
            log::info!("places: {} from {}", places.len(), path.display());
            if not_points + nameless > 0 {
                log::warn!(
                    "places: left out {not_points} features that are no points, {nameless} without a name"
                );
            }
            Ok(Arc::new(Local::new(places, "file")))
        }
        Choice::Google => Ok(Arc::new(google(options)?)),
        Choice::GoogleLegacy => Ok(Arc::new(google_legacy(options)?)),
        Choice::Overpass => Ok(Arc::new(overpass(options)?)),
    }
}

/// Google Places API (New).
pub(crate) fn google(options: &Options) -> Result<Remote, OpenError> {
    let key = options.google_key.clone().ok_or(OpenError::NoKey("google"))?;
    let endpoint = endpoint(options.url.as_deref().unwrap_or(google::BASE), google::PATH, true)?;
    remote(options, Box::new(Google { endpoint, key: key.clone() }), Some(key))
}

/// The older Google Places API.
pub(crate) fn google_legacy(options: &Options) -> Result<Remote, OpenError> {
    let key = options.google_key.clone().ok_or(OpenError::NoKey("google-legacy"))?;
    let endpoint =
        endpoint(options.url.as_deref().unwrap_or(google_legacy::BASE), google_legacy::PATH, true)?;
    remote(options, Box::new(GoogleLegacy { endpoint, key: key.clone() }), Some(key))
}

/// An Overpass server.
pub(crate) fn overpass(options: &Options) -> Result<Remote, OpenError> {
    let endpoint = endpoint(options.url.as_deref().unwrap_or(overpass::BASE), overpass::PATH, false)?;
    remote(options, Box::new(Overpass { endpoint }), None)
}

fn remote(options: &Options, rules: Box<dyn Rules>, key: Option<Key>) -> Result<Remote, OpenError> {
    let network = Network::new(options.connect_deadline, options.read_deadline, options.ca.as_deref())?;
    let deadline = options.deadline.min(DEADLINE_MAX);
    Ok(Remote::new(rules, network, key, deadline, options.calls_max, options.cache_lifetime))
}

fn refuse_what_is_for_networks(options: &Options) -> Result<(), OpenError> {
    let unused = |option| Err(OpenError::Unused(option, options.choice.to_string()));
    match (&options.url, &options.ca) {
        (Some(_), _) => unused("--places-url"),
        (None, Some(_)) => unused("--places-ca"),
        (None, None) => Ok(()),
    }
}
