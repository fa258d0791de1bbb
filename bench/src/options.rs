//! The command line of every variant: the same as that of `proxyherd serve`, as far as it matters here.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use proxyherd::config::{
    Auth, BasePath, CONNECTIONS_DEFAULT, Config, Herd, JournalOptions, Limits, LogOptions, MapOptions,
    PlacesArgs, SECRET_VARIABLE, Scheduling,
};
use proxyherd::places;
use proxyherd::proto::model::name::ServerName;
use proxyherd::proto::node::Dialect;

/// What every variant is told.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Which server of the herd to be.
    name: String,
    /// The herd: names, addresses and links, as `proxyherd herd` prints them [default: built in].
    #[arg(long, value_name = "FILE")]
    herd: Option<PathBuf>,
    /// How much to log: debug has every request and every reply.
    #[arg(long, value_name = "LEVEL", default_value = "debug")]
    log_level: log::LevelFilter,
    /// The folder for NAME.log.
    #[arg(long, value_name = "DIR", default_value = ".")]
    log_dir: PathBuf,
    /// Leave all links eager.
    #[arg(long)]
    eager_links: bool,
    /// Who is asked what is near.
    #[arg(long, value_name = "PROVIDER", default_value = "catalogue")]
    places: String,
    /// Another base address for a provider over the network.
    #[arg(long, value_name = "URL")]
    places_url: Option<String>,
    /// How many calls to a provider over the network within a minute.
    #[arg(long, value_name = "N")]
    places_budget_per_minute: Option<u32>,
    /// How many of them within a day.
    #[arg(long, value_name = "N")]
    places_budget_per_day: Option<u32>,
    /// Of no meaning to variants, which tell no addresses apart.
    #[arg(long, value_name = "N")]
    places_calls_per_address: Option<u32>,
    /// How many clients may be connected at once; one more is refused politely.
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_DEFAULT)]
    connections_max: u32,
}

/// The herd file asks a variant for the classic dialect.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is marked classic in the herd file, a dialect that this variant does not speak: use proxyherd serve"
)]
struct NotSpoken(ServerName);

/// The environment asks a variant for links that are encrypted.
#[derive(Debug, thiserror::Error)]
#[error(
    "{SECRET_VARIABLE} is set, and links of this variant are not encrypted: unset it, or use proxyherd serve"
)]
struct NotEncrypted;

impl Common {
    /// The configuration that these options give, checked.
    ///
    /// # Errors
    /// If the herd cannot be read, has no such server, or asks for more than variants can do; the text says what to
    /// do.
    pub fn checked(self) -> Result<Config, Box<dyn Error>> {
        let herd = self.herd.map_or_else(|| Ok(Herd::built_in()), |path| proxyherd::config::load(&path))?;
        let member = herd.known(&self.name)?;
        let mut spoken = std::iter::once(member).chain(herd.neighbours(&member.name));
        if let Some(classic) = spoken.find(|member| member.dialect == Dialect::Legacy) {
            return Err(NotSpoken(classic.name.clone()).into());
        }
        if std::env::var_os(SECRET_VARIABLE).is_some() {
            return Err(Box::new(NotEncrypted));
        }
        let auth = Auth::Loopback;
        auth.allows(member, &herd.neighbours(&member.name))?;
        Ok(Config {
            name: member.name.clone(),
            herd,
            log: LogOptions { dir: self.log_dir, level: self.log_level, ..LogOptions::default() },
            // The variants keep nothing.
            journal: JournalOptions::default(),
            places: PlacesArgs {
                choice: self.places,
                url: self.places_url,
                budget_per_minute: self.places_budget_per_minute,
                budget_per_day: self.places_budget_per_day,
                ..PlacesArgs::default()
            },
            limits: Limits { connections_max: self.connections_max, ..Limits::default() },
            proxy_from: Vec::new(),
            clock_lead_max: None,
            explains: false,
            has_tree: !self.eager_links,
            secret_files: Vec::new(),
            herd_file: None,
            access: None,
            tls: None,
            owntracks_keys: None,
            mqtt_relays: false,
            http_base_path: BasePath::default(),
            map: MapOptions::default(),
            database: None,
            scheduling: Scheduling::default(),
            auth,
        })
    }
}

/// Opens the provider that was chosen.
///
/// # Errors
/// If there is none such, or it cannot be used.
pub fn open_places(config: &Config) -> Result<Arc<dyn places::PlacesProvider>, Box<dyn Error>> {
    Ok(places::open(&places::Options::of(&config.places)?)?)
}
