//! Where a client was: the history that the core database has of it.

use super::asked::Asked;
use super::question::GEOJSON;
use crate::member::core::NoTrack;
use crate::proto::http::response::Response;
use crate::proto::http::track::{Span, Track};
use crate::proto::model::calendar::posix_time;
use crate::proto::model::time::{Moment, Timestamp};

/// The points of an answer: what a history has, unless it is made longer by --history-points-max.
const POINTS_DEFAULT: usize = 10_000;
const POINTS_MAX: usize = 100_000;

const GPX: &str = "application/gpx+xml";

/// The points of a client from one time to another, as GeoJSON, or as GPX for those who ask for it.
pub(super) fn track(asked: &Asked<'_, '_>, client: &str) -> Response {
    let pairs = asked.request.query_pairs();
    let value = |key: &str| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.as_str());
    let is_gpx = match value("format") {
        None => asked.request.accepts(GPX),
        Some("gpx") => true,
        Some("geojson") => false,
        Some(_) => return Response::problem(400, "format is neither geojson nor gpx"),
    };
    let ends = [("from", Moment::default()), ("to", Moment { seconds: u64::MAX, nanos: 0 })];
    let [Some(from), Some(to)] = ends.map(|(key, default)| value(key).map_or(Some(default), moment)) else {
        let why = "from and to are times such as 1700000000 or 2026-11-28T08:00:00Z";
        return Response::problem(400, why);
    };
    let points_max = match value("limit").map(str::parse) {
        None => POINTS_DEFAULT,
        Some(Ok(limit)) if (1..=POINTS_MAX).contains(&limit) => limit,
        Some(_) => return Response::problem(400, "limit is no whole number from 1 to 100000"),
    };
    let member = asked.shared.member;
    member.metrics.questions.add(1);
    let lines = member.core().map_or(Err(NoTrack::NotKept), |core| core.track(client));
    match lines {
        Ok(lines) => {
            let track = Track::of(client, &lines, Span { from, to, points_max });
            let (media_type, body) = if is_gpx { (GPX, track.gpx()) } else { (GEOJSON, track.geojson()) };
            Response::new(200, media_type, body).with("Vary", "Accept")
        }
        Err(why @ NoTrack::NotKept) => Response::problem(404, &why.to_string()),
        Err(why) => Response::problem(503, &why.to_string()).with("Retry-After", "5"),
    }
}

/// A time as seconds since 1970, or as a date.
fn moment(text: &str) -> Option<Moment> {
    let moment = |text: &str| Timestamp::parse(text).ok().map(|time| time.moment());
    moment(text).or_else(|| moment(&posix_time(text)?))
}
