//! A `WHATSAT` half answered: the query for a provider of places, and how its answer becomes the reply.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proto::model::name::ClientId;
use crate::proto::model::sighting::at_line;
use crate::proto::store::Store;

/// The largest radius that a client may ask for, in kilometres; the largest that Google Places allows.
pub const RADIUS_KM_MAX: u8 = 50;

/// The most places a client may ask for. Every provider is asked for as many: one answer then serves
/// every limit, and is cut to the client's own by [`Query::finish`].
pub const PLACES_MAX: u8 = 20;

/// The answer in place of a provider's text that is not of the agreed shape.
const NO_ANSWER: &str = r#"{
   "html_attributions" : [],
   "results" : [],
   "status" : "UNKNOWN_ERROR",
   "error_message" : "the provider's answer could not be read"
}"#;

/// A client's question about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhatsAt<'a> {
    /// The client that is asked about.
    pub client: ClientId<'a>,
    /// Kilometres around that client, 1 to [`RADIUS_KM_MAX`].
    pub radius_km: u8,
    /// The most places wanted, 1 to [`PLACES_MAX`].
    pub limit: u8,
}

/// A question to a provider of places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearbyQuery {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
    /// Metres around that point, 1,000 to 50,000.
    pub radius_m: u32,
}

/// A question whose first half, where the client is, has been answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    line: Vec<u8>,
    nearby: NearbyQuery,
    limit: usize,
}

impl Query {
    /// The query that a `WHATSAT` leads to; `None` for a client that is not in the store.
    pub fn of(store: &Store, ask: &WhatsAt<'_>) -> Option<Query> {
        Query::new(store.line_of(ask.client.0.as_bytes())?, ask)
    }

    /// The place of the client is in its stored `AT` line.
    fn new(stored_line: &[u8], ask: &WhatsAt<'_>) -> Option<Query> {
        let (sighting, _) = at_line(stored_line).ok()?;
        let (latitude, longitude) = sighting.location.degrees();
        let nearby = NearbyQuery { latitude, longitude, radius_m: u32::from(ask.radius_km) * 1000 };
        Some(Query { line: stored_line.to_vec(), nearby, limit: usize::from(ask.limit) })
    }

    /// The query for a provider.
    pub fn nearby(&self) -> &NearbyQuery {
        &self.nearby
    }

    /// Appends the reply: the `AT` line, and the provider's answer with at most as many results as asked for,
    /// in the provider's own order and layout, every run of line ends squeezed to one LF, then two line feeds.
    ///
    /// `answer` is the text of a Google Places Nearby Search answer: an object with an array `results`.
    pub fn finish(&self, answer: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line);
        let (answer, cut) = match results_beyond(answer, self.limit) {
            Ok(cut) => (answer, cut),
            Err(_) => (NO_ANSWER, 0..0),
        };
        let text = [&answer[..cut.start], &answer[cut.end..]].concat();
        // No text of JSON holds a raw line end, so all of these stand between its tokens.
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// Where in the text of `answer` the results after the first `limit` stand.
///
/// # Errors
/// If the text is not a JSON object with an array `results`.
pub fn results_beyond(answer: &str, limit: usize) -> Result<std::ops::Range<usize>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        results: Vec<&'a RawValue>,
    }
    let results = serde_json::from_str::<Shape<'_>>(answer)?.results;
    let end_of =
        |result: &RawValue| result.get().as_ptr() as usize - answer.as_ptr() as usize + result.get().len();
    let end = results.last().map_or(0, |last| end_of(last));
    let start = match results.get(..limit) {
        Some([.., last_kept]) => end_of(last_kept),
        Some([]) => results.first().map_or(0, |first| end_of(first) - first.get().len()),
        None => end,
    };
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "AT Alford +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503\n";

    fn reply(answer: &str, limit: u8) -> String {
        let ask = WhatsAt { client: ClientId("kiwi.cs.ucla.edu"), radius_km: 10, limit };
        let query = Query::new(LINE.as_bytes(), &ask).unwrap();
        assert_eq!(
            query.nearby(),
            &NearbyQuery { latitude: 34.068930, longitude: -118.445127, radius_m: 10_000 }
        );
        let mut out = Vec::new();
        query.finish(answer, &mut out);
        let reply = String::from_utf8(out).unwrap();
        reply.strip_prefix(LINE).unwrap().to_owned()
    }

    #[test]
    fn results_beyond_the_limit_are_cut_and_the_rest_stays() {
        let start = "{\n  \"next\" : 1.10,\n  \"results\" : [\n    {\"n\": \"]\\n,\"}";
        let end = "\n  ],\n  \"status\" : \"OK\"\n}";
        let answer = &format!("{start},\n    {{\"n\":2.50}},\n    3{end}");
        let cut = format!("{start}{end}");
        assert_eq!(reply(answer, 1), format!("{cut}\n\n"));
        assert_eq!(reply(answer, 3), format!("{answer}\n\n"));
        assert_eq!(reply(answer, 20), format!("{answer}\n\n"));
    }

    #[test]
    fn line_feeds_are_squeezed_and_two_end_the_reply() {
        assert_eq!(reply("\n\n{\n\n\n\"results\":[]\n\n}\n\n\n\n", 5), "{\n\"results\":[]\n}\n\n");
        assert_eq!(reply("{\"results\":[]}", 5), "{\"results\":[]}\n\n");
        assert_eq!(reply("{\r\n\r\n\"results\":[]}\r\n", 5), "{\n\"results\":[]}\n\n");
    }

    #[test]
    fn text_of_another_shape_becomes_an_answer_without_results() {
        for bad in ["", "null", "[]", "{}", "{\"results\":1}", "{\"results\":[1}", "{\"results\":[]} x"] {
            assert_eq!(reply(bad, 5), format!("{NO_ANSWER}\n\n"), "{bad:?}");
        }
    }

    #[test]
    fn limit_zero_cuts_every_result() {
        assert_eq!(results_beyond("{\"results\":[1,2]}", 0).unwrap(), 12..15);
        assert_eq!(results_beyond("{\"results\":[]}", 0).unwrap(), 0..0);
    }
}
