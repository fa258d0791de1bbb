//! A client that has been let in: what its packets do.

use std::sync::Arc;
use std::time::Duration;

use super::published::{MustComeAgain, Published};
use super::subscriber::{Subscriber, Told};
use super::told::Teller;
use crate::frontend::access;
use crate::frontend::connection::Shared;
use crate::frontend::http::access::{Asker, NotLoggedIn, Revoked};
use crate::frontend::sessions::Session;
use crate::member::conversation::Remote;
use crate::member::metrics::Event;
use crate::net::stream::Stream;
use crate::proto::mqtt::decode::{Connect, Packet, Publish};
use crate::proto::mqtt::encode::{
    Acknowledgement, PING_RESP, Terms, push_accepted, push_acknowledgement, push_refused, push_sub_ack,
    push_unsub_ack,
};
use crate::proto::mqtt::topic::Topic;
use crate::proto::mqtt::{Version, reason};

/// The messages that a client of version 5 may send unacknowledged: they wait in the kernel, and not here.
const RECEIVE_MAX: u16 = 20;

/// The topics that may have an alias, and the bytes of each: a phone publishes on half a dozen.
const ALIASES_MAX: usize = 8;
const ALIAS_BYTES_MAX: usize = 2 * 1024;

/// The most bytes of a client's identifier: apps make it of the names of user and device.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// A client.
pub(super) struct Client<'a> {
    pub(super) version: Version,
    /// How long it may be silent, if it has said so.
    pub(super) silence_max: Option<Duration>,
    shared: Shared<'a>,
    asker: Asker,
    /// Of the access file, at the time of `asker`.
    generation: u64,
    session: Session<'a>,
    published: Published<'a>,
    teller: Teller,
    subscriber: Option<Subscriber<'a>>,
    aliases: Vec<String>,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    /// The client has gone.
    Gone,
    /// It ends for this reason.
    Close(u8),
}

impl From<Result<(), MustComeAgain>> for After {
    fn from(done: Result<(), MustComeAgain>) -> After {
        done.map_or_else(|MustComeAgain(why)| After::Close(why), |()| After::GoOn)
    }
}

impl<'a> Client<'a> {
    /// Lets a client in, or says why not.
    pub(super) fn join(
        shared: Shared<'a>,
        remote: Remote,
        stream: &Arc<Stream>,
        connect: &Connect<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Client<'a>> {
        let version = connect.version;
        let generation = access::generation(shared.access);
        let asker = match admit(shared, remote, connect) {
            Ok(asker) => asker,
            Err(why) => {
                push_refused(version, why, out);
                return None;
            }
        };
        let limits = &shared.gate.limits;
        let made_up = connect.client_id.is_empty().then(|| format!("herd-{:016x}", fastrand::u64(..)));
        let client_id = made_up.as_deref().unwrap_or(connect.client_id);
        let user = asker.user().map_or("", |user| &user.id);
        let (session, has_taken_over) = shared.sessions.begin(user, client_id, stream);
        if has_taken_over {
            shared.member.metrics.mqtt_taken_over.add(1);
            log::debug!("{} takes the place of its older connection", asker.at(remote));
        }
        let idle_s = limits.idle_time_max.map_or(0, |time| time.as_secs() * 2 / 3);
        let terms = Terms {
            client_id: made_up.as_deref(),
            receive_max: RECEIVE_MAX,
            packet_bytes_max: limits.mqtt_packet_bytes_max,
            topic_aliases_max: ALIASES_MAX as u16,
            keep_alive_s: (connect.keep_alive_s == 0 && idle_s > 0)
                .then(|| u16::try_from(idle_s).unwrap_or(u16::MAX)),
        };
        push_accepted(version, &terms, out);
        let of_client = u32::from(connect.properties.receive_max.unwrap_or(u16::MAX));
        let packet_bytes_max = connect.properties.packet_bytes_max.map_or(usize::MAX, |most| most as usize);
        let mut teller = Teller::new(version, of_client.min(limits.mqtt_in_flight_max), packet_bytes_max);
        // The will of OwnTracks is on the topic of its own places. It says nothing of a place, and is not told.
        let own = connect.will_topic.and_then(Topic::parse).filter(Topic::is_location);
        let own = own.map(|topic| topic.client()).filter(|client| asker.may_report(client));
        own.iter().for_each(|client| teller.is_of(client));
        let silence_max = Duration::from_millis(u64::from(connect.keep_alive_s) * 1_500);
        Some(Client {
            version,
            silence_max: Some(silence_max).filter(|silence| !silence.is_zero()),
            shared,
            asker,
            generation,
            session,
            published: Published::new(shared, remote),
            teller,
            subscriber: None,
            aliases: Vec::new(),
        })
    }

    /// Who it is and from where, for the log.
    pub(super) fn at(&self, remote: Remote) -> String {
        self.asker.at(remote)
    }

    pub(super) fn is_taken_over(&self) -> bool {
        self.session.is_taken_over()
    }

    /// Whether it may be here still, whose rights may have changed.
    pub(super) fn is_allowed(&mut self) -> bool {
        match self.asker.renew(self.shared.access, &mut self.generation) {
            Err(Revoked) => return false,
            Ok(None) => {}
            Ok(Some(before)) => {
                if let Some(subscriber) = &mut self.subscriber {
                    subscriber.begin_again(before);
                }
            }
        }
        true
    }

    /// Takes a packet, and appends what is answered at once.
    pub(super) fn take(&mut self, packet: Packet<'_>, out: &mut Vec<u8>) -> After {
        if let Packet::Publish(publish) = packet {
            return self.publish(&publish, out);
        }
        // Answers leave in the order of what they answer.
        let committed = After::from(self.commit(out));
        if committed != After::GoOn {
            return committed;
        }
        match packet {
            Packet::Connect(_) | Packet::Publish(_) => return After::Close(reason::PROTOCOL),
            Packet::PubAck(id) => self.teller.acknowledged(id),
            // Nothing is told so that it would answer that.
            Packet::PubRec(_) | Packet::PubComp(_) => {}
            Packet::PubRel(id) => {
                push_acknowledgement(Acknowledgement::PubComp, id, self.version, reason::SUCCESS, out);
            }
            Packet::Subscribe(id, filters) => {
                let new = || Subscriber::new(self.shared, &self.asker);
                let subscriber = self.subscriber.get_or_insert_with(new);
                let codes: Vec<u8> = filters.iter().map(|filter| subscriber.subscribe(filter)).collect();
                push_sub_ack(id, self.version, &codes, out);
                self.drop_empty_subscriber();
            }
            Packet::Unsubscribe(id, filters) => {
                let mut unsubscribe = |filter: &&str| {
                    let was_there = self.subscriber.as_mut().is_some_and(|it| it.unsubscribe(filter));
                    if was_there { reason::SUCCESS } else { reason::NO_SUBSCRIPTION }
                };
                let codes: Vec<u8> = filters.iter().map(&mut unsubscribe).collect();
                push_unsub_ack(id, self.version, &codes, out);
                self.drop_empty_subscriber();
            }
            Packet::PingReq => out.extend_from_slice(&PING_RESP),
            Packet::Disconnect => return After::Gone,
        }
        After::GoOn
    }

    /// Makes durable what was published, and acknowledges it.
    pub(super) fn commit(&mut self, out: &mut Vec<u8>) -> Result<(), MustComeAgain> {
        self.published.commit(self.version, out)
    }

    /// Appends what is to be told, and says what is waited for then; `None` if it has subscribed to nothing.
    pub(super) fn tell(&mut self, out: &mut Vec<u8>) -> Option<Told> {
        let Client { asker, teller, subscriber, .. } = self;
        subscriber.as_mut().map(|subscriber| subscriber.tell(asker, teller, out))
    }

    fn drop_empty_subscriber(&mut self) {
        if self.subscriber.as_ref().is_some_and(Subscriber::is_empty) {
            self.subscriber = None;
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, out: &mut Vec<u8>) -> After {
        let topic = match publish.alias {
            None => publish.topic,
            Some(alias) => match self.aliased(alias.into(), publish.topic) {
                Ok(()) => &self.aliases[usize::from(alias) - 1],
                Err(why) => return After::Close(why),
            },
        };
        // What is forgotten is what came before.
        let is_late = publish.payload.is_empty() || self.published.is_full();
        let mut done = if is_late { self.published.commit(self.version, out) } else { Ok(()) };
        if done.is_ok() {
            done = self.published.take(&self.asker, publish, topic, &mut self.teller);
        }
        done.into()
    }

    /// Keeps a topic under its alias, or finds that one is kept.
    fn aliased(&mut self, alias: usize, topic: &str) -> Result<(), u8> {
        if !(1..=ALIASES_MAX).contains(&alias) || topic.len() > ALIAS_BYTES_MAX {
            return Err(reason::ALIAS);
        }
        if self.aliases.len() < alias {
            self.aliases.resize(alias, String::new());
        }
        let kept = &mut self.aliases[alias - 1];
        if !topic.is_empty() {
            topic.clone_into(kept);
        }
        if kept.is_empty() { Err(reason::PROTOCOL) } else { Ok(()) }
    }
}

/// Who a client is.
fn admit(shared: Shared<'_>, remote: Remote, connect: &Connect<'_>) -> Result<Asker, u8> {
    let metrics = &shared.member.metrics;
    if connect.properties.has_login_method {
        return Err(reason::LOGIN_METHOD);
    }
    // Without a name of its own it can have no session, which 3.1.1 has it say.
    let must_be_named = match connect.version {
        Version::V31 => true,
        Version::V311 => !connect.is_clean,
        Version::V5 => false,
    };
    let id = connect.client_id;
    if id.len() > CLIENT_ID_BYTES_MAX || id.is_empty() && must_be_named {
        return Err(reason::CLIENT_ID);
    }
    let asker = Asker::of_login(shared, connect.user, connect.password, remote).map_err(|why| {
        log::debug!("{remote} is not let in: {why}");
        match why {
            NotLoggedIn::NoUsers => reason::NOT_AUTHORISED,
            NotLoggedIn::NoToken | NotLoggedIn::WrongToken => reason::LOGIN,
            NotLoggedIn::TooMany => reason::QUOTA,
        }
    })?;
    let topic = connect.will_topic.map(|topic| (topic, Topic::parse(topic)));
    if let Some((topic, named)) = topic
        && !named.is_some_and(|named| asker.may_report(&named.client()))
    {
        let at = asker.at(remote);
        let what = format_args!("{at} may not have its will on {}", topic.escape_debug());
        metrics.count_and_warn(Event::MqttTopic, remote.from, what);
        // The older versions could but refuse the client as a whole, and a phone would come again for ever.
        if connect.version == Version::V5 {
            return Err(reason::NOT_AUTHORISED);
        }
    }
    Ok(asker)
}
