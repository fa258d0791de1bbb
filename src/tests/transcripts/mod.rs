//! Golden conversations, and what runs them against anything that serves a herd: see `README.md` beside this.
//!
//! Nothing in here knows how a herd is made, so another crate can take this folder in with `#[path]`: give
//! [`sockets::Addresses`] the addresses of servers that run already, or implement [`run::Herd`], and call
//! [`run::run`] with each transcript.

pub(crate) mod format;
pub(crate) mod run;
pub(crate) mod sockets;

/// Hands the names of all transcripts to a macro, which can make a test of each.
macro_rules! each_transcript {
    ($each:ident) => {
        $each! {
            client_names
            dead_neighbour_first
            equal_times
            error_lines
            every_server_floods
            herd_of_2022
            line_ends
            locations
            long_names
            only_later_times
            other_protocols
            over_long_line
            peer_port
            peer_words
            radius_and_limit
            report_session
            server_back
            telnet
            times
            white_space
        }
    };
}
pub(crate) use each_transcript;

macro_rules! texts {
    ($($name:ident)*) => {
        const TEXTS: &[(&str, &[u8])] = &[$((stringify!($name), include_bytes!(concat!(stringify!($name), ".txt")))),*];
    };
}
each_transcript!(texts);

/// The transcript of this name.
///
/// # Errors
/// If there is none, or it cannot be read; the message says where.
pub(crate) fn transcript(name: &str) -> Result<format::Transcript, String> {
    let found = TEXTS.iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| format!("there is no transcript {name}"))?;
    format::Transcript::parse(text).map_err(|error| format!("{name}.txt:{error}"))
}
