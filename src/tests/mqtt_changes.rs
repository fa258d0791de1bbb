//! What subscribers of MQTT are told when a client is gone, when users may do less or more, and in encrypted messages.

use std::fs;

use super::harness::eventually;
use super::http_access::file;
use super::mqtt::{LOCATION, Mqtt, joined, server, told};
use crate::config::{Access, Config, OwnTracksKeys, TokenHash};
use crate::os::clock;
use crate::proto::http::phones::encrypted::Key;
use crate::proto::mqtt::reason;

fn location(time_s: u64) -> String {
    LOCATION.replace("1700000000", &time_s.to_string())
}

#[test]
fn clients_that_are_gone_are_empty_messages() {
    let now_s = clock::now().seconds;
    for level in [3, 4, 5] {
        // Each server comes to know that it is later.
        let (server, mqtt) = server(|mut config| {
            config.herd.expire_after = Some(std::time::Duration::from_secs(3_600));
            config
        });
        let mut phone = Mqtt::connect(mqtt, level, "phone", None).0;
        let mut watcher = Mqtt::connect(mqtt, level, "watcher", None).0;
        watcher.subscribe(&["owntracks/+/+"], 1);
        watcher.is_answered();
        let names = [format!("forgotten/v{level}"), format!("expired/v{level}")];
        for (at, name) in names.iter().enumerate() {
            let topic = format!("owntracks/{name}");
            phone.publish(1, &topic, &location(now_s + u64::from(level)));
            assert_eq!(phone.read(), Some((0x40, vec![0, 7])));
            let (_, place, payload) = told(&mut watcher);
            assert!(place == topic && payload.contains("location"), "{place} {payload}");
            match at {
                0 => server.member.forget(name.as_bytes(), now_s + 10).unwrap(),
                _ => server.member.expire(now_s + 3_600 + 60),
            }
            assert_eq!(told(&mut watcher), (true, topic, String::new()));
        }
        // Of what is gone a later subscriber is not told.
        let mut later = Mqtt::connect(mqtt, level, "later", None).0;
        later.subscribe(&["#"], 1);
        later.is_answered();
    }
}

#[test]
fn a_change_of_the_users_is_felt_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.toml");
    let begin = file("");
    for level in [3, 5] {
        fs::write(&path, &begin).unwrap();
        let access = Some(Access::load(&path).unwrap());
        let (server, mqtt) = server(|config| Config { access, ..config });
        let mut joe = joined(mqtt, level, "joe", "joe");
        let mut jane = joined(mqtt, level, "jane", "jane");
        let mut ann = joined(mqtt, level, "ann", "ann");
        for (client, topic) in [(&mut joe, "owntracks/joe/car"), (&mut ann, "owntracks/ann/phone")] {
            client.publish(1, topic, LOCATION);
            assert_eq!(client.read(), Some((0x40, vec![0, 7])));
        }
        jane.subscribe(&["owntracks/+/+"], 1);
        assert_eq!(told(&mut jane).1, "owntracks/joe/car");
        jane.is_answered();
        // Joe leaves the family, and Ann joins it.
        let changed = begin
            .replace("group = 'family'\nname = 'Joe'", "group = 'work'\nname = 'Joe'")
            .replace("see = 'all'\nadmin = true", "see = 'all'\nadmin = true\ngroup = 'family'");
        assert_ne!(changed, begin);
        fs::write(&path, &changed).unwrap();
        server.stopper.reload_access();
        let mut all =
            [told(&mut jane), told(&mut jane)].map(|(_, topic, payload)| (topic, payload.is_empty()));
        all.sort();
        assert_eq!(all, [("owntracks/ann/phone".to_owned(), false), ("owntracks/joe/car".to_owned(), true)]);
        // What one may publish changes too, on a connection that is there.
        jane.publish(1, "owntracks/:/48241179", LOCATION);
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        told(&mut jane);
        fs::write(&path, changed.replace("devices = ['48241179']", "")).unwrap();
        server.stopper.reload_access();
        // It may not see that client any more either.
        assert_eq!(told(&mut jane).1, "owntracks/ann/phone");
        assert_eq!(told(&mut jane), (true, "owntracks/:/48241179".to_owned(), String::new()));
        jane.publish(1, "owntracks/:/48241179", &location(1_700_000_500));
        let why = if level == 5 { vec![0, 7, reason::NOT_AUTHORISED] } else { vec![0, 7] };
        assert_eq!(jane.read(), Some((0x40, why)));
        // One whose token is revoked is cut off, and one that has subscribed to nothing before its next packet counts.
        let mut phone = joined(mqtt, level, "phone", "jane");
        let revoked = changed
            .replace(&TokenHash::of(b"jane-token").to_string(), &TokenHash::of(b"another").to_string());
        assert_ne!(revoked, changed);
        fs::write(&path, revoked).unwrap();
        server.stopper.reload_access();
        let last = eventually("the connection ends", || match jane.read() {
            Some((first, _)) if first >> 4 == 3 => None,
            last => Some(last),
        });
        assert_eq!(last, (level == 5).then(|| (0xe0, vec![reason::NOT_AUTHORISED])));
        phone.publish(1, "owntracks/jane/late", LOCATION);
        assert_eq!(phone.read(), (level == 5).then(|| (0xe0, vec![reason::NOT_AUTHORISED])));
        joe.is_answered();
    }
}

#[test]
fn phones_that_encrypt_are_told_in_encrypted_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    fs::write(&path, "jane = 'one'\n'joe/phone' = 'two'\n").unwrap();
    let keys = Some(OwnTracksKeys::load(&path).unwrap());
    let (server, mqtt) = server(|config| Config { owntracks_keys: keys, mqtt_relays: true, ..config });
    let sealed = |secret: &str, message: &str| {
        String::from_utf8(Key::of(secret).unwrap().seal([7; 24], message.as_bytes())).unwrap()
    };
    let opened = |secret: &str, message: &str| {
        let value: serde_json::Value = serde_json::from_str(message).unwrap();
        assert_eq!(value["_type"], "encrypted", "{message}");
        let data = value["data"].as_str().unwrap();
        String::from_utf8(Key::of(secret).unwrap().open(data).unwrap()).unwrap()
    };
    for level in [3, 4, 5] {
        let time_s = 1_700_000_000 + u64::from(level);
        // Joe's phone says which one it is by its will, and another program says nothing.
        let mut joe = Mqtt::open(mqtt, level);
        joe.hello("joe", None, Some("owntracks/joe/phone"), 60);
        assert_eq!(joe.read().unwrap().1[..2], [0, 0]);
        let mut other = Mqtt::connect(mqtt, level, "other", None).0;
        for client in [&mut joe, &mut other] {
            client.subscribe(&["owntracks/jane/+", "owntracks/jane/+/+"], 1);
            if level > 3 {
                told(client);
            }
            // It has been told what there is, which would come again with the next change.
            client.is_answered();
        }
        let mut jane = Mqtt::connect(mqtt, level, "jane", None).0;
        jane.publish(1, "owntracks/jane/phone", &sealed("one", &location(time_s)));
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        let told_joe = opened("two", &told(&mut joe).2);
        assert!(told_joe.contains(&time_s.to_string()), "{told_joe}");
        let told_other = told(&mut other).2;
        assert!(told_other.contains(&time_s.to_string()), "{told_other}");
        // What is passed on is read with the key of the one, and written with that of the other.
        jane.publish(1, "owntracks/jane/phone/event", &sealed("one", "{\"_type\":\"transition\"}"));
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        assert_eq!(opened("two", &told(&mut joe).2), "{\"_type\":\"transition\"}");
        assert_eq!(told(&mut other).2, "{\"_type\":\"transition\"}");
        // With a key that is not known here it is passed on as it came, and no place is acknowledged.
        let unknown = sealed("three", "{}");
        jane.publish(1, "owntracks/jane/phone/event", &unknown);
        assert_eq!(jane.read(), Some((0x40, vec![0, 7])));
        assert_eq!((told(&mut joe).2, told(&mut other).2), (unknown.clone(), unknown.clone()));
        jane.publish(1, "owntracks/jane/phone", &unknown);
        assert_eq!(jane.read(), (level == 5).then(|| (0xe0, vec![reason::SPECIFIC])));
        assert_eq!(jane.read(), None);
    }
    assert_eq!(server.member.metrics.not_decrypted.get(), 3);
}
