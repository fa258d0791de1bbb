//! Clients found by place: what the finder says of a store that changes, over real sockets too, and what it costs.

use std::net::SocketAddr;
use std::thread::Builder;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Talk, TestServer, catalogue, config, eventually, herd};
use super::http::{ask, get};
use crate::config::{Config, Herd};
use crate::member::finder::{Finder, FoundClients};
use crate::member::{Member, recover};
use crate::proto::geo::area::Area;
use crate::proto::store::update::{Source, Update};
use crate::tests::free_address::free_address;

/// A member of its own, whose clients expire after an hour.
pub(super) fn member() -> Member {
    let mut herd = herd(&["Alford"], &[], true);
    herd.expire_after = Some(Duration::from_secs(3_600));
    let config = config(&herd, "Alford");
    Member::new(recover::start_without_journal(&config).unwrap(), catalogue(), &config.limits)
}

pub(super) fn report(member: &Member, client: usize, latitude: f64, longitude: f64, time_s: u64) {
    let line = format!("AT Alford +0.1 client-{client} {latitude:+.6}{longitude:+.6} {time_s}\n");
    member.apply(&mut Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap());
}

fn names(found: &FoundClients) -> Vec<String> {
    found.clients.iter().map(|(located, _)| located.sighting().client.0.to_owned()).collect()
}

#[test]
fn finder_says_what_is_stored_after_moves_forgets_and_expiry() {
    for seed in 0..30 {
        let (member, finder, mut rng) = (member(), Finder::default(), fastrand::Rng::with_seed(seed));
        let mut now_s = 1_700_000_000;
        let degrees = |rng: &mut fastrand::Rng, most: f64| match rng.u8(..6) {
            0 => most,
            1 => -most,
            2 => most - rng.f64(),
            _ => (rng.f64() * 2.0 - 1.0) * most,
        };
        for _ in 0..40 {
            for _ in 0..rng.usize(..30) {
                let client = rng.usize(..300);
                match rng.u8(..20) {
                    0 => drop(member.forget(format!("client-{client}").as_bytes(), now_s)),
                    _ => {
                        let place = (degrees(&mut rng, 90.0), degrees(&mut rng, 180.0));
                        report(&member, client, place.0, place.1, now_s);
                    }
                }
            }
            now_s += rng.u64(..600);
            member.expire(now_s);

            let known = || (0..300).filter_map(|client| member.locate(format!("client-{client}").as_bytes()));
            let (a, b) = (degrees(&mut rng, 90.0), degrees(&mut rng, 90.0));
            let (west, east) = (degrees(&mut rng, 180.0), degrees(&mut rng, 180.0));
            let area = Area::parse(&format!("{west},{},{east},{}", a.min(b), a.max(b))).unwrap();
            let found = finder.within(&member, &area, 300, |_| true).unwrap();
            let mut found_names = names(&found);
            found_names.sort();
            let is_inside = |place: (f64, f64)| area.contains(place.0, place.1);
            let mut expected: Vec<String> = known()
                .filter(|located| is_inside(located.sighting().location.degrees()))
                .map(|located| located.sighting().client.0.to_owned())
                .collect();
            expected.sort();
            assert_eq!((found_names, found.is_cut), (expected, false), "{area:?} of {seed}");

            let radius_m = rng.f64() * 2e7;
            let limit = 1 + rng.usize(..50);
            let near = finder.nearest(&member, (a, west), radius_m, limit, |_| true).unwrap();
            let all = finder.nearest(&member, (a, west), radius_m, 300, |_| true).unwrap();
            assert_eq!(near.clients, all.clients[..limit.min(all.clients.len())]);
            assert_eq!((near.is_cut, all.is_cut), (all.clients.len() > limit, false));
            assert!(all.clients.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        }
        // What has expired has left the index too, as soon as nothing else is to be done.
        member.expire(now_s + 10_000);
        let found = finder.within(&member, &Area::parse("-180,-90,180,90").unwrap(), 300, |_| true).unwrap();
        let tombstones_only = member.read(|node| node.store().is_empty());
        assert!(tombstones_only && found.clients.is_empty() && finder.clients() == 0);
    }
}

#[test]
fn clients_that_the_asker_may_not_see_take_no_place_in_an_answer() {
    let (member, finder) = (member(), Finder::default());
    (0..500).for_each(|client| report(&member, client, 10.0 + client as f64 * 0.001, 20.0, 1_700_000_000));
    let is_seen = |located: &crate::member::located::Located| located.sighting().client.0.ends_with("77");
    let near = finder.nearest(&member, (10.0, 20.0), 2e7, 3, is_seen).unwrap();
    assert_eq!((names(&near), near.is_cut), (vec_of(&["client-77", "client-177", "client-277"]), true));
    let found = finder.within(&member, &Area::parse("19,9,21,11").unwrap(), 5, is_seen).unwrap();
    assert_eq!((found.clients.len(), found.is_cut), (5, false));
}

fn vec_of(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Two linked servers with ports for HTTP, and these ports.
pub(super) fn pair() -> ([TestServer; 2], [SocketAddr; 2]) {
    let plain = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let http = [free_address(), free_address()];
    let members = plain.members().iter().zip(http);
    let members =
        members.map(|(member, http)| crate::config::Member { http: Some(http.into()), ..member.clone() });
    let herd = Herd::new(members.collect(), plain.links().to_vec(), true).unwrap();
    let start = |name| TestServer::with(&Config { ..config(&herd, name) }, catalogue());
    ([start("Alford"), start("Bolden")], http)
}

fn json(talk: &mut Talk, path: &str) -> Value {
    let found = get(talk, path);
    assert_eq!(found.status, 200, "{path}: {}", found.body);
    serde_json::from_str(&found.body).unwrap()
}

#[test]
fn client_reported_at_one_server_is_found_by_place_at_the_other() {
    let (servers, http) = pair();
    let mut line = servers[0].client();
    line.ask("IAMAT kiwi +34.068930-118.445127 1621464827.959498503");
    line.ask("IAMAT suva -18.14+180.0 1621464827");
    line.ask("IAMAT pole +90+12 1621464827");
    let (mut here, mut there) = (Talk::with(http[0]), Talk::with(http[1]));
    let found = json(&mut here, "/v1/clients?box=-119,34,-118,35");
    assert_eq!(found["clients"][0]["client"], "kiwi", "it is found at once where it has reported");
    let found = eventually("clients come to the neighbour", || {
        let found = json(&mut there, "/v1/clients?box=-119,34,-118,35");
        (found["clients"].as_array().unwrap().len() == 1).then_some(found)
    });
    assert_eq!(found["is_cut"], false);
    let one: Value = serde_json::from_str(&get(&mut there, "/v1/clients/kiwi").body).unwrap();
    assert_eq!(found["clients"][0], one, "what is said of one client is said of each");
    eventually("all have come", || {
        let found = json(&mut there, "/v1/clients?box=-180,-90,180,90");
        (found["clients"].as_array().unwrap().len() == 3).then_some(())
    });
    for (area, client) in
        [("170,-20,-170,-10", "suva"), ("-180,-20,-170,-10", "suva"), ("50,80,60,90", "pole")]
    {
        let found = json(&mut there, &format!("/v1/clients?box={area}"));
        assert_eq!((found["clients"][0]["client"].as_str(), found["clients"].get(1)), (Some(client), None));
    }

    let near = json(&mut there, "/v1/clients?near=34.0,-118.4&radius=20000");
    let (kiwi, others) = (&near["clients"][0], near["clients"].get(1));
    assert_eq!((kiwi["client"].as_str(), others, &near["is_cut"]), (Some("kiwi"), None, &Value::Bool(false)));
    let metres = kiwi["distance_m"].as_f64().unwrap();
    assert!((8_000.0..9_000.0).contains(&metres), "{metres}");
    let near = json(&mut there, "/v1/clients?near=89,0&limit=2");
    let clients = [0, 1].map(|at| near["clients"][at]["client"].as_str());
    assert_eq!((clients, &near["is_cut"]), ([Some("pole"), Some("kiwi")], &Value::Bool(true)));

    let geojson = "GET /v1/clients?near=34,-118&limit=1 HTTP/1.1\r\nHost: localhost\r\n\
                   Accept: application/geo+json\r\n\r\n";
    let found = ask(&mut there, geojson);
    let features: Value = serde_json::from_str(&found.body).unwrap();
    assert!(found.head.contains("application/geo+json") && features["type"] == "FeatureCollection");
    let feature = &features["features"][0];
    assert_eq!((&feature["type"], &feature["id"]), (&Value::from("Feature"), &Value::from("kiwi")));
    assert_eq!(feature["geometry"]["coordinates"], serde_json::json!([-118.445127, 34.068930]));
    assert!(feature["properties"]["distance_m"].is_f64());

    for (path, why) in [
        ("/v1/clients", "box=WEST,SOUTH,EAST,NORTH or near=LATITUDE,LONGITUDE"),
        ("/v1/clients?box=0,10,1,5", "the south of the box"),
        ("/v1/clients?box=0,0,181,5", "beyond 180"),
        ("/v1/clients?near=0,0&limit=1001", "limit"),
    ] {
        let refused = get(&mut there, path);
        assert!(refused.status == 400 && refused.body.contains(why), "{path}: {}", refused.body);
    }
    let head = there.send("HEAD /v1/clients?box=-119,34,-118,35 HTTP/1.1\r\nHost: localhost\r\n\r\n").line();
    assert_eq!(head, "HTTP/1.1 200 OK\r");
    while there.line() != "\r" {}
    let refused = ask(&mut there, "DELETE /v1/clients HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(refused.status, 405);

    let forget = "DELETE /v1/clients/kiwi HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(&mut there, forget).status, 204);
    let found = json(&mut there, "/v1/clients?box=-119,34,-118,35");
    assert_eq!(found["clients"].as_array().map(Vec::len), Some(0), "forgotten clients are not found");
    eventually("it is forgotten at the neighbour", || {
        let found = json(&mut here, "/v1/clients?box=-119,34,-118,35");
        found["clients"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn server_that_stops_joins_the_finder() {
    let (servers, http) = pair();
    let mut line = servers[0].client();
    for client in 0..500 {
        line.send(format!("IAMAT c{client} +1.{client:03}+2 1621464827\n"));
    }
    (0..500).for_each(|_| drop(line.line()));
    let mut talk = Talk::with(http[0]);
    // The index may be some milliseconds behind.
    eventually("all are found", || {
        let found = json(&mut talk, "/v1/clients?box=1,1,3,3&limit=1000");
        (found["clients"].as_array().map(Vec::len) == Some(500)).then_some(())
    });
    let cut = json(&mut talk, "/v1/clients?box=1,1,3,3");
    assert_eq!((cut["clients"].as_array().map(Vec::len), &cut["is_cut"]), (Some(100), &Value::Bool(true)));
    // A scope joins it, so a finder that did not end would hold this up for ever.
    let (stopped, has_stopped) = crossbeam_channel::bounded(1);
    let stop = move || {
        servers.into_iter().for_each(TestServer::stop);
        stopped.send(()).unwrap();
    };
    Builder::new().spawn(stop).unwrap();
    has_stopped.recv_timeout(super::harness::WAIT).expect("all threads end");
}
