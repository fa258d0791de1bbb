//! The command line: clap arguments, turned into checked values.
//!
//! Two stages: `args` holds the words that were typed, [`Job`] the work to do. Only the second leaves this room.

mod args;
mod common;
mod database;
mod limits;
mod resolve;
mod running;
mod token;
mod usage;

use std::env;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;

use crate::client::{self, Ask, Target};
use crate::config::{
    Access, Auth, Config, ConfigError, Herd, JournalOptions, LogOptions, MapOptions, Member, OwnTracksKeys,
    PlacesArgs, Purpose, SECRET_VARIABLE, TlsFiles,
};
use crate::proto::node::Dialect;
use args::{Raw, RawAsk, RawClient, RawForget, RawHerd, RawJob, RawServe, RawToken};
use common::RawHerdFile;

/// The work that the command line asks for.
#[derive(Debug)]
pub enum Job {
    /// Be a server of the herd.
    Serve(Box<Config>),
    /// Talk to a server.
    Client(client::Options),
    /// Tell the server whose journal is in the first of these folders where one runs to forget a client.
    Forget(Vec<PathBuf>, String),
    /// Ask a running server over HTTP.
    Ask(client::http::Server, client::Command),
    /// Print this text, and nothing else.
    Print(Vec<u8>),
    /// Print what came of looking up names, and say by the exit code whether all were found.
    Found(resolve::Found),
}

/// Reads and checks the command line of this process. A question for help ends the process with clap's own words and
/// exit code; bad usage and a bad configuration are returned.
pub fn parse() -> Result<Job, ConfigError> {
    match Raw::try_parse() {
        Ok(raw) => checked(raw),
        Err(error) if usage::is_help(&error) => error.exit(),
        Err(error) => Err(ConfigError::Usage(usage::sentence(error))),
    }
}

/// Whether the command line of this process asks for a server, as far as its first word says.
pub fn asks_to_serve() -> bool {
    env::args_os().nth(1).is_some_and(|word| word == "serve")
}

fn checked(raw: Raw) -> Result<Job, ConfigError> {
    Ok(match raw.job {
        RawJob::Serve(raw) => Job::Serve(Box::new(config(*raw)?)),
        RawJob::Client(raw) => Job::Client(client_options(raw)?),
        RawJob::Herd(raw) => herd_job(raw)?,
        RawJob::Forget(raw) => forget(raw)?,
        RawJob::Status(raw) => asked(raw.checked()?),
        RawJob::Clients(raw) => asked(raw.checked()?),
        RawJob::Watch(raw) => asked(raw.checked()?),
        RawJob::Share(raw) => asked(raw.checked()?),
        RawJob::Export(raw) => asked(raw.checked()?),
        RawJob::Import(raw) => asked(raw.checked()?),
        RawJob::Drain(raw) => asked(raw.checked()?),
        RawJob::Token { ask: RawToken::New { user, access, url, device } } => {
            Job::Print(token::text(&user, access.as_deref(), url.as_deref(), &device)?.into_bytes())
        }
        RawJob::Completions { shell } => Job::Print(completions(shell)),
        RawJob::Man => Job::Print(manual()),
    })
}

fn asked((server, command): (client::http::Server, client::Command)) -> Job {
    Job::Ask(server, command)
}

fn config(raw: RawServe) -> Result<Config, ConfigError> {
    let herd = raw.herd.load()?;
    let member = herd.known(&raw.name)?;
    if member.dialect == Dialect::Legacy {
        return Err(ConfigError::NotOurKind(member.name.clone()));
    }
    let auth = Auth::of(&raw.secret_files, env::var_os(SECRET_VARIABLE), raw.insecure)?;
    auth.allows(member, &herd.neighbours(&member.name))?;
    let access = raw.access.as_deref().map(Access::load).transpose()?;
    check_doors(member, access.is_some())?;
    let tls = TlsFiles::of(raw.tls_cert, raw.tls_key, member)?;
    Ok(Config {
        name: member.name.clone(),
        proxy_from: raw.proxy_from,
        auth,
        secret_files: raw.secret_files,
        access,
        tls,
        owntracks_keys: raw.owntracks_keys.as_deref().map(OwnTracksKeys::load).transpose()?,
        http_base_path: raw.http_base_path,
        mqtt_relays: raw.mqtt_relay,
        map: MapOptions { tiles: raw.map_tiles, tiles_credit: raw.map_tiles_credit },
        herd_file: raw.herd.path,
        herd,
        log: LogOptions {
            dir: raw.log_dir,
            level: raw.log_level,
            when_full: raw.log_when_full,
            file_bytes_max: raw.log_file_bytes_max,
            files_max: raw.log_files_max,
            status_every: raw.status_every,
        },
        journal: JournalOptions {
            durability: raw.durability,
            dir: raw.data_dir.unwrap_or_else(|| data_dir_of(&raw.name)),
        },
        places: PlacesArgs {
            choice: raw.places,
            url: raw.places_url,
            ca: raw.places_ca,
            deadline_s: raw.places_deadline,
            calls_max: raw.limits.places_calls_max,
            budget_per_minute: raw.limits.places_budget_per_minute,
            budget_per_day: raw.limits.places_budget_per_day,
            name_field: raw.places_name_field,
            google_key_file: raw.google_key_file,
        },
        limits: raw.limits.checked(),
        database: raw.database.checked()?,
        clock_lead_max: raw.max_clock_lead,
        explains: raw.explain,
        has_tree: !raw.eager_links,
        scheduling: raw.scheduling,
    })
}

/// Without users all that get through may report and ask for all.
fn check_doors(member: &Member, has_users: bool) -> Result<(), ConfigError> {
    // Lines in TLS are as open as lines without.
    let with_logins = [Purpose::Http, Purpose::Mqtt, Purpose::Https, Purpose::Mqtts];
    let mut doors = with_logins.into_iter().filter_map(|purpose| member.listens(purpose));
    match doors.find(|(_, address)| !has_users && !address.is_loopback()) {
        None => Ok(()),
        Some((whose, address)) => Err(ConfigError::NeedsAccess { whose, address }),
    }
}

fn forget(RawForget { server, client, data_dir }: RawForget) -> Result<Job, ConfigError> {
    let Some((name, herd)) = server.on_this_machine() else {
        return Ok(Job::Ask(server.checked()?, client::Command::Forget(client)));
    };
    // Without a file the herd may still be another than the built-in one, and the folder says enough.
    if herd.path.is_some() {
        herd.load()?.known(name)?;
    }
    let run = env::var_os(RUN_DIR_VARIABLE).map_or_else(|| PathBuf::from(RUN_DIR), PathBuf::from);
    let usual = || vec![data_dir_of(name), run.join(data_dir_of(name))];
    Ok(Job::Forget(data_dir.map_or_else(usual, |dir| vec![dir]), client))
}

/// Where `scripts/run.sh` lets servers run, and the variable that names another folder.
const RUN_DIR: &str = "run";
const RUN_DIR_VARIABLE: &str = "PROXYHERD_RUN_DIR";

/// Where the journal of a server is, if nothing else is said.
fn data_dir_of(name: &str) -> PathBuf {
    PathBuf::from("data").join(name)
}

fn client_options(raw: RawClient) -> Result<client::Options, ConfigError> {
    let server = match raw.server {
        // No name has a colon in it, so an address needs no herd.
        Some(host) if host.contains(':') => Target::Host(host),
        Some(name) => member(&raw.herd.load()?, Some(&name))?,
        None => member(&raw.herd.load()?, None)?,
    };
    let ask = raw.ask.map(|ask| match ask {
        RawAsk::Iamat { client, location, time } => Ask::IAmAt { client, location, time },
        RawAsk::Whatsat { client, radius, limit } => Ask::WhatsAt { client, radius, limit },
    });
    Ok(client::Options { server, ask })
}

fn member(herd: &Herd, name: Option<&str>) -> Result<Target, ConfigError> {
    let member = match name {
        Some(name) => herd.member(name).ok_or_else(|| {
            let members = herd.members().iter().map(|member| member.name.clone()).collect();
            ConfigError::UnknownTarget { name: name.to_owned(), members }
        })?,
        None => &herd.members()[0],
    };
    Ok(Target::Member(member.name.clone(), member.client.clone()))
}

fn herd_job(raw: RawHerd) -> Result<Job, ConfigError> {
    let RawHerd { herd: RawHerdFile { path }, check, resolve, list } = raw;
    let file = RawHerdFile { path: check.clone().flatten().or(path) };
    let is_built_in = file.path.is_none();
    let herd = file.load()?;
    let text = match (check, list) {
        (Some(_), _) => format!("{}\n{}", crate::config::draw(&herd), summary(&herd)),
        (None, true) => listing(&herd),
        // Without a file this is where one begins, with what it should have.
        (None, false) if is_built_in => crate::config::to_toml(&Herd::suggested()),
        (None, false) => crate::config::to_toml(&herd),
    };
    if !resolve {
        return Ok(Job::Print(text.into_bytes()));
    }
    let mut found = resolve::look_up(&herd);
    found.text = format!("{text}\n{}", found.text);
    Ok(Job::Found(found))
}

fn listing(herd: &Herd) -> String {
    let mut text = String::new();
    for member in herd.members() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", member.name, member.client, member.peer);
    }
    text
}

fn summary(herd: &Herd) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}, {}; every server reaches every other. A server that was away is {}.\n",
        count(herd.members().len(), "server"),
        count(herd.links().len(), "link"),
        if herd.catch_up { "told what it missed" } else { "not told what it missed" }
    )
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Raw::command(), "proxyherd", &mut script);
    script
}

/// One page after the other: the program's, and one for each command and request.
fn manual() -> Vec<u8> {
    let mut command = Raw::command();
    command.build();
    let mut page = Vec::new();
    append_pages(&command, &mut page).expect("writing to memory cannot fail");
    page
}

fn append_pages(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(page)?;
    let of_its_own = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    of_its_own.into_iter().try_for_each(|sub| append_pages(sub, page))
}

#[cfg(test)]
mod tests;
