//! Where a client was, as GeoJSON and as GPX 1.1.

use crate::proto::http::phones::point::push_decimal;
use crate::proto::model::attributes::Attributes;
use crate::proto::model::calendar::push_date_time;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::model::time::Moment;
use crate::proto::store::update::trimmed;

/// What most points take in an answer.
const POINT_BYTES: usize = 96;

/// Where a client was, oldest first.
#[derive(Debug)]
pub struct Track<'a> {
    client: &'a str,
    points: Vec<(Sighting<'a>, Option<Attributes<'a>>)>,
    is_cut: bool,
}

/// Which points are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// None before this.
    pub from: Moment,
    /// None after this.
    pub to: Moment,
    /// No more than these, the newest ones.
    pub points_max: usize,
}

impl<'a> Track<'a> {
    /// The points of stored lines of a client, in whatever order they came, each once.
    pub fn of(client: &'a str, lines: &'a [Vec<u8>], span: Span) -> Track<'a> {
        let point = |line: &'a Vec<u8>| match StoredLine::parse(trimmed(line)).ok()? {
            StoredLine::Sighting(_, attributes, sighting) => Some((sighting, attributes)),
            StoredLine::Tombstone(_) => None,
        };
        let is_wanted = |sighting: &Sighting<'_>| (span.from..=span.to).contains(&sighting.time.moment());
        let mut points: Vec<_> =
            lines.iter().filter_map(point).filter(|(sighting, _)| is_wanted(sighting)).collect();
        // A phone that was not answered sends its points again, and so does a server.
        points.sort_by(|(a, _), (b, _)| {
            a.time.cmp(&b.time).then_with(|| a.location.text().cmp(b.location.text()))
        });
        points.dedup_by(|(a, _), (b, _)| a.time == b.time && a.location.text() == b.location.text());
        let left_out = points.len().saturating_sub(span.points_max);
        points.drain(..left_out);
        Track { client, points, is_cut: left_out > 0 }
    }

    /// As a collection of one line, or of one point where there is no other, or of nothing.
    pub fn geojson(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.points.len() * POINT_BYTES + 256);
        out.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"features\":[");
        if !self.points.is_empty() {
            let is_line = self.points.len() > 1;
            let kind = if is_line { "LineString" } else { "Point" };
            out.extend_from_slice(b"{\"type\":\"Feature\",\"geometry\":{\"type\":\"");
            out.extend_from_slice(format!("{kind}\",\"coordinates\":").as_bytes());
            self.list(is_line, &mut out, |(sighting, _), out| {
                let (latitude, longitude) = sighting.location.texts();
                out.push(b'[');
                push_decimal(longitude, out);
                out.push(b',');
                push_decimal(latitude, out);
                out.push(b']');
            });
            out.extend_from_slice(b"},\"properties\":{\"client\":");
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut out, self.client);
            out.extend_from_slice(b",\"times\":");
            self.list(true, &mut out, |(sighting, _), out| {
                out.extend_from_slice(format!("\"{}\"", sighting.time.text()).as_bytes());
            });
            out.extend_from_slice(b",\"times_utc\":");
            self.list(true, &mut out, |(sighting, _), out| {
                out.push(b'"');
                push_date_time(sighting.time.moment(), out);
                out.push(b'"');
            });
            out.extend_from_slice(b"}}");
        }
        out.extend_from_slice(b"],\"is_cut\":");
        out.extend_from_slice(if self.is_cut { b"true}" } else { b"false}" });
        out
    }

    /// As a track of GPX 1.1.
    pub fn gpx(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.points.len() * POINT_BYTES + 256);
        out.extend_from_slice(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"proxyherd\" \
              xmlns=\"http://www.topografix.com/GPX/1/1\">\n<trk><name>",
        );
        self.client.chars().for_each(|c| push_xml(c, &mut out));
        out.extend_from_slice(b"</name><trkseg>\n");
        for (sighting, attributes) in &self.points {
            let (latitude, longitude) = sighting.location.texts();
            out.extend_from_slice(b"<trkpt lat=\"");
            push_decimal(latitude, &mut out);
            out.extend_from_slice(b"\" lon=\"");
            push_decimal(longitude, &mut out);
            out.extend_from_slice(b"\">");
            let altitude = attributes.and_then(|attributes| attributes.get("alt"));
            if let Some(altitude) = altitude.filter(|text| text.parse().is_ok_and(f64::is_finite)) {
                out.extend_from_slice(b"<ele>");
                push_decimal(altitude, &mut out);
                out.extend_from_slice(b"</ele>");
            }
            out.extend_from_slice(b"<time>");
            push_date_time(sighting.time.moment(), &mut out);
            out.extend_from_slice(b"</time></trkpt>\n");
        }
        out.extend_from_slice(b"</trkseg></trk>\n</gpx>\n");
        out
    }

    /// Appends something of every point, with commas between them, and in brackets.
    fn list(
        &self,
        has_brackets: bool,
        out: &mut Vec<u8>,
        push: impl Fn(&(Sighting<'a>, Option<Attributes<'a>>), &mut Vec<u8>),
    ) {
        if has_brackets {
            out.push(b'[');
        }
        for (number, point) in self.points.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            push(point, out);
        }
        if has_brackets {
            out.push(b']');
        }
    }
}

/// Appends a character of a text in XML, in which some cannot stand at all.
fn push_xml(c: char, out: &mut Vec<u8>) {
    let text: &[u8] = match c {
        '&' => b"&amp;",
        '<' => b"&lt;",
        '>' => b"&gt;",
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}".as_bytes(),
        _ => return out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    };
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Span = Span {
        from: Moment { seconds: 0, nanos: 0 },
        to: Moment { seconds: u64::MAX, nanos: 0 },
        points_max: 9,
    };

    fn lines(times: &[&str]) -> Vec<Vec<u8>> {
        let line = |time: &&str| format!("WITH alt=-12 AT A +1 kiwi +01.50-2 {time}").into_bytes();
        times.iter().map(line).collect()
    }

    #[test]
    fn points_are_in_the_order_of_their_times_and_each_is_there_once() {
        let lines = lines(&["7", "5", "6.5", "5", "x", "1700000000.25"]);
        let value = |span: Span| -> serde_json::Value {
            serde_json::from_slice(&Track::of("kiwi", &lines, span).geojson()).unwrap()
        };
        let times = |span| value(span)["features"][0]["properties"]["times"].clone();
        assert_eq!(times(ALL), serde_json::json!(["5", "6.5", "7", "1700000000.25"]));
        assert_eq!(value(ALL)["is_cut"], false);
        let second = |seconds| Moment { seconds, nanos: 0 };
        assert_eq!(times(Span { from: second(6), to: second(7), ..ALL }), serde_json::json!(["6.5", "7"]));
        let cut = Span { points_max: 1, ..ALL };
        assert_eq!(
            (times(cut), value(cut)["is_cut"].clone()),
            (serde_json::json!(["1700000000.25"]), true.into())
        );
        let shape = |span| value(span)["features"][0]["geometry"].clone();
        assert_eq!(shape(cut), serde_json::json!({ "type": "Point", "coordinates": [-2.0, 1.5] }).replaced());
        assert_eq!(shape(ALL)["type"], "LineString");
        assert_eq!(value(Span { from: second(8), to: second(9), ..ALL })["features"], serde_json::json!([]));
    }

    trait Replaced {
        fn replaced(self) -> Self;
    }

    impl Replaced for serde_json::Value {
        /// With the digits that were reported.
        fn replaced(mut self) -> serde_json::Value {
            self["coordinates"][0] = serde_json::json!(-2);
            self
        }
    }

    #[test]
    fn gpx_has_what_its_schema_asks_for() {
        let lines = lines(&["1700000000.25"]);
        let text = String::from_utf8(Track::of("a<&\u{1}>é", &lines, ALL).gpx()).unwrap();
        assert!(text.contains("<name>a&lt;&amp;\u{fffd}&gt;é</name>"), "{text}");
        let point = "<trkpt lat=\"1.50\" lon=\"-2\"><ele>-12</ele><time>2023-11-14T22:13:20Z</time></trkpt>";
        assert!(text.contains(point), "{text}");
    }
}
