//! The door of MQTT: what a phone publishes is answered alike by the threaded server and by the one on tokio.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use proxyherd::config::Member;

use crate::kinds::{Kind, THREADS, TOKIO_MQTT};
use crate::served::Served;

const PLACE: &str = r#"{"_type":"location","lat":52.5,"lon":4.25,"tst":1700000000}"#;

#[test]
fn tokio_answers_publishers_as_the_threaded_server_does() {
    for kind in [THREADS, TOKIO_MQTT] {
        let server = Served::start(kind, |member, at| Member { mqtt: Some(at), ..member });
        let mut talk = server.talk();
        let connect = packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x05phone");
        ask(kind, &mut talk, &connect, &[0x20, 2, 0, 0]);
        // A place, one that is not acknowledged, what is no place, and what is no OwnTracks; and a sign of life.
        let asked = [
            publish(1, "owntracks/jane/one", PLACE),
            publish(0, "owntracks/jane/two", PLACE),
            publish(1, "owntracks/jane/one/event", PLACE),
            publish(1, "owntracks/jane/one", "no"),
            vec![0xc0, 0],
        ];
        ask(kind, &mut talk, &asked.concat(), &[0x40, 2, 0, 7, 0x40, 2, 0, 7, 0x40, 2, 0, 7, 0xd0, 0]);
        // In parts, and behind it the end.
        let last = [publish(1, "owntracks/jane/three", PLACE), vec![0xe0, 0]].concat();
        for byte in &last[..5] {
            talk.get_ref().write_all(&[*byte]).unwrap();
        }
        ask(kind, &mut talk, &last[5..], &[0x40, 2, 0, 7]);
        assert_eq!(talk.read(&mut [0]).unwrap(), 0, "{kind:?} hangs up");
        let log = server.stop();
        assert!(log.contains(" applied=3 ") && log.contains(" mqtt_not_understood=1 "), "{kind:?}: {log}");
    }
}

#[test]
fn odd_packets_end_the_connection() {
    let server = Served::start(TOKIO_MQTT, |member, at| Member { mqtt: Some(at), ..member });
    let connect = packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x05phone");
    for odd in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [0x30, 0xff, 0xff, 0xff, 0xff, 0xff].to_vec(),
        [connect.clone(), connect.clone()].concat(),
        [connect.clone(), packet(0x82, b"\0\x01\0\x01#\0")].concat(),
    ] {
        let mut talk = server.talk();
        talk.get_ref().write_all(&odd).unwrap();
        let mut rest = Vec::new();
        talk.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() || rest == [0x20, 2, 0, 0], "{odd:?}: {rest:?}");
    }
}

fn ask(kind: Kind, talk: &mut BufReader<TcpStream>, sent: &[u8], wanted: &[u8]) {
    talk.get_ref().write_all(sent).unwrap();
    let mut answer = vec![0; wanted.len()];
    talk.read_exact(&mut answer).unwrap();
    assert_eq!(answer, wanted, "{kind:?}");
}

fn publish(qos: u8, topic: &str, payload: &str) -> Vec<u8> {
    let id: &[u8] = if qos == 0 { &[] } else { &[0, 7] };
    let length = u16::try_from(topic.len()).unwrap().to_be_bytes();
    packet(0x30 | qos << 1, &[&length[..], topic.as_bytes(), id, payload.as_bytes()].concat())
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[first, body.len() as u8][..], body].concat()
}
