//! The door of MQTT with paho-mqtt, another maker's client, in all versions, over TCP and over TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use proxyherd::config::TokenHash;

use crate::free_address::free_address;
use crate::real::{RealHerd, note};
use crate::tls;

/// Where `scripts/test.sh` installs it.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/paho/bin/python");

/// In each version: a watcher is told what there is, what changes and what a phone says that is no place; and a phone
/// publishes in each quality, may not publish for others, and takes its own place when it connects again.
const SCRIPT: &str = r#"
import queue, sys
import paho.mqtt.client as mqtt

host, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WAIT_S = 20

def client(name, protocol, user):
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol)
    made.username_pw_set(user, user + "-token")
    if ca:
        made.tls_set(ca)
        made.tls_insecure_set(True)
    made.events = queue.Queue()
    made.on_connect = lambda c, d, flags, reason, p: made.events.put(("connect", str(reason), flags.session_present))
    made.on_subscribe = lambda c, d, mid, reasons, p: made.events.put(("subscribe", [r.value for r in reasons]))
    made.on_message = lambda c, d, m: made.events.put(("message", m.topic, m.retain, m.payload.decode()))
    made.on_publish = lambda c, d, mid, reason, p: made.events.put(("publish", mid, reason.value))
    made.on_disconnect = lambda c, d, flags, reason, p: made.events.put(("disconnect", reason.value))
    return made

def joined(name, protocol, user):
    made = client(name, protocol, user)
    made.will_set(f"owntracks/{user}/phone", '{"_type":"lwt","tst":1}')
    made.connect(host, port, keepalive=60)
    made.loop_start()
    expect(made, ("connect", "Success", False))
    return made

def expect(made, wanted):
    got = made.events.get(timeout=WAIT_S)
    assert got == wanted, (got, wanted)

def place(time):
    return '{"_type":"location","lat":1.5,"lon":2,"tst":%d,"tid":"ph"}' % time

for at, protocol in enumerate([mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5]):
    is_five = protocol == mqtt.MQTTv5
    stranger = client("stranger", protocol, "nobody")
    stranger.connect(host, port)
    stranger.loop_start()
    refused = stranger.events.get(timeout=WAIT_S)
    assert refused[0] == "connect" and refused[1] != "Success", refused
    stranger.loop_stop()
    jane, joe = joined("jane", protocol, "jane"), joined("joe", protocol, "joe")
    sent = jane.publish("owntracks/jane/phone", place(1699999999 + 10 * at), qos=1)
    expect(jane, ("publish", sent.mid, 0))
    joe.subscribe([("owntracks/jane/+", 2), ("owntracks/+/+/info", 0)])
    expect(joe, ("subscribe", [1, 0]))
    assert joe.events.get(timeout=WAIT_S)[:3] == ("message", "owntracks/jane/phone", True)
    for qos in [0, 1, 2]:
        time = 1700000000 + 10 * at + qos
        sent = jane.publish("owntracks/jane/phone", place(time), qos=qos, retain=True)
        expect(jane, ("publish", sent.mid, 0))
        kind, topic, is_retained, payload = joe.events.get(timeout=WAIT_S)
        assert (kind, topic, is_retained) == ("message", "owntracks/jane/phone", False)
        assert str(time) in payload, payload
    sent = jane.publish("owntracks/jane/phone/info", '{"_type":"card"}', qos=1)
    expect(jane, ("publish", sent.mid, 0))
    expect(joe, ("message", "owntracks/jane/phone/info", False, '{"_type":"card"}'))
    sent = jane.publish("owntracks/joe/phone", place(1), qos=1)
    expect(jane, ("publish", sent.mid, 0x87 if is_five else 0))
    again = joined("jane", protocol, "jane")
    ended = jane.events.get(timeout=WAIT_S)
    assert ended[0] == "disconnect" and (not is_five or ended[1] == 0x8e), ended
    jane.loop_stop()
    for made in [again, joe]:
        made.disconnect()
        made.loop_stop()
    print("good", flush=True)
"#;

fn speaks(at: SocketAddr, ca: &Path, folder: &Path) {
    let script = folder.join("phones.py");
    fs::write(&script, SCRIPT).unwrap();
    let mut python = Command::new(PYTHON);
    let output =
        python.arg(&script).args([at.ip().to_string(), at.port().to_string()]).arg(ca).output().unwrap();
    let [said, complaints] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && said == "good\n".repeat(3), "{said}{complaints}");
}

/// A server with users and with ports for MQTT, without and with TLS.
fn herd() -> (RealHerd, [SocketAddr; 2]) {
    let options =
        ["--access", "access.toml", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--mqtt-relay"];
    let mut herd = RealHerd::new(&["Alford"], &[], &options);
    let ports = [free_address(), free_address()];
    let file = herd.path("herd.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}mqtt = \"{}\"\nmqtts = \"{}\"\n", ports[0], ports[1])).unwrap();
    let token = |user: &str| TokenHash::of(format!("{user}-token").as_bytes());
    let user = |name: &str| {
        format!("[users.{name}]\ntokens = [\"{}\"]\nsee = \"group\"\ngroup = \"family\"\n", token(name))
    };
    fs::write(herd.path("access.toml"), user("jane") + &user("joe")).unwrap();
    tls::make_pair(&herd.path("cert.pem"), &herd.path("key.pem"));
    herd.start_one("Alford");
    (herd, ports)
}

#[test]
fn paho_publishes_and_is_told_in_all_versions_over_tcp_and_tls() {
    if !Path::new(PYTHON).is_file() {
        note(format_args!("skipped: this needs paho-mqtt in target/paho (scripts/test.sh installs it)"));
        return;
    }
    if !tls::has("openssl") {
        return;
    }
    for with_tls in [false, true] {
        let (herd, ports) = herd();
        let ca = if with_tls { herd.path("cert.pem") } else { Path::new("").to_owned() };
        speaks(ports[usize::from(with_tls)], &ca, &herd.path("."));
    }
}
