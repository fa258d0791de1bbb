//! How a server and its herd are, in a few lines.

use std::fmt::Write as _;
use std::io::Write;

use bytesize::ByteSize;
use serde_json::{Value, json};

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::http::Http;

/// Where a server says that it is not well.
const UNAVAILABLE: u16 = 503;

/// Prints how a server is. It is not well if it says so, or if a link of it is down.
pub(super) fn status(
    http: &Http,
    json: bool,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let ailment = match http.get("/health") {
        Ok(_) => None,
        Err(ClientError::Http { status: Some(UNAVAILABLE), why, .. }) => Some(why),
        Err(error) => return Err(error),
    };
    let asked = http.get("/v1/status").and_then(|status| Ok((status, http.get("/v1/herd")?)));
    let (status, herd) = match asked {
        // One that is drained says nothing else to newcomers.
        Err(ClientError::Http { status: Some(UNAVAILABLE), .. }) if ailment.is_some() => {
            (Value::Null, Value::Null)
        }
        asked => asked?,
    };
    let down = list(&herd["links"]).iter().filter(|link| link["is_up"] != true).count();
    let is_well = ailment.is_none() && down == 0;
    let text = if json {
        let value = json!({ "is_well": is_well, "ailment": ailment, "status": status, "herd": herd });
        format!("{value}\n")
    } else if let (Some(why), true) = (&ailment, status.is_null()) {
        format!("server    {}: not well: {why}\n", http.url)
    } else {
        words(&status, &herd, ailment.as_deref(), down)
    };
    outputs.replies.write_all(text.as_bytes()).map_err(ClientError::Output)?;
    Ok(if is_well { Replies::Good } else { Replies::Errors })
}

fn words(status: &Value, herd: &Value, ailment: Option<&str>, down: usize) -> String {
    let gauge = |name: &str| status["gauges"][name].as_u64().unwrap_or_default();
    let how = match (ailment, down) {
        (Some(why), _) => format!("not well: {why}"),
        (None, 0) => "well".to_owned(),
        (None, down) => format!("not well: {} down", count(down, "link")),
    };
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:9} {value}");
    };
    line("server", format!("{}, release {}: {how}", of(&status["server"]), of(&status["version"])));
    let (servers, links) = (list(&herd["servers"]), list(&herd["herd_links"]));
    line(
        "herd",
        format!(
            "{}, {}; digest {}",
            count(servers.len(), "server"),
            count(links.len(), "link"),
            of(&status["digest"])
        ),
    );
    let (bytes, most) = (gauge("clients_bytes"), gauge("clients_bytes_max"));
    let share = if most == 0 { 0.0 } else { 100.0 * bytes as f64 / most as f64 };
    let memory = format!("{} of {} ({share:.1} %)", ByteSize(bytes), ByteSize(most));
    line("clients", format!("{}, {} forgotten; {memory}", gauge("clients"), gauge("clients_forgotten")));
    line("journal", journal(&status["journal"]));
    if let Some(url) = status["database"]["url"].as_str() {
        line("database", format!("{url}: {}", of(&status["database"]["state"])));
    }
    line(
        "open",
        format!(
            "{}, {} of events",
            count(gauge("connections_open"), "connection"),
            count(gauge("watchers_open"), "stream")
        ),
    );
    let own = servers.iter().find(|server| server["is_self"] == true).unwrap_or(&Value::Null);
    let doors = ["client", "client_tls", "http", "https", "mqtt", "mqtts", "peer"].into_iter();
    let doors = doors.filter_map(|door| Some(format!("{door} {}", own[door].as_str()?)));
    line("doors", doors.collect::<Vec<_>>().join(", "));
    for link in list(&herd["links"]) {
        let rate = |key: &str| link[key].as_f64().unwrap_or_default();
        let (out, into) = (rate("updates_sent_per_second"), rate("updates_received_per_second"));
        let flapping =
            if link["is_flapping"] == true { ", flapping: two servers have this name" } else { "" };
        let error = &link["last_error"]["what"];
        let error = match error.as_str().filter(|_| link["is_up"] != true) {
            Some(what) => format!("; {what}"),
            None => format!("; {out} out and {into} in a second"),
        };
        line("link", format!("to {}: {}{error}{flapping}", of(&link["peer"]), of(&link["state"])));
    }
    text
}

fn journal(journal: &Value) -> String {
    if journal.is_null() {
        return "none: what is known lives as long as the server".to_owned();
    }
    let number = |key: &str| journal[key].as_u64().unwrap_or_default();
    let how = journal["failure"].as_str().unwrap_or("durable");
    let behind = number("changes_not_durable");
    let size = ByteSize(number("bytes"));
    format!("{how}, {} not yet; {size} in {}", count(behind, "change"), count(number("files"), "file"))
}

fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A text of an answer.
fn of(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_wrong() {
        let status = json!({
            "server": "A", "version": "0.1.0", "digest": "00", "journal": null,
            "gauges": { "clients": 2, "clients_bytes": 512, "clients_bytes_max": 1024 },
        });
        let link =
            json!({ "peer": "B", "is_up": false, "state": "down", "last_error": { "what": "refused" } });
        let herd = json!({
            "servers": [{ "name": "A", "is_self": true, "http": "127.0.0.1:1", "https": null }],
            "herd_links": [["A", "B"]], "links": [link],
        });
        let text = words(&status, &herd, None, 1);
        for words in [
            "server    A, release 0.1.0: not well: 1 link down\n",
            "clients   2, 0 forgotten; 512 B of 1.0 KiB (50.0 %)\n",
            "journal   none: what is known lives as long as the server\n",
            "doors     http 127.0.0.1:1\n",
            "link      to B: down; refused\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(words_of(&status, "reports no").contains("not well: reports no\n"));
    }

    fn words_of(status: &Value, ailment: &str) -> String {
        words(status, &Value::Null, Some(ailment), 0)
    }
}
