//! Friends in answers to OwnTracks: who is told of whom, over real sockets, and what the finder says of any store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::{member, pair};
use super::harness::{Talk, eventually};
use super::http::{Answer, ask, server};
use super::http_access::{bearer, report, with_users};
use crate::config::{Config, Limits};
use crate::member::finder::Finder;
use crate::proto::http::phones::friends::tests::friends_of;
use crate::proto::store::update::{MergeRule, Source, Update};

/// Reports as OwnTracks does.
fn owntracks(talk: &mut Talk, fields: &str, body: &str) -> Answer {
    let length = body.len();
    ask(
        talk,
        &format!("POST /pub HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}"),
    )
}

/// The body of a report.
fn place(latitude: f64) -> String {
    format!("{{\"_type\":\"location\",\"lat\":{latitude},\"lon\":2,\"tst\":1700000000,\"tid\":\"xx\"}}")
}

/// The names by which the apps know the friends of an answer.
fn names(found: &Answer) -> Vec<String> {
    assert_eq!(found.status, 200, "{}", found.body);
    let name = |friend: Value| friend["tid"].as_str().unwrap().to_owned();
    friends_of(found.body.as_bytes()).into_iter().map(name).collect()
}

#[test]
fn phones_are_told_of_those_whom_their_users_may_see() {
    let (server, http, _dir) = with_users("", |config| config);
    let mut talk = Talk::with(http);
    for (user, client) in
        [("bob", "bob/phone"), ("joe", "joe/phone"), ("joe", "joe/car"), ("jane", "48241179")]
    {
        assert_eq!(bearer(&mut talk, user, &report(client)).status, 200);
    }
    server.client().ask("IAMAT kiwi +1+1 5");
    let mut told = |user: &str| {
        let fields = format!("Authorization: Bearer {user}-token\r\nX-Limit-D: phone\r\n");
        owntracks(&mut talk, &fields, &place(1.5))
    };
    let mut all = |user: &str, count: usize| {
        let found = eventually("all friends are found", || {
            let found = told(user);
            (names(&found).len() == count).then_some(found)
        });
        (
            names(&found).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(","),
            found.body,
        )
    };
    // One's own further clients, and those of the group; never the phone that asks.
    let (jane, body) = all("jane", 3);
    assert_eq!(jane, "48241179,joe car,joe phone");
    assert_eq!(body.matches("\"_type\":\"card\",\"tid\":\"joe ").count(), 2, "{body}");
    assert!(body.contains(",\"name\":\"Joe\"}") && body.matches("card").count() == 2, "{body}");
    assert_eq!((all("bob", 0).1, all("joe", 1).0), ("[]".to_owned(), "joe car".to_owned()));
    assert_eq!(all("ann", 6).0, "48241179,bob phone,jane phone,joe car,joe phone,kiwi");
    // Each of its messages is answered so, to the same phone.
    let fields = "Authorization: Bearer joe-token\r\nX-Limit-D: phone\r\n";
    for body in ["", "{\"_type\":\"lwt\",\"tst\":5}"] {
        assert_eq!(names(&owntracks(&mut talk, fields, body)), ["joe car"], "{body}");
    }
    let forget =
        "DELETE /v1/clients/joe%2Fcar HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ann-token\r\n\r\n";
    assert_eq!(ask(&mut talk, forget).status, 204);
    assert_eq!(owntracks(&mut talk, fields, &place(1.5)).body, "[]");
}

#[test]
fn friends_of_other_servers_are_told() {
    let (servers, http) = pair();
    let (mut here, mut there) = (Talk::with(http[0]), Talk::with(http[1]));
    assert_eq!(owntracks(&mut here, "X-Limit-U: jane\r\nX-Limit-D: phone\r\n", &place(1.5)).body, "[]");
    let joe = "X-Limit-U: joe\r\nX-Limit-D: phone\r\n";
    let mut latitude_of_jane = |latitude: f64| {
        let found = owntracks(&mut there, joe, &place(7.5));
        let friends = friends_of(found.body.as_bytes());
        let is_it = |friend: &Value| friend["tid"] == "jane phone" && friend["lat"] == latitude;
        friends.iter().any(is_it).then_some(())
    };
    eventually("jane is a friend", || latitude_of_jane(1.5));
    let moved = place(2.5).replace("1700000000", "1700000001");
    assert_eq!(owntracks(&mut here, "X-Limit-U: jane\r\nX-Limit-D: phone\r\n", &moved).status, 200);
    eventually("jane has moved", || latitude_of_jane(2.5));
    drop(servers);
}

#[test]
fn friends_are_as_many_as_the_limit_says_and_the_newest() {
    for friends_max in [0, 1, 3] {
        let limits = Limits { connections_max: 100, friends_max, ..Limits::default() };
        let (server, http) = server(|config| Config { limits, ..config });
        let mut line = server.client();
        (0..9).for_each(|client| drop(line.ask(&format!("IAMAT c{client} +1+2 {}", 50 - client))));
        // A time that no app can read must not hide others.
        line.ask("IAMAT odd +1+1 0.5");
        let fields = "X-Limit-U: jane\r\nX-Limit-D: phone\r\n";
        let found = names(&owntracks(&mut Talk::with(http), fields, &place(1.5)));
        let expected = ["c8", "c7", "c6"];
        assert_eq!(found, expected[..friends_max as usize]);
    }
}

#[test]
fn finder_knows_the_clients_of_each_user_of_any_store() {
    for seed in 0..30 {
        let (member, finder, mut rng) = (member(), Finder::default(), fastrand::Rng::with_seed(seed));
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut now_s = 1_700_000_000;
        for step in 0..400 {
            now_s += 1 + rng.u64(..20);
            let client = ["a/1", "a/2", "b/1", "b/2/3", "a", "kiwi", "car", "/x", "b/"][rng.usize(..9)];
            if rng.u8(..8) == 0 {
                seen.remove(client);
                // One that is forgotten already may be known as such, or not at all.
                let _ = member.forget(client.as_bytes(), now_s);
            } else {
                let line = format!("AT Alford +0.1 {client} +1+2 {now_s}\n");
                let update = Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap();
                // As a report, which begins an era where the client was forgotten.
                member.apply(&mut Update { rule: MergeRule::LaterTime, ..update });
                seen.insert(client.to_owned(), step);
            }
            if step % 10 > 0 {
                continue;
            }
            let area = crate::proto::geo::area::Area::parse("-180,-90,180,90").unwrap();
            finder.within(&member, &area, 1, |_| true).unwrap();
            let listed = ["car".to_owned(), "a/1".to_owned()];
            for users in [None, Some(vec!["a"]), Some(vec!["b", "c"]), Some(vec!["a", "b"])] {
                let is_wanted = |client: &str| match &users {
                    None => true,
                    Some(users) => {
                        let device = |user: &str| {
                            let rest = client.strip_prefix(user).and_then(|rest| rest.strip_prefix('/'));
                            rest.is_some_and(|device| !device.is_empty())
                        };
                        users.iter().any(|user| device(user)) || listed.iter().any(|listed| listed == client)
                    }
                };
                let mut expected: Vec<(u32, &String)> = seen
                    .iter()
                    .filter(|(client, _)| is_wanted(client))
                    .map(|(client, at)| (*at, client))
                    .collect();
                expected.sort_by(|a, b| b.cmp(a));
                let expected: Vec<&String> = expected.into_iter().map(|(_, client)| client).collect();
                let mut found = Vec::new();
                let wanted = users.as_ref().map(|users| users.iter().map(|user| (*user, &listed[..])));
                finder.newest(&member, wanted, b"b/1", 100, |seen, _| {
                    found.push(seen.client.0.to_owned());
                    true
                });
                let expected: Vec<_> = expected.into_iter().filter(|client| *client != "b/1").collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "seed {seed}, step {step}, {users:?}");
            }
        }
    }
}
