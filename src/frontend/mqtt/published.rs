//! What phones publish: places become updates, which are durable before they are acknowledged.

use super::told::Teller;
use crate::config::CLOCK_LEAD_SUGGESTED;
use crate::frontend::connection::Shared;
use crate::frontend::http::access::Asker;
use crate::frontend::keys::PhoneKeys;
use crate::frontend::relay::Relayed;
use crate::logging::Escaped;
use crate::member::ForgetError;
use crate::member::conversation::Remote;
use crate::member::metrics::Event;
use crate::os::clock;
use crate::proto::http::phones::owntracks::{self, Whose};
use crate::proto::http::phones::{Taken, Useless};
use crate::proto::http::reports::{Reports, Taking};
use crate::proto::mqtt::decode::Publish;
use crate::proto::mqtt::encode::{Acknowledgement, push_acknowledgement};
use crate::proto::mqtt::topic::{Topic, is_topic};
use crate::proto::mqtt::{Qos, Version, reason};

/// The messages whose places are applied together, at most. Each waits until all of them are durable.
const MESSAGES_MAX: usize = 256;

/// Messages that have come and are not acknowledged.
pub(super) struct Published<'a> {
    shared: Shared<'a>,
    remote: Remote,
    reports: Option<Reports<'a>>,
    owed: Vec<Owed>,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Owed {
    which: Acknowledgement,
    id: u16,
    reason: u8,
}

/// The message must come again, so it is not acknowledged, and the connection ends with this reason. In no version is
/// there another word that makes a phone keep it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MustComeAgain(pub(super) u8);

impl<'a> Published<'a> {
    pub(super) fn new(shared: Shared<'a>, remote: Remote) -> Published<'a> {
        Published { shared, remote, reports: None, owed: Vec::new() }
    }

    /// Takes a message, whose topic stands in place of its alias.
    pub(super) fn take(
        &mut self,
        asker: &Asker,
        publish: &Publish<'_>,
        topic: &str,
        teller: &mut Teller,
    ) -> Result<(), MustComeAgain> {
        self.shared.member.metrics.mqtt_published.add(1);
        let reason = match self.read(asker, publish, topic, teller) {
            Ok(reason) => reason,
            // Nothing can be said of one that is not acknowledged.
            Err(_) if publish.qos == Qos::AtMostOnce => reason::SUCCESS,
            Err(again) => return Err(again),
        };
        let which = match publish.qos {
            Qos::AtMostOnce => return Ok(()),
            Qos::AtLeastOnce => Acknowledgement::PubAck,
            Qos::ExactlyOnce => Acknowledgement::PubRec,
        };
        self.owed.push(Owed { which, id: publish.id, reason });
        Ok(())
    }

    /// Whether what has been taken should be made durable before more is.
    pub(super) fn is_full(&self) -> bool {
        self.owed.len() >= MESSAGES_MAX || self.reports.as_ref().is_some_and(|it| it.len() >= MESSAGES_MAX)
    }

    /// Makes durable what has been taken, and then acknowledges it.
    pub(super) fn commit(&mut self, version: Version, out: &mut Vec<u8>) -> Result<(), MustComeAgain> {
        if let Some(mut reports) = self.reports.take() {
            let failed = match self.shared.member.report(&mut reports, self.remote) {
                Err(_) => Some(reason::UNSPECIFIED),
                // No more clients are taken at the moment.
                Ok(_) => reports.rejected.map(|_| reason::QUOTA),
            };
            if let Some(reason) = failed
                && !self.owed.is_empty()
            {
                // Whatever else is asked before the connection ends, they are not acknowledged.
                self.owed.clear();
                return Err(MustComeAgain(reason));
            }
        }
        for owed in self.owed.drain(..) {
            push_acknowledgement(owed.which, owed.id, version, owed.reason, out);
        }
        Ok(())
    }

    /// What is to be said of a message.
    fn read(
        &mut self,
        asker: &Asker,
        publish: &Publish<'_>,
        topic: &str,
        teller: &mut Teller,
    ) -> Result<u8, MustComeAgain> {
        let (shared, remote) = (self.shared, self.remote);
        let metrics = &shared.member.metrics;
        let named = Topic::parse(topic).map(|topic| (topic, topic.client()));
        let named_topic = topic;
        let Some((topic, client)) = named.filter(|(_, client)| asker.may_report(client)) else {
            let topic = Escaped(named_topic.as_bytes());
            let what = format_args!("{} may not publish on {topic}", asker.at(remote));
            metrics.count_and_warn(Event::MqttTopic, remote.from, what);
            return Ok(reason::NOT_AUTHORISED);
        };
        if !topic.is_location() {
            // Events, cards, waypoints and answers to commands move no client.
            return Ok(self.relay(asker, publish, named_topic, client, teller.connection));
        }
        if publish.payload.is_empty() {
            if publish.is_retained && asker.is_admin() {
                return self.forget(&client, asker);
            }
            return Ok(reason::SUCCESS);
        }
        teller.is_of(&client);
        let whose = whose();
        let mut taken = owntracks::read(publish.payload, &whose);
        if let Ok(Taken { sealed: Some(data), .. }) = &taken {
            let keys = shared.keys.map(PhoneKeys::current);
            let opened = keys.as_ref().and_then(|keys| keys.key_of(&client)).map(|key| key.open(data));
            match opened {
                Some(Ok(message)) => taken = owntracks::read(&message, &whose),
                // For want of the right key, which the operator can mend.
                None | Some(Err(_)) => {
                    let client = Escaped(client.as_bytes());
                    let what = format_args!("{remote}: {client} is encrypted, and not with a key of here");
                    metrics.count_and_warn(Event::PhoneKey, remote.from, what);
                    return Err(MustComeAgain(reason::SPECIFIC));
                }
            }
        }
        let taken = match taken {
            Ok(taken) if taken.sealed.is_none() => taken,
            Ok(_) | Err(_) => {
                metrics.mqtt_not_understood.add(1);
                log::debug!("{remote}: a message of {} is no OwnTracks", Escaped(client.as_bytes()));
                return Ok(reason::PAYLOAD);
            }
        };
        Ok(self.push(taken, &client))
    }

    /// Passes on a message that is no place, if that is done here. Returns what is to be said of it.
    fn relay(
        &self,
        asker: &Asker,
        publish: &Publish<'_>,
        topic: &str,
        client: String,
        connection: u64,
    ) -> u8 {
        let Some(relay) = &self.shared.sessions.relay else { return reason::SUCCESS };
        if !is_topic(topic) {
            return reason::TOPIC;
        }
        // Each is told what its own key opens, if it has one.
        let keys = self.shared.keys.map(PhoneKeys::current);
        let sealed = keys.as_ref().and_then(|_| owntracks::read(publish.payload, &whose()).ok()?.sealed);
        let key = keys.as_ref().and_then(|keys| keys.key_of(&client));
        let opened = sealed.as_ref().zip(key).and_then(|(data, key)| key.open(data).ok());
        relay.push(Relayed {
            connection,
            user: asker.user().map_or_else(String::new, |user| user.id.clone()),
            topic: topic.to_owned(),
            client,
            qos: publish.qos,
            is_sealed: sealed.is_some() && opened.is_none(),
            payload: opened.unwrap_or_else(|| publish.payload.to_vec()),
        });
        self.shared.member.metrics.mqtt_relayed.add(1);
        self.shared.watchers.ring();
        reason::SUCCESS
    }

    fn push(&mut self, taken: Taken, client: &str) -> u8 {
        let member = self.shared.member;
        let reports = self.reports.get_or_insert_with(|| {
            let received = clock::now();
            let lead = member.me.clock_lead_max.unwrap_or(CLOCK_LEAD_SUGGESTED);
            Reports::new(Taking {
                server: &member.me.name,
                received,
                latest: received.after(lead),
                client_name_bytes_max: member.me.client_name_bytes_max,
            })
        });
        let (mut left_out, mut why) = (taken.left_out, taken.why);
        for mut point in taken.points {
            client.clone_into(&mut point.client);
            if let Err(useless) = reports.push(&point) {
                left_out += 1;
                why = why.or(Some(useless));
            }
        }
        let Some(why) = why else { return reason::SUCCESS };
        member.metrics.points_left_out.add(left_out as u64);
        log::debug!("{}: a point of {} is left out: {why}", self.remote, Escaped(client.as_bytes()));
        if why == Useless::BadName { reason::TOPIC } else { reason::SUCCESS }
    }

    /// An empty message that is retained deletes what brokers keep. Here only an admin may, for the whole herd.
    fn forget(&mut self, client: &str, asker: &Asker) -> Result<u8, MustComeAgain> {
        match self.shared.member.forget(client.as_bytes(), clock::now().seconds) {
            Ok(()) => {
                let (client, asker) = (Escaped(client.as_bytes()), asker.at(self.remote));
                let what = format_args!("{client} is forgotten: {asker} asked for it");
                self.shared.member.metrics.log_connection(what);
            }
            Err(ForgetError::Unknown) => {}
            Err(ForgetError::NotDurable(_)) => return Err(MustComeAgain(reason::UNSPECIFIED)),
        }
        Ok(reason::SUCCESS)
    }
}

/// Only so that a message need not say it: whose place it is says the topic alone.
fn whose() -> Whose<'static> {
    let any = || Some("-".into());
    Whose { user: any(), device: any() }
}
