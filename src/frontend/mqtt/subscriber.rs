//! What a client has subscribed to. It is a follower of the change log without a queue: a position, beside its filters.
//!
//! For each SUBSCRIBE the store is gone through once, for the new filters alone, as if every record were a message that
//! a broker has retained. Then changes are told, from the position where the first of them was. No more is looked at
//! than the client can be told now, so one that acknowledges nothing costs nothing.

use std::sync::Arc;
use std::time::Instant;

use super::told::{Message, Teller};
use crate::frontend::connection::Shared;
use crate::frontend::http::access::Asker;
use crate::frontend::relay::Relay;
use crate::member::located::Located;
use crate::member::watch::{Event, Looked, Wants, Watch};
use crate::member::watchers::Listener;
use crate::os::bell::Bell;
use crate::os::clock;
use crate::proto::http::phones::friends;
use crate::proto::mqtt::Qos;
use crate::proto::mqtt::decode::{Retained, Subscription};
use crate::proto::mqtt::reason;
use crate::proto::mqtt::topic::{
    TOPIC_BYTES_MAX, Topic, is_filter, is_shared, matches, may_match, of_client,
};
use crate::proto::store::SCAN_RECORDS_MAX;

/// The level below a client's topic where its card is.
const INFO: &str = "info";

/// The bytes of messages that are passed on which are told at once, before the last one: each may be as long as a
/// packet, and a subscriber that does not read holds them until it is cut off.
const TOLD_BYTES_MAX: usize = 16 * 1024;

/// The bytes of all filters of a client, which memory has up to three times. One of them may have so many.
const FILTERS_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// A client's subscriptions.
pub(super) struct Subscriber<'a> {
    shared: Shared<'a>,
    _listener: Listener<'a>,
    filters: Vec<Filter>,
    /// What changes.
    live: Watch,
    /// Up to where it was told what is passed on.
    heard: u64,
    /// What is there, for filters that are new.
    scan: Option<Scan>,
    /// Filters for which that follows.
    waiting: Vec<Filter>,
    /// Who the client was, until it has been told what it may not see any more.
    before: Option<Asker>,
    /// How often watchers had been woken before the last look.
    woken: u64,
    next: Next,
    /// Until then it does not look again.
    rests_until: Instant,
    events: Vec<(u64, Event)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    text: String,
    qos: Qos,
    no_local: bool,
}

struct Scan {
    watch: Watch,
    filters: Vec<Filter>,
}

#[derive(Clone, Copy)]
enum Next {
    Look,
    Listen,
}

/// What is waited for before there is more to tell.
pub(super) enum Told {
    /// Nothing.
    More,
    /// The client's acknowledgements.
    Acknowledgement,
    /// The bell.
    Bell(Arc<Bell>),
    /// A moment.
    Until(Instant),
}

impl<'a> Subscriber<'a> {
    /// No filters yet.
    pub(super) fn new(shared: Shared<'a>, asker: &Asker) -> Subscriber<'a> {
        Subscriber {
            shared,
            _listener: shared.watchers.listen(),
            filters: Vec::new(),
            live: Watch::from_now(shared.member, shared.finder, &|client| asker.may_see(client)),
            heard: shared.sessions.relay.as_ref().map_or(0, Relay::position),
            scan: None,
            waiting: Vec::new(),
            before: None,
            woken: 0,
            next: Next::Look,
            rests_until: clock::instant(),
            events: Vec::new(),
        }
    }

    /// Whether there are no filters.
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Takes a filter. Returns what is granted, or why it is refused.
    pub(super) fn subscribe(&mut self, asked: &Subscription<'_>) -> u8 {
        if is_shared(asked.filter) {
            return reason::SHARED;
        }
        if !is_filter(asked.filter) {
            return reason::FILTER;
        }
        let qos = asked.qos.min(Qos::AtLeastOnce);
        let filter = Filter { text: asked.filter.to_owned(), qos, no_local: asked.no_local };
        let older = self.filters.iter().position(|it| it.text == filter.text);
        match older {
            Some(at) => self.filters[at] = filter.clone(),
            None if self.filters.len() >= self.shared.gate.limits.mqtt_filters_max as usize
                || self.filters_bytes() + filter.text.len() > FILTERS_BYTES_MAX =>
            {
                return reason::QUOTA;
            }
            None => self.filters.push(filter.clone()),
        }
        let wants =
            asked.retained == Retained::Always || asked.retained == Retained::IfNew && older.is_none();
        if wants && (may_match(&filter.text, None) || may_match(&filter.text, Some(INFO))) {
            self.waiting.retain(|it| it.text != filter.text);
            self.waiting.push(filter);
        }
        qos as u8
    }

    fn filters_bytes(&self) -> usize {
        self.filters.iter().map(|filter| filter.text.len()).sum()
    }

    /// Drops a filter. Returns whether it was there.
    pub(super) fn unsubscribe(&mut self, filter: &str) -> bool {
        let count = self.filters.len();
        for filters in
            [Some(&mut self.filters), Some(&mut self.waiting), self.scan.as_mut().map(|it| &mut it.filters)]
        {
            filters.into_iter().for_each(|filters| filters.retain(|it| it.text != filter));
        }
        self.filters.len() < count
    }

    /// The client's user may see others than before.
    pub(super) fn begin_again(&mut self, before: Asker) {
        self.before = Some(before);
        self.live.begin_again();
        self.next = Next::Look;
    }

    /// Appends what is to be told now, as far as the client takes it.
    pub(super) fn tell(&mut self, asker: &Asker, teller: &mut Teller, out: &mut Vec<u8>) -> Told {
        let records_max = self.messages_max(teller);
        if self.scan.is_none() && !self.waiting.is_empty() {
            self.scan = Some(self.begin_scan(asker));
        }
        if records_max == 0 {
            return Told::Acknowledgement;
        }
        if self.scan.is_some() {
            let looked = self.tell_scanned(asker, teller, records_max, out);
            // What it still lacks is not durable yet, and no bell tells when it is.
            let waits = looked == Looked::All && self.scan.is_some();
            return if waits {
                Told::Until(clock::deadline(self.shared.watchers.rest()))
            } else {
                Told::More
            };
        }
        if let Next::Listen = self.next
            && let Some(bell) = self.shared.watchers.bell(self.woken)
        {
            return Told::Bell(bell);
        }
        self.next = Next::Look;
        if clock::instant() < self.rests_until {
            return Told::Until(self.rests_until);
        }
        // Before the look, so that no change is missed.
        self.woken = self.shared.watchers.woken();
        // No more than half of it, so that a flood of messages delays places and does not keep them back.
        let is_all_relayed = self.tell_relayed(asker, teller, records_max.div_ceil(2), out);
        match self.messages_max(teller) {
            0 => Told::Acknowledgement,
            records_max => self.tell_changes(asker, teller, records_max, is_all_relayed, out),
        }
    }

    /// How many messages may be told now.
    fn messages_max(&self, teller: &Teller) -> usize {
        let is_acknowledged = self.filters.iter().any(|filter| filter.qos > Qos::AtMostOnce);
        if is_acknowledged { teller.free() } else { SCAN_RECORDS_MAX }
    }

    /// Tells what is passed on, and whether that was all.
    fn tell_relayed(
        &mut self,
        asker: &Asker,
        teller: &mut Teller,
        messages_max: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(relay) = &self.shared.sessions.relay else { return true };
        let heard = relay.since(self.heard, messages_max);
        self.heard = heard.position;
        if heard.is_late {
            self.shared.member.metrics.mqtt_relay_late.add(1);
        }
        for (at, message) in &heard.messages {
            if out.len() >= TOLD_BYTES_MAX {
                self.heard = *at;
                return false;
            }
            let is_echo = message.connection == teller.connection;
            let takes = |filter: &&Filter| {
                !(is_echo && filter.no_local) && matches(&filter.text, &message.topic, None)
            };
            let Some(qos) = self.filters.iter().filter(takes).map(|filter| filter.qos).max() else {
                continue;
            };
            let client = &message.client;
            if !(if message.is_private() { asker.may_report(client) } else { asker.may_see(client) }) {
                continue;
            }
            let message = Message {
                topic: &message.topic,
                qos: qos.min(message.qos),
                is_retained: false,
                payload: &message.payload,
                is_sealed: message.is_sealed,
            };
            teller.tell(self.shared, &message, out);
        }
        heard.messages.len() < messages_max
    }

    fn tell_changes(
        &mut self,
        asker: &Asker,
        teller: &mut Teller,
        records_max: usize,
        is_all_relayed: bool,
        out: &mut Vec<u8>,
    ) -> Told {
        let Subscriber { shared, live, before, events, .. } = self;
        let member = shared.member;
        let sees = |client: &str| asker.may_see(client);
        let then = |client: &str| before.as_ref().is_some_and(|before| before.may_see(client));
        let looked = live.look_at(records_max, member, &sees, before.is_some().then_some(&then), events);
        if looked == Looked::Lost {
            *live = Watch::begin(member, shared.finder, Wants::default(), None, &sees);
        }
        if live.is_current() {
            *before = None;
        }
        for (_, event) in std::mem::take(&mut self.events) {
            let (client, located) = match event {
                Event::Client(located) => (located.sighting().client.0.to_owned(), Some(located)),
                Event::Gone(client) => (client, None),
                Event::Reset | Event::Current => continue,
            };
            tell_place(*shared, &self.filters, &client, located.as_ref(), false, teller, out);
        }
        if looked != Looked::All || !is_all_relayed {
            return Told::More;
        }
        self.next = Next::Listen;
        self.rests_until = clock::deadline(shared.watchers.rest());
        // The bell is not held while one is told something, because that may take long.
        let bell = if out.is_empty() { shared.watchers.bell(self.woken) } else { None };
        bell.map_or(Told::More, Told::Bell)
    }

    fn tell_scanned(
        &mut self,
        asker: &Asker,
        teller: &mut Teller,
        records_max: usize,
        out: &mut Vec<u8>,
    ) -> Looked {
        let Some(Scan { watch, filters }) = &mut self.scan else { return Looked::All };
        let (shared, mut events) = (self.shared, Vec::new());
        let sees = |client: &str| asker.may_see(client);
        let looked = watch.look_at(records_max, shared.member, &sees, None, &mut events);
        for (_, event) in events {
            // What else there is comes with the changes.
            let Event::Client(located) = event else { continue };
            let client = located.sighting().client.0;
            tell_place(shared, filters, client, Some(&located), true, teller, out);
            if let Some(name) = asker.name_of(client) {
                let topic = of_client(client);
                if filters.iter().any(|filter| matches(&filter.text, &topic, Some(INFO))) {
                    let (topic, payload) =
                        (topic + "/" + INFO, friends::card(client, located.attributes(), name));
                    let message = Message {
                        topic: &topic,
                        qos: Qos::AtMostOnce,
                        is_retained: true,
                        payload: &payload,
                        is_sealed: false,
                    };
                    teller.tell(shared, &message, out);
                }
            }
        }
        let is_over = watch.is_current() || filters.is_empty();
        if looked == Looked::Lost {
            let filters = std::mem::take(filters);
            self.waiting.extend(filters);
        }
        if is_over || looked == Looked::Lost {
            self.scan = None;
        }
        looked
    }

    /// Goes through what is there, for the filters that wait for it. Where they have no wildcards it is looked up.
    fn begin_scan(&mut self, asker: &Asker) -> Scan {
        let filters = std::mem::take(&mut self.waiting);
        let client = |filter: &Filter| {
            let is_exact = !filter.text.contains(['+', '#']);
            Topic::parse(&filter.text).filter(|_| is_exact).map(|topic| topic.client())
        };
        let clients: Option<Vec<String>> = filters.iter().map(client).collect();
        let wants = Wants { area: None, clients: clients.unwrap_or_default() };
        let sees = |client: &str| asker.may_see(client);
        let watch = Watch::begin(self.shared.member, self.shared.finder, wants, None, &sees);
        Scan { watch, filters }
    }
}

/// Tells where a client is, or that it is gone, which is an empty message: the apps remove a friend then.
fn tell_place(
    shared: Shared<'_>,
    filters: &[Filter],
    client: &str,
    located: Option<&Located>,
    is_retained: bool,
    teller: &mut Teller,
    out: &mut Vec<u8>,
) {
    let (topic, is_own) = (of_client(client), teller.is_own(client));
    let takes = |filter: &&Filter| !(is_own && filter.no_local) && matches(&filter.text, &topic, None);
    let Some(qos) = filters.iter().filter(takes).map(|filter| filter.qos).max() else { return };
    let payload = match located {
        None => Vec::new(),
        Some(located) => match friends::location(&located.sighting(), located.attributes()) {
            None => return,
            Some(payload) => payload,
        },
    };
    // What is gone stays gone.
    let is_retained = is_retained || payload.is_empty();
    let message = Message { topic: &topic, qos, is_retained, payload: &payload, is_sealed: false };
    teller.tell(shared, &message, out);
}
