//! Questions of programs by place: which clients are in a box, or near a place.

use super::access::Asker;
use super::asked::Asked;
use super::question::{GEOJSON, JSON, accepts_geojson, push_feature, push_object};
use crate::member::finder::FoundClients;
use crate::member::located::Located;
use crate::proto::geo::area::{self, Area};
use crate::proto::http::response::Response;

/// The clients of an answer, if the question says no other number, and the most.
const CLIENTS_DEFAULT: usize = 100;
const CLIENTS_MAX: usize = 1_000;

/// What most clients take in an answer.
const CLIENT_BYTES: usize = 384;

/// The largest radius: more than half of the way around the Earth.
const RADIUS_M_MAX: f64 = 20_037_508.0;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Question {
    Within(Area),
    Near { place: (f64, f64), radius_m: f64 },
}

/// The clients in a box, or near a place, as a list or as a collection of features.
pub(super) fn clients(asked: &Asked<'_, '_>, asker: &Asker) -> Response {
    let (question, limit) = match read(&asked.request.query_pairs()) {
        Ok(read) => read,
        Err(why) => return Response::problem(400, &why),
    };
    let pairs = asked.request.query_pairs();
    let group = pairs.iter().find(|pair| pair.0 == "group").map(|pair| pair.1.as_str());
    if group.is_some() && asker.user().is_none() {
        return Response::problem(400, "there are no groups, because there are no users: see --access");
    }
    let (member, finder) = (asked.shared.member, asked.shared.finder);
    member.metrics.questions.add(1);
    let sees_all = group.is_none() && asker.is_local();
    let may_see = |located: &Located| {
        if sees_all {
            return true;
        }
        let client = located.sighting().client.0;
        group.is_none_or(|group| asker.has_group(group, client)) && asker.may_see(client)
    };
    let found = match question {
        Question::Within(area) => finder.within(member, &area, limit, may_see),
        Question::Near { place, radius_m } => finder.nearest(member, place, radius_m, limit, may_see),
    };
    match found {
        Ok(found) => laid_out(&found, accepts_geojson(asked.request)),
        Err(not_ready) => Response::problem(503, &not_ready.to_string()).with("Retry-After", "1"),
    }
}

fn laid_out(found: &FoundClients, is_geojson: bool) -> Response {
    let (begin, media_type): (&[u8], _) = if is_geojson {
        (b"{\"type\":\"FeatureCollection\",\"features\":[", GEOJSON)
    } else {
        (b"{\"clients\":[", JSON)
    };
    let mut body = Vec::with_capacity(CLIENT_BYTES * (1 + found.clients.len()));
    body.extend_from_slice(begin);
    for (number, (located, metres)) in found.clients.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        let push = if is_geojson { push_feature } else { push_object };
        push(located, *metres, &mut body);
    }
    body.extend_from_slice(b"],\"is_cut\":");
    body.extend_from_slice(if found.is_cut { b"true}" } else { b"false}" });
    Response::new(200, media_type, body).with("Vary", "Accept")
}

/// Reads a question, and how many clients it wants.
fn read(pairs: &[(String, String)]) -> Result<(Question, usize), String> {
    let value = |key: &str| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.as_str());
    let radius_m = match value("radius").map(|text| text.trim().parse::<f64>()) {
        None => None,
        Some(Ok(metres)) if (0.0..=RADIUS_M_MAX).contains(&metres) => Some(metres),
        Some(_) => return Err(format!("radius is no number of metres from 0 to {RADIUS_M_MAX}")),
    };
    let limit = match value("limit").map(str::parse::<usize>) {
        None => CLIENTS_DEFAULT,
        Some(Ok(limit)) if (1..=CLIENTS_MAX).contains(&limit) => limit,
        Some(_) => return Err(format!("limit is no whole number from 1 to {CLIENTS_MAX}")),
    };
    let question = match (value("box"), value("near")) {
        (Some(_), Some(_)) => return Err("box and near are two questions: ask one of them".to_owned()),
        (Some(_), None) if radius_m.is_some() => return Err("a box has no radius".to_owned()),
        (Some(text), None) => Question::Within(Area::parse(text).map_err(|error| error.to_string())?),
        (None, Some(text)) => {
            let place = area::place(text).map_err(|error| error.to_string())?;
            Question::Near { place, radius_m: radius_m.unwrap_or(RADIUS_M_MAX) }
        }
        (None, None) => {
            return Err("say where, with box=WEST,SOUTH,EAST,NORTH or near=LATITUDE,LONGITUDE".to_owned());
        }
    };
    Ok((question, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::form;

    #[test]
    fn questions_are_read_and_bad_ones_say_why() {
        let read = |query: &str| read(&form::pairs(query.as_bytes()));
        let near = |radius_m| Question::Near { place: (34.0, -118.5), radius_m };
        assert_eq!(read("near=%2B34,-118.5"), Ok((near(RADIUS_M_MAX), 100)));
        assert_eq!(read("near=+34,-118.5&radius=12.5&limit=7"), Ok((near(12.5), 7)));
        assert_eq!(
            read("box=170,-10,-170,10&limit=1000"),
            Ok((Question::Within(Area::parse("170,-10,-170,10").unwrap()), 1_000))
        );
        for (query, why) in [
            ("", "say where, with box=WEST,SOUTH,EAST,NORTH or near=LATITUDE,LONGITUDE"),
            ("limit=5&radius=5", "say where"),
            ("box=1,2,3,4&near=1,2", "box and near"),
            ("box=1,2,3,4&radius=5", "a box has no radius"),
            ("box=1,2,3", "box is not"),
            ("box=1,4,3,2", "the south of the box"),
            ("box=170,0,190,1", "a longitude is beyond 180"),
            ("near=1", "near is not"),
            ("near=91,1", "a latitude is beyond 90"),
            ("near=1,1&radius=-1", "radius is no number of metres from 0 to 20037508"),
            ("near=1,1&radius=NaN", "radius is"),
            ("near=1,1&radius=", "radius is"),
            ("near=1,1&radius=20037509", "radius is"),
            ("near=1,1&limit=0", "limit is no whole number from 1 to 1000"),
            ("near=1,1&limit=1001", "limit is"),
            ("near=1,1&limit=1.5", "limit is"),
        ] {
            assert!(read(query).is_err_and(|found| found.starts_with(why)), "{query}: {:?}", read(query));
        }
    }
}
