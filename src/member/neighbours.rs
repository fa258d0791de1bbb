//! Links that come and go while a member runs: what it keeps of each neighbour, by its index.

use super::Member;
use super::link_state::LinkState;
use super::turn::Host as _;
use crate::proto::node::Neighbour;

/// Makes a neighbour of a server, perhaps again; returns its index. To be called by one thread at a time.
pub fn add(member: &Member, neighbour: Neighbour) -> usize {
    let neighbours = &member.me.neighbours;
    if let Some(index) = neighbours.index_of(&neighbour) {
        neighbours.set_linked(index, true);
        return index;
    }
    // What is kept by index must be there before one can find the index.
    member.write(|node| node.add_neighbour());
    member.peers.add();
    member.links.push(LinkState::default());
    neighbours.add(neighbour)
}

/// A neighbour is one no longer: its conversation is cut, and it is not let in again.
pub fn remove(member: &Member, index: usize) {
    member.me.neighbours.set_linked(index, false);
    member.write(|node| node.forget_terms(index));
    member.peers.cut(index);
}

/// The links that there are: the index of each, its neighbour, and how it is.
pub fn linked(member: &Member) -> impl Iterator<Item = (usize, &Neighbour, &LinkState)> {
    member.me.neighbours.linked().map(|(index, neighbour)| (index, neighbour, &member.links[index]))
}
