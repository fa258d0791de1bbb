//! The members that a member has links to. Links come and go while it runs, but a neighbour keeps its index for ever,
//! because positions, sources and links are kept by it.

use std::ops::Index;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::proto::model::name::ServerName;

/// A member that this one has a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: ServerName,
    /// How it is spoken to.
    pub dialect: Dialect,
}

/// How two servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As `PROTOCOL.md` says, on the peer port.
    Herd,
    /// As implementations of the original protocol do: bare `AT` lines to the client port, and never an answer.
    Legacy,
}

/// All that are neighbours, and all that were.
#[derive(Debug, Default)]
pub struct Neighbours(boxcar::Vec<Linked>);

#[derive(Debug)]
struct Linked {
    neighbour: Neighbour,
    is_linked: AtomicBool,
}

impl Neighbour {
    /// One that speaks our dialect.
    pub fn herd(name: ServerName) -> Neighbour {
        Neighbour { name, dialect: Dialect::Herd }
    }
}

impl Neighbours {
    /// How many there are and were.
    pub fn len(&self) -> usize {
        self.0.count()
    }

    /// Whether there never was one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that are and were, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.0.iter().map(|(_, linked)| &linked.neighbour)
    }

    /// Those that there is a link to, with their indices.
    pub fn linked(&self) -> impl Iterator<Item = (usize, &Neighbour)> {
        let all = self.0.iter().filter(|(_, linked)| linked.is_linked.load(Ordering::Acquire));
        all.map(|(index, linked)| (index, &linked.neighbour))
    }

    /// Whether there is a link to the one with this index.
    pub fn is_linked(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|linked| linked.is_linked.load(Ordering::Acquire))
    }

    /// The index of one that is or was there.
    pub fn index_of(&self, neighbour: &Neighbour) -> Option<usize> {
        self.iter().position(|other| other == neighbour)
    }

    /// Adds one, to which there is a link from now on; returns its index, the next one.
    pub fn add(&self, neighbour: Neighbour) -> usize {
        self.0.push(Linked { neighbour, is_linked: AtomicBool::new(true) })
    }

    /// Says whether there is a link to the one with this index.
    pub fn set_linked(&self, index: usize, is_linked: bool) {
        if let Some(linked) = self.0.get(index) {
            linked.is_linked.store(is_linked, Ordering::Release);
        }
    }
}

impl From<Vec<Neighbour>> for Neighbours {
    fn from(all: Vec<Neighbour>) -> Neighbours {
        let neighbours = Neighbours::default();
        for neighbour in all {
            neighbours.add(neighbour);
        }
        neighbours
    }
}

impl Index<usize> for Neighbours {
    type Output = Neighbour;

    fn index(&self, index: usize) -> &Neighbour {
        &self.0[index].neighbour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stay_when_links_come_and_go() {
        let neighbour = |text: &str| Neighbour::herd(ServerName::parse(text).unwrap());
        let neighbours = Neighbours::from(vec![neighbour("B"), neighbour("C")]);
        let linked =
            || neighbours.linked().map(|(index, it)| format!("{index}{}", it.name)).collect::<Vec<_>>();
        neighbours.set_linked(0, false);
        assert_eq!((neighbours.add(neighbour("D")), linked()), (2, vec!["1C".to_owned(), "2D".to_owned()]));
        assert_eq!((neighbours.index_of(&neighbour("B")), neighbours.len()), (Some(0), 3));
        neighbours.set_linked(0, true);
        assert_eq!(linked(), ["0B", "1C", "2D"]);
        let legacy = Neighbour { dialect: Dialect::Legacy, ..neighbour("B") };
        assert_eq!(neighbours.index_of(&legacy), None);
    }
}
