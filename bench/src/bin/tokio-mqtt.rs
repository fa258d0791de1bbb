//! The door of MQTT as those write it who take tokio: a task for each connection, over the same member. It takes what
//! OwnTracks publishes and acknowledges it after the commit, which is what the doors are compared with.
//!
//! Packets are read with the codec of the threaded server, so that it is the driving alone that differs. What it leaves
//! out speaks for it: it asks no one who they are, tells no subscribers, relays and forgets nothing, and has no
//! deadlines.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use proxyherd::config::{CLOCK_LEAD_SUGGESTED, Config};
use proxyherd::member::conversation::Remote;
use proxyherd::member::finder::Finder;
use proxyherd::member::watchers::Watchers;
use proxyherd::os::clock;
use proxyherd::proto::http::phones::owntracks::{self, Whose};
use proxyherd::proto::http::reports::{Reports, Taking};
use proxyherd::proto::mqtt::decode::{Bounds, Packet, Publish, decode};
use proxyherd::proto::mqtt::encode::{
    Acknowledgement, PING_RESP, Terms, push_accepted, push_acknowledgement,
};
use proxyherd::proto::mqtt::topic::Topic;
use proxyherd::proto::mqtt::{Qos, Version, reason};
use proxyherd_bench::driver::{Driver, listen_mqtt};
use proxyherd_bench::process::{self, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;

/// What is read at once.
const READ_BYTES: usize = 4 * 1024;

/// How long nothing is accepted when there was no descriptor for a connection.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The messages that a client of version 5 may send unacknowledged, as at the threaded door.
const RECEIVE_MAX: u16 = 20;

/// Why a connection goes on no more.
enum End {
    /// The client has said that it goes.
    Gone,
    /// It has sent what is no packet, or one that is not served here.
    Odd,
    /// Its message must come again, so it is not acknowledged.
    MustComeAgain,
}

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let driver: &Driver = Box::leak(Box::new(Driver::new(config)?));
    let stopping: &watch::Sender<bool> = Box::leak(Box::new(watch::Sender::new(false)));
    process::on_signal(|| {
        stopping.send_replace(true);
    })?;
    let listener = listen_mqtt(config)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    thread::scope(|scope| {
        // As beside the threaded door: reports are brought into the index by place.
        let changes = driver.member.subscribe();
        thread::Builder::new().spawn_scoped(scope, move || {
            Finder::default().run(&driver.member, &changes, &Watchers::new(1));
        })?;
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            driver.log_serving();
            // On a worker, where accepting shares the reactor with serving.
            runtime.spawn(accept_until_stopped(driver, listener, stopping)).await.map_err(io::Error::other)
        });
        driver.member.notifiers.stop();
        driver.log_stopped();
        Ok(served?)
    })
}

async fn accept_until_stopped(
    driver: &'static Driver,
    listener: TcpListener,
    stopping: &'static watch::Sender<bool>,
) {
    let mut stopped = stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|&stopping| stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => {
                tokio::spawn(converse(driver, socket, from, stopping));
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

/// Serves a connection until either side ends it.
async fn converse(
    driver: &'static Driver,
    mut socket: TcpStream,
    from: SocketAddr,
    stopping: &'static watch::Sender<bool>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let remote = Remote { door: "mqtt", from, is_proxied: false };
    let mut stopped = stopping.subscribe();
    let (mut bytes, mut out, mut version) = (Vec::new(), Vec::new(), None);
    loop {
        bytes.reserve(READ_BYTES);
        let count = tokio::select! {
            _ = stopped.wait_for(|&stopping| stopping) => return Ok(()),
            count = socket.read_buf(&mut bytes) => count?,
        };
        if count == 0 {
            return Ok(());
        }
        let taken = take(driver, remote, &mut bytes, &mut version, &mut out);
        socket.write_all(&out).await?;
        out.clear();
        if taken.is_err() {
            return socket.shutdown().await;
        }
    }
}

/// Takes the packets that are whole, and appends what is answered.
fn take(
    driver: &Driver,
    remote: Remote,
    bytes: &mut Vec<u8>,
    version: &mut Option<Version>,
    out: &mut Vec<u8>,
) -> Result<(), End> {
    let limits = &driver.config.limits;
    let bounds = Bounds {
        packet_bytes_max: limits.mqtt_packet_bytes_max as usize,
        filters_max: limits.mqtt_filters_max as usize,
    };
    let mut used = 0;
    while let Some((packet, count)) = decode(&bytes[used..], *version, bounds).map_err(|_| End::Odd)? {
        match (packet, *version) {
            (Packet::Connect(connect), _) => {
                *version = Some(connect.version);
                let terms = Terms {
                    client_id: None,
                    receive_max: RECEIVE_MAX,
                    packet_bytes_max: limits.mqtt_packet_bytes_max,
                    topic_aliases_max: 0,
                    keep_alive_s: None,
                };
                push_accepted(connect.version, &terms, out);
            }
            (Packet::Publish(publish), Some(version)) => {
                report(driver, remote, &publish)?;
                match publish.qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => push_acknowledgement(
                        Acknowledgement::PubAck,
                        publish.id,
                        version,
                        reason::SUCCESS,
                        out,
                    ),
                    Qos::ExactlyOnce => return Err(End::Odd),
                }
            }
            (Packet::PingReq, _) => out.extend_from_slice(&PING_RESP),
            (Packet::Disconnect, _) => return Err(End::Gone),
            _ => return Err(End::Odd),
        }
        used += count;
    }
    bytes.drain(..used);
    Ok(())
}

/// Applies a message and makes it durable. A commit is awaited here, as everywhere; the variants keep nothing, so it
/// holds up no others.
fn report(driver: &Driver, remote: Remote, publish: &Publish<'_>) -> Result<(), End> {
    let member = &driver.member;
    member.metrics.mqtt_published.add(1);
    let Some(topic) = Topic::parse(publish.topic).filter(Topic::is_location) else { return Ok(()) };
    // Whose place it is says the topic alone.
    let any = || Some("-".into());
    let Ok(taken) = owntracks::read(publish.payload, &Whose { user: any(), device: any() }) else {
        member.metrics.mqtt_not_understood.add(1);
        return Ok(());
    };
    let received = clock::now();
    let mut reports = Reports::new(Taking {
        server: &member.me.name,
        received,
        latest: received.after(member.me.clock_lead_max.unwrap_or(CLOCK_LEAD_SUGGESTED)),
        client_name_bytes_max: member.me.client_name_bytes_max,
    });
    let mut left_out = taken.left_out;
    for mut point in taken.points {
        point.client = topic.client();
        left_out += usize::from(reports.push(&point).is_err());
    }
    member.metrics.points_left_out.add(left_out as u64);
    if reports.is_empty() {
        return Ok(());
    }
    member.report(&mut reports, remote).map_err(|_| End::MustComeAgain)?;
    if reports.rejected.is_some() { Err(End::MustComeAgain) } else { Ok(()) }
}
