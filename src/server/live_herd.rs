//! The herd while a server runs: its file is read again when that is asked for, and links come and go with it. What
//! cannot change without a restart is named, and a wrong file changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Auth, Herd, Member as Server, Purpose};
use crate::member::{Member, neighbours};
use crate::os::sync::RwLock;
use crate::peering::links::Links;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Neighbour, Neighbours};

/// Neighbours that a server may have had since its start: each keeps its index, and takes about a KiB.
const NEIGHBOURS_MAX: usize = 4_096;

/// The herd, as its file had it when it was last right.
pub(super) struct LiveHerd {
    file: Option<PathBuf>,
    name: ServerName,
    auth: Auth,
    /// What the server has begun with, and keeps to its end in part.
    begun: Herd,
    pub(super) current: RwLock<Arc<Herd>>,
}

impl LiveHerd {
    pub(super) fn new(file: Option<PathBuf>, name: ServerName, auth: Auth, herd: Herd) -> LiveHerd {
        LiveHerd { file, name, auth, current: RwLock::new(Arc::new(herd.clone())), begun: herd }
    }

    /// Whether there is a file to be read again.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Reads the file again. `start` is to start the link to the neighbour with this index.
    pub(super) fn reload(&self, member: &Member, links: &Links<'_>, start: impl Fn(usize, config::Address)) {
        let Some(path) = &self.file else { return };
        let kept = "the herd file is as it was before";
        let herd = match config::load(path) {
            Ok(herd) => herd,
            Err(error) => return log::warn!("{kept}: {error}"),
        };
        let before = Arc::clone(&self.current.read());
        let (name, path) = (&self.name, path.display());
        let Some(me) = herd.member(name.as_str()) else {
            return log::warn!(
                "{kept}: {path} has no server {name}: stop this server, or put its table back"
            );
        };
        if let Err(error) = self.auth.allows(me, &herd.neighbours(name)) {
            return log::warn!("{kept}: {error}");
        }
        let new =
            herd.neighbours(name).into_iter().filter(|it| index_of(&member.me.neighbours, it).is_none());
        if member.me.neighbours.len() + new.count() > NEIGHBOURS_MAX {
            return log::warn!(
                "{kept}: {name} would have had more than {NEIGHBOURS_MAX} neighbours since its start: start it again"
            );
        }
        let kept_until_restart = self.needs_restart(me, &herd);
        if !kept_until_restart.is_empty() {
            let what = kept_until_restart.join(", ");
            log::warn!("these changes of the herd file wait until {name} is started again: {what}");
        }
        links.check();
        if *before == herd {
            return log::info!("the herd file is read again: nothing has changed");
        }
        log_changes(&before, &herd);
        self.change_links(&before, &herd, member, links, start);
        *self.current.write() = Arc::new(herd);
    }

    fn change_links(
        &self,
        before: &Herd,
        herd: &Herd,
        member: &Member,
        links: &Links<'_>,
        start: impl Fn(usize, config::Address),
    ) {
        let (old, new) = (before.neighbours(&self.name), herd.neighbours(&self.name));
        let same = |a: &Server, b: &Server| a.name == b.name && a.dialect == b.dialect;
        for gone in old.iter().filter(|gone| !new.iter().any(|it| same(it, gone))) {
            let Some(index) = index_of(&member.me.neighbours, gone) else { continue };
            neighbours::remove(member, index);
            links.remove(index);
            log::warn!(
                "{} is no neighbour any more: it is cut, and not let in again; a new secret keeps it out of the herd \
                 for good",
                gone.name
            );
        }
        for neighbour in new {
            match old.iter().find(|it| same(it, neighbour)) {
                Some(was) if was.peer == neighbour.peer => {}
                Some(was) => {
                    let Some(index) = index_of(&member.me.neighbours, neighbour) else { continue };
                    links.move_to(index, neighbour.peer.clone());
                    log::info!("{} is at {} now, not at {}", neighbour.name, neighbour.peer, was.peer);
                }
                None => {
                    let index = neighbours::add(member, neighbour_of(neighbour));
                    start(index, neighbour.peer.clone());
                    log::info!("{} is a neighbour now, at {}", neighbour.name, neighbour.peer);
                }
            }
        }
    }

    /// What differs from the beginning and is not changed while the server runs, by its keys.
    fn needs_restart(&self, me: &Server, herd: &Herd) -> Vec<String> {
        let mut found = Vec::new();
        let Some(begun) = self.begun.member(self.name.as_str()) else { return found };
        for purpose in Purpose::ALL {
            let (was, is) = (begun.listens(purpose), me.listens(purpose));
            if was.as_ref().map(|(_, address)| address) != is.as_ref().map(|(_, address)| address)
                && let Some((whose, _)) = is.or(was)
            {
                found.push(format!("{} of {}", whose.key(), self.name));
            }
        }
        for (differs, key) in [
            (begun.dialect != me.dialect, "classic"),
            (self.begun.catch_up != herd.catch_up, "catch_up"),
            (self.begun.expire_after != herd.expire_after, "expire_after"),
            (self.begun.clock_lead_max != herd.clock_lead_max, "max_clock_lead"),
        ] {
            found.extend(differs.then(|| key.to_owned()));
        }
        found
    }
}

/// Names the servers that have come and gone.
fn log_changes(before: &Herd, herd: &Herd) {
    let names = |from: &Herd, without: &Herd| {
        let new = from.members().iter().filter(|it| without.member(it.name.as_str()).is_none());
        new.map(|it| it.name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut changes = String::new();
    for (what, names) in [("new: ", names(herd, before)), ("gone: ", names(before, herd))] {
        if !names.is_empty() {
            changes = format!("{changes}; {what}{names}");
        }
    }
    let (servers, links) = (herd.members().len(), herd.links().len());
    log::info!("the herd file is read again: servers {servers}, links {links}{changes}");
}

fn neighbour_of(server: &Server) -> Neighbour {
    Neighbour { name: server.name.clone(), dialect: server.dialect }
}

fn index_of(neighbours: &Neighbours, server: &Server) -> Option<usize> {
    neighbours.index_of(&neighbour_of(server))
}
