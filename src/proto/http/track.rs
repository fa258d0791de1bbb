//! Where a client was, as GeoJSON and as GPX 1.1.
//!
//! A line that crosses the antimeridian is cut there, because maps draw it across the whole world otherwise. In GeoJSON
//! both pieces get their end there, as RFC 7946 (section 3.1.9) has it, with the latitude and the time in between. GPX
//! begins a new segment and has no such ends, because each of its points is one that was reported, and programs count
//! them.

use std::borrow::Cow;
use std::time::Duration;

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

/// An end of a piece of a line, or a point between.
struct Position<'a> {
    /// Degrees, as they are printed.
    latitude: Cow<'a, str>,
    longitude: Cow<'a, str>,
    /// Degrees of longitude.
    degrees: f64,
    time: Cow<'a, str>,
    moment: Moment,
    attributes: Option<Attributes<'a>>,
    /// Whether it was reported. If not, a line is cut there.
    is_report: bool,
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

    /// As a collection of one line, which may be cut in pieces, or of one point where there is no other, or of nothing.
    /// The times are in the same lists as the positions.
    pub fn geojson(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.points.len() * POINT_BYTES + 256);
        out.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"features\":[");
        let pieces = self.pieces();
        let kind = match (pieces.len(), self.points.len()) {
            (2.., _) => "MultiLineString",
            (_, 2..) => "LineString",
            _ => "Point",
        };
        if !self.points.is_empty() {
            out.extend_from_slice(b"{\"type\":\"Feature\",\"geometry\":{\"type\":\"");
            out.extend_from_slice(format!("{kind}\",\"coordinates\":").as_bytes());
            push_lists(kind, &pieces, &mut out, |position, out| {
                out.push(b'[');
                push_decimal(&position.longitude, out);
                out.push(b',');
                push_decimal(&position.latitude, out);
                out.push(b']');
            });
            out.extend_from_slice(b"},\"properties\":{\"client\":");
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut out, self.client);
            out.extend_from_slice(format!(",\"reports\":{},\"times\":", self.points.len()).as_bytes());
            // A single time is in a list, too.
            let kind = if kind == "Point" { "LineString" } else { kind };
            push_lists(kind, &pieces, &mut out, |position, out| {
                out.extend_from_slice(format!("\"{}\"", position.time).as_bytes());
            });
            out.extend_from_slice(b",\"times_utc\":");
            push_lists(kind, &pieces, &mut out, |position, out| {
                out.push(b'"');
                push_date_time(position.moment, out);
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
        out.extend_from_slice(b"</name>");
        for piece in self.pieces() {
            out.extend_from_slice(b"<trkseg>\n");
            piece
                .iter()
                .filter(|position| position.is_report)
                .for_each(|position| position.push_gpx(&mut out));
            out.extend_from_slice(b"</trkseg>");
        }
        out.extend_from_slice(b"</trk>\n</gpx>\n");
        out
    }

    /// The line, cut where it crosses the antimeridian. There is at least one piece.
    fn pieces(&self) -> Vec<Vec<Position<'a>>> {
        let mut pieces = vec![Vec::<Position<'a>>::with_capacity(self.points.len())];
        let degrees = |(sighting, _): &(Sighting<'a>, _)| sighting.location.degrees().1;
        // What is on the antimeridian is on both sides of it: it goes with what comes before, the first with what comes
        // after it.
        let inland = self.points.iter().map(degrees).find(|degrees| degrees.abs() < 180.0);
        let mut before_degrees = inland.unwrap_or_default();
        for (sighting, attributes) in &self.points {
            let (latitude, longitude) = sighting.location.texts();
            let mut position = Position {
                latitude: latitude.into(),
                longitude: longitude.into(),
                degrees: sighting.location.degrees().1,
                time: sighting.time.text().into(),
                moment: sighting.time.moment(),
                attributes: *attributes,
                is_report: true,
            };
            let is_across = |position: &Position<'_>| (position.degrees - before_degrees).abs() > 180.0;
            if is_across(&position) && position.degrees.abs() == 180.0 {
                position = position.on_edge(before_degrees);
            }
            let is_across = is_across(&position);
            before_degrees = position.degrees;
            if let Some(piece) = pieces.last_mut()
                && let Some(before) = piece.last().filter(|_| is_across)
            {
                let cut = before.cut(&position);
                let begins = cut.on_edge(position.degrees);
                // One that is there already ends its piece.
                if before.degrees.abs() < 180.0 {
                    piece.push(cut);
                }
                pieces.push(vec![begins]);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(position);
            }
        }
        pieces
    }
}

impl<'a> Position<'a> {
    /// The same place on the antimeridian, as it is called on this side.
    fn on_edge(&self, side: f64) -> Position<'a> {
        Position {
            latitude: self.latitude.clone(),
            longitude: if side < 0.0 { "-180" } else { "180" }.into(),
            degrees: 180.0_f64.copysign(side),
            time: self.time.clone(),
            ..*self
        }
    }

    /// Where the line to the next position crosses the antimeridian, on this side of it.
    fn cut(&self, next: &Position<'a>) -> Position<'a> {
        let cut = Position { is_report: false, ..self.on_edge(self.degrees) };
        if self.degrees.abs() == 180.0 {
            return cut;
        }
        let part = (180.0 - self.degrees.abs()) / (360.0 - (next.degrees - self.degrees).abs());
        let [from, to] = [&self.latitude, &next.latitude].map(|text| text.parse().unwrap_or(0.0_f64));
        let between = next.moment.seconds.saturating_sub(self.moment.seconds) as f64
            + (f64::from(next.moment.nanos) - f64::from(self.moment.nanos)) / 1e9;
        let later = Duration::try_from_secs_f64(between * part).unwrap_or_default();
        let moment = self.moment.after(later);
        let time = format!("{}.{:09}", moment.seconds, moment.nanos);
        Position {
            latitude: shortest(&format!("{:.7}", from + (to - from) * part)).to_owned().into(),
            time: shortest(&time).to_owned().into(),
            moment,
            ..cut
        }
    }

    fn push_gpx(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<trkpt lat=\"");
        push_decimal(&self.latitude, out);
        out.extend_from_slice(b"\" lon=\"");
        push_decimal(&self.longitude, out);
        out.extend_from_slice(b"\">");
        let altitude = self.attributes.and_then(|attributes| attributes.get("alt"));
        if let Some(altitude) = altitude.filter(|text| text.parse().is_ok_and(f64::is_finite)) {
            out.extend_from_slice(b"<ele>");
            push_decimal(altitude, out);
            out.extend_from_slice(b"</ele>");
        }
        out.extend_from_slice(b"<time>");
        push_date_time(self.moment, out);
        out.extend_from_slice(b"</time></trkpt>\n");
    }
}

/// A number with a point, without zeros at its end.
fn shortest(text: &str) -> &str {
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0",
        text => text,
    }
}

/// Appends something of every position: in a list of lists, in one list, or on its own.
fn push_lists<'a>(
    kind: &str,
    pieces: &[Vec<Position<'a>>],
    out: &mut Vec<u8>,
    push: impl Fn(&Position<'a>, &mut Vec<u8>),
) {
    let (is_lists, is_list) = (kind == "MultiLineString", kind != "Point");
    out.extend(is_lists.then_some(b'['));
    for (number, piece) in pieces.iter().enumerate() {
        out.extend((number > 0).then_some(b','));
        out.extend(is_list.then_some(b'['));
        for (number, position) in piece.iter().enumerate() {
            out.extend((number > 0).then_some(b','));
            push(position, out);
        }
        out.extend(is_list.then_some(b']'));
    }
    out.extend(is_lists.then_some(b']'));
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

    /// The track of places at the seconds 10, 20 and so on.
    fn track(places: &[&str]) -> (serde_json::Value, String) {
        let line = |(number, place)| format!("AT A +1 kiwi {place} {}0", number + 1).into_bytes();
        let lines: Vec<Vec<u8>> = places.iter().enumerate().map(line).collect();
        let track = Track::of("kiwi", &lines, ALL);
        let value = serde_json::from_slice::<serde_json::Value>(&track.geojson()).unwrap();
        (value["features"][0].clone(), String::from_utf8(track.gpx()).unwrap())
    }

    #[test]
    fn lines_are_cut_at_the_antimeridian() {
        use serde_json::json;
        let cases = [
            // One on each side, in both directions.
            (
                &["+10+170", "+20-170"][..],
                json!([[[170, 10], [180, 15]], [[-180, 15], [-170, 20]]]),
                json!([["10", "15"], ["15", "20"]]),
            ),
            (
                &["+10-179", "-20+178"],
                json!([[[-179, 10], [-180, 0]], [[180, 0], [178, -20]]]),
                json!([["10", "13.333333333"], ["13.333333333", "20"]]),
            ),
            // Exactly on it: there is no end to be made.
            (
                &["+1+179", "+2+180", "+3-179"],
                json!([[[179, 1], [180, 2]], [[-180, 2], [-179, 3]]]),
                json!([["10", "20"], ["20", "30"]]),
            ),
            (
                &["+1+179", "+2-180", "+3-179"],
                json!([[[179, 1], [180, 2]], [[-180, 2], [-179, 3]]]),
                json!([["10", "20"], ["20", "30"]]),
            ),
            // There and back, and a third time.
            (
                &["+1+179", "+2-179", "+3+179"],
                json!([
                    [[179, 1], [180, 1.5]],
                    [[-180, 1.5], [-179, 2], [-180, 2.5]],
                    [[180, 2.5], [179, 3]]
                ]),
                json!([["10", "15"], ["15", "20", "25"], ["25", "30"]]),
            ),
            // Near a pole, where the way over it would be shorter: a line of GeoJSON is straight on the map.
            (
                &["+89.5+100", "+89.5-100"],
                json!([[[100, 89.5], [180, 89.5]], [[-180, 89.5], [-100, 89.5]]]),
                json!([["10", "15"], ["15", "20"]]),
            ),
        ];
        for (places, coordinates, times) in cases {
            let (feature, gpx) = track(places);
            assert_eq!(feature["geometry"]["type"], "MultiLineString", "{places:?}");
            assert_eq!(feature["geometry"]["coordinates"].to_string(), coordinates.to_string(), "{places:?}");
            assert_eq!(feature["properties"]["times"], times, "{places:?}");
            assert_eq!(feature["properties"]["reports"], places.len());
            let utc = feature["properties"]["times_utc"].as_array().unwrap();
            let lengths = |lists: &[serde_json::Value]| -> Vec<usize> {
                lists.iter().map(|list| list.as_array().unwrap().len()).collect()
            };
            assert_eq!(lengths(utc), lengths(times.as_array().unwrap()));
            assert_eq!(gpx.matches("<trkpt ").count(), places.len(), "only what was reported: {gpx}");
            assert_eq!(gpx.matches("<trkseg>").count(), lengths(utc).len(), "{gpx}");
        }
    }

    #[test]
    fn lines_on_one_side_of_the_antimeridian_are_whole() {
        use serde_json::json;
        for (places, coordinates) in [
            (&["+1+179", "+2-180", "+3+179"][..], json!([[179, 1], [180, 2], [179, 3]])),
            (&["+1-180", "+2+180", "+3+179"], json!([[180, 1], [180, 2], [179, 3]])),
            (&["+1+180", "+2-179"], json!([[-180, 1], [-179, 2]])),
            (&["+1-180.0", "+2-179"], json!([[-180.0, 1], [-179, 2]])),
            (&["+1+0", "+2-180", "+3-179"], json!([[0, 1], [-180, 2], [-179, 3]])),
            // Half around the world: both ways are as long.
            (&["+1-90", "+2+90"], json!([[-90, 1], [90, 2]])),
            (&["+1-180", "+2+180"], json!([[-180, 1], [-180, 2]])),
        ] {
            let (feature, gpx) = track(places);
            assert_eq!(feature["geometry"]["type"], "LineString", "{places:?}");
            assert_eq!(feature["geometry"]["coordinates"].to_string(), coordinates.to_string(), "{places:?}");
            assert_eq!(gpx.matches("<trkseg>").count(), 1, "{gpx}");
        }
        let (feature, _) = track(&["+1-180"]);
        assert_eq!(feature["geometry"]["coordinates"].to_string(), "[-180,1]");
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
