//! A table of clients: where each is, and since when.

use std::io::{self, Write};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::filters::Filters;
use super::http::Http;
use super::now;
use super::seen::{Seen, name};
use crate::logging::Escaped;
use crate::proto::http::form;

/// The status of a client that is not known.
const NOT_FOUND: u16 = 404;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    clients: Vec<&'a RawValue>,
    is_cut: bool,
}

/// Prints the clients that are of interest: by name, or the nearest first.
pub(super) fn clients(
    http: &Http,
    filters: &Filters,
    limit: u32,
    json: bool,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let foreign =
        || http.failed(None, "what it says is no list of clients: is it a server of the herd?".to_owned());
    let (mut texts, mut done, mut is_cut) = (Vec::new(), Replies::Good, false);
    if filters.clients.is_empty() {
        let text = http.text(&format!("/v1/clients{}", filters.list_query(limit)))?;
        let list: List<'_> = serde_json::from_str(&text).map_err(|_| foreign())?;
        texts.extend(list.clients.iter().map(|client| client.get().to_owned()));
        is_cut = list.is_cut;
    }
    for client in &filters.clients {
        match http.text(&format!("/v1/clients/{}", form::attribute_value(client))) {
            Ok(text) => texts.push(text),
            Err(ClientError::Http { status: Some(NOT_FOUND), .. }) => {
                let client = Escaped(client.as_bytes());
                let _ = writeln!(outputs.notes, "nothing is known of {client}, or not to you");
                done = Replies::Errors;
            }
            Err(error) => return Err(error),
        }
    }
    let seen: Result<Vec<Seen<'_>>, _> = texts.iter().map(|text| serde_json::from_str(text)).collect();
    let mut seen: Vec<(Seen<'_>, &String)> = seen.map_err(|_| foreign())?.into_iter().zip(&texts).collect();
    if filters.near.is_none() {
        seen.sort_by(|(a, _), (b, _)| a.client.cmp(&b.client));
    }
    let out = &mut outputs.replies;
    let printed = if json {
        seen.iter().try_for_each(|(_, text)| writeln!(out, "{text}"))
    } else {
        print_table(&seen, filters.near.is_some(), out)
    };
    printed.and_then(|()| out.flush()).map_err(ClientError::Output)?;
    if is_cut {
        let shown = seen.len();
        let _ =
            writeln!(outputs.notes, "these are {shown} of more: say --limit, up to 1000, or a smaller place");
    } else if !json && seen.is_empty() && filters.clients.is_empty() {
        let _ = writeln!(outputs.notes, "no such client is known, or not to you");
    }
    Ok(done)
}

fn print_table(seen: &[(Seen<'_>, &String)], has_distance: bool, out: &mut impl Write) -> io::Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let now: Duration = now();
    let mut rows = vec![
        ["CLIENT", "LATITUDE", "LONGITUDE", "AGE", "SERVER", "ACCURACY", "BATTERY", "DISTANCE"]
            .map(str::to_owned),
    ];
    for (client, _) in seen {
        let distance = client.distance_m.map_or_else(String::new, |metres| format!("{metres:.0} m"));
        rows.push([
            name(&client.client),
            client.latitude.get().to_owned(),
            client.longitude.get().to_owned(),
            client.age(now),
            name(&client.server),
            client.accuracy(),
            client.battery(),
            distance,
        ]);
    }
    let columns = if has_distance { 8 } else { 7 };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
