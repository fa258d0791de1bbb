//! Which provider: the word after `--places`, looked up in the table of providers.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::error::OpenError;
use super::provider::{Provider, Source, UsagePolicy};
use super::providers::PROVIDERS;

/// A provider of places, as chosen on the command line: its name, and for some an argument after a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub(super) provider: &'static Provider,
    argument: String,
}

/// Why a word chooses no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("places come from {}", Which::All.names(false, "or"))]
pub struct BadChoice;

/// A part of the table of providers, which the help speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every provider.
    All,
    /// Those that are asked over the network.
    Network,
    /// Those that need the Google key.
    Keyed,
}

impl Choice {
    pub(super) fn path(&self) -> &Path {
        Path::new(&self.argument)
    }

    /// What the terms of use say, for a provider that is asked over the network.
    pub(super) fn policy(&self) -> Option<&'static UsagePolicy> {
        match &self.provider.source {
            Source::Memory(_) => None,
            Source::Network(api) => Some(&api.policy),
        }
    }
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { provider: &PROVIDERS[0], argument: String::new() }
    }
}

impl FromStr for Choice {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Choice, BadChoice> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) if !argument.is_empty() => (name, Some(argument)),
            Some(_) | None => (text, None),
        };
        let fits =
            |provider: &&Provider| provider.name == name && provider.argument.is_some() == argument.is_some();
        let provider = PROVIDERS.iter().find(fits).ok_or(BadChoice)?;
        Ok(Choice { provider, argument: argument.unwrap_or_default().to_owned() })
    }
}

impl From<BadChoice> for OpenError {
    fn from(why: BadChoice) -> OpenError {
        OpenError::BadChoice(why.to_string())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provider.argument {
            Some(_) => write!(f, "{}:{}", self.provider.name, self.argument),
            None => f.write_str(self.provider.name),
        }
    }
}

impl Which {
    /// The names of these providers in a sentence, `last` before the last: `google and google-legacy`. With what the
    /// table says about each, if `explained`.
    pub fn names(self, explained: bool, last: &str) -> String {
        let mut names = PROVIDERS.iter().filter(|provider| self.has(provider)).map(|provider| {
            let argument = provider.argument.map(|argument| format!(":{argument}")).unwrap_or_default();
            let about = provider.about.filter(|_| explained).map(|about| format!(" ({about})"));
            format!("{}{argument}{}", provider.name, about.unwrap_or_default())
        });
        let end = names.next_back().unwrap_or_default();
        let start: Vec<String> = names.collect();
        if start.is_empty() { end } else { format!("{} {last} {end}", start.join(", ")) }
    }

    fn has(self, provider: &Provider) -> bool {
        match &provider.source {
            Source::Memory(_) => self == Which::All,
            Source::Network(api) => self != Which::Keyed || api.policy.needs_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_print_as_they_are_written() {
        for text in [
            "catalogue",
            "file:/tmp/a b.geojson",
            "file:x",
            "file:a:b",
            "google",
            "google-legacy",
            "overpass",
            "photon",
        ] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        for text in ["", "file", "file:", "Google", "osm", " catalogue", "google:", "google:x", ":", ":x"] {
            assert_eq!(text.parse::<Choice>(), Err(BadChoice), "{text:?}");
        }
        assert_eq!(Choice::default(), "catalogue".parse().unwrap());
    }

    #[test]
    fn names_are_unique_and_the_help_lists_the_table() {
        let mut names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROVIDERS.len());
        assert_eq!(
            Which::All.names(true, "or"),
            "catalogue (built in, no network), file:PATH (GeoJSON), google, google-legacy, overpass \
             (OpenStreetMap) or photon (OpenStreetMap)"
        );
        assert_eq!(
            BadChoice.to_string(),
            "places come from catalogue, file:PATH, google, google-legacy, overpass or photon"
        );
        assert_eq!(Which::Network.names(false, "or"), "google, google-legacy, overpass or photon");
        assert_eq!(Which::Keyed.names(false, "and"), "google and google-legacy");
    }
}
