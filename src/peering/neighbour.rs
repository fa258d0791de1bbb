//! One neighbour from the side of the link to it: who it is, where it listens, and what wakes the link.

use std::net::SocketAddr;

use crate::member::Member;
use crate::member::link_log::LinkLog;
use crate::member::link_state::LinkState;
use crate::member::notifier::Subscription;
use crate::net::shutdown::OpenStreams;
use crate::proto::model::name::ServerName;

/// What a link to a neighbour needs, whichever dialect that speaks.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// The member that tells.
    pub member: &'a Member,
    /// Conversations in: while they stop, a link that is down is not waited for.
    pub conversations: &'a OpenStreams,
    /// Links that wait for the answer to their hello: nothing is owed there, so stopping does not wait for them.
    pub dialling: &'a OpenStreams,
    /// Links that are up.
    pub live: &'a OpenStreams,
}

/// One neighbour, from the side of the link to it.
pub struct Neighbour<'a> {
    /// What all links share.
    pub shared: Shared<'a>,
    /// Its index among the neighbours.
    pub index: usize,
    /// Where it listens.
    pub address: SocketAddr,
    /// What wakes the link.
    pub subscription: Subscription<'a>,
}

impl<'a> Neighbour<'a> {
    /// The neighbour with this index, whose link follows the change log from now on.
    pub fn new(shared: Shared<'a>, index: usize, address: SocketAddr) -> Neighbour<'a> {
        let subscription = shared.member.subscribe();
        shared.member.links[index].follows(subscription.notifier());
        Neighbour { shared, index, address, subscription }
    }

    /// The link to it, as the log, the metrics and the status see it.
    pub fn log(&self) -> LinkLog<'a> {
        LinkLog::new(self.shared.member, self.index)
    }

    /// Its name.
    pub fn name(&self) -> &'a ServerName {
        self.log().name()
    }

    /// How the link is, for the status.
    pub fn state(&self) -> &'a LinkState {
        self.log().state()
    }
}
