//! Reports of many clients, what was acknowledged of them, and whether every server knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;

use parking_lot::Mutex;

use crate::processes::Processes;
use crate::talk::{Talk, eventually};

/// Clients that report to one server only, of each server.
const OWN_CLIENTS: usize = 40;

/// Clients that report to all servers, at equal times.
const SHARED_CLIENTS: usize = 10;

/// What has been acknowledged, by client: the latest time, and the replies to reports of that time.
#[derive(Default)]
pub(crate) struct Acknowledged(Mutex<BTreeMap<String, (u64, BTreeSet<String>)>>);

impl Acknowledged {
    /// Lets all clients of a server report once in each of these rounds, whose numbers are their times, and says when
    /// each of them is acknowledged.
    pub(crate) fn report(
        &self,
        herd: &Processes,
        server: &str,
        rounds: std::ops::Range<u64>,
        marks: &Sender<()>,
    ) {
        let mut talk = herd.client(server);
        for round in rounds {
            let own = (0..OWN_CLIENTS).map(|number| format!("{server}-{number}"));
            let shared = (0..SHARED_CLIENTS).map(|number| format!("shared-{number}"));
            let clients: Vec<String> = own.chain(shared).collect();
            let lines: String =
                clients.iter().map(|client| format!("IAMAT {client} +34-118 {round}\n")).collect();
            talk.send(lines);
            for client in clients {
                self.acknowledge(&client, round, talk.line());
            }
            // The receiver is gone when it has heard enough.
            let _ = marks.send(());
        }
    }

    fn acknowledge(&self, client: &str, time: u64, line: String) {
        assert!(line.starts_with("AT ") && line.ends_with(&format!(" {client} +34-118 {time}")), "{line}");
        let mut all = self.0.lock();
        let (latest, lines) = all.entry(client.to_owned()).or_default();
        if *latest < time {
            (*latest, *lines) = (time, BTreeSet::new());
        }
        if *latest == time {
            lines.insert(line);
        }
    }

    /// Waits until all these servers know of every client what was acknowledged last, and answer with the same bytes.
    pub(crate) fn wait_until_known(&self, herd: &Processes, servers: &[&str]) {
        let all = self.0.lock();
        assert!(all.len() > SHARED_CLIENTS, "no client has reported");
        let mut talks: Vec<Talk> = servers.iter().map(|server| herd.client(server)).collect();
        eventually("all servers know what was acknowledged", || {
            let known: Vec<Vec<String>> = talks.iter_mut().map(|talk| answers(talk, all.keys())).collect();
            let is_last = |(answer, (_, lines)): (&String, &(u64, BTreeSet<String>))| {
                answer.lines().next().is_some_and(|line| lines.contains(line))
            };
            let same = known.iter().all(|answers| *answers == known[0]);
            (same && known[0].iter().zip(all.values()).all(is_last)).then_some(())
        });
    }
}

/// The whole answers about all these clients, asked at once.
fn answers<'a>(talk: &mut Talk, clients: impl Iterator<Item = &'a String> + Clone) -> Vec<String> {
    talk.send(clients.clone().map(|client| format!("WHATSAT {client} 10 1\n")).collect::<String>());
    clients
        .map(|_| {
            let mut answer = talk.line();
            // The `AT` line is followed by JSON that an empty line ends.
            while answer.starts_with("AT ") && !answer.ends_with("\n") {
                answer.push('\n');
                answer.push_str(&talk.line());
            }
            answer
        })
        .collect()
}
