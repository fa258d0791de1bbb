//! What was reported and acknowledged, and by whom: the book from which it is told whether anything was lost.

/// How many of the clients report only once: what such a one said can be lost for good, while the others' next
/// reports would hide it.
const VISITORS_ONE_IN: usize = 5;

/// The clients of a herd, and what each server has acknowledged of them. Times are nanoseconds since 1970; 0 is
/// before everything.
#[derive(Debug)]
pub(super) struct Book {
    clients: Vec<Client>,
    /// How often each server has been killed.
    deaths: Vec<u32>,
    /// How many clients report again and again; the others are visitors.
    roamers: usize,
    /// One report of so many is a visitor's.
    visitor_every: u64,
    visitors_seen: usize,
    taken: u64,
    acknowledged: u64,
}

/// One client.
#[derive(Clone, Debug)]
struct Client {
    name: String,
    last_ns: u64,
    /// The latest report that each server has acknowledged since it was last started.
    living_ns: Vec<u64>,
    /// The latest report that a server has acknowledged before it was killed.
    dead_ns: u64,
}

/// One report to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The number of the client.
    pub(super) client: usize,
    /// When the client was there.
    pub(super) time_ns: u64,
}

/// Acknowledged reports that nobody knows any more, of each client the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Acknowledged by a server that has lived since.
    pub(super) lost: usize,
    /// Acknowledged only by a server that was killed.
    pub(super) died: usize,
}

impl Book {
    /// An empty book for so many servers and clients; about `reports` reports are expected, over which the
    /// visitors are spread.
    pub(super) fn new(servers: usize, clients: usize, reports: u64) -> Book {
        let visitors = clients / VISITORS_ONE_IN;
        let client = |number: usize| Client {
            name: format!("client-{number}"),
            last_ns: 0,
            living_ns: vec![0; servers],
            dead_ns: 0,
        };
        Book {
            clients: (0..clients).map(client).collect(),
            deaths: vec![0; servers],
            roamers: clients - visitors,
            visitor_every: (reports / (visitors as u64 + 1)).max(2),
            visitors_seen: 0,
            taken: 0,
            acknowledged: 0,
        }
    }

    /// The names of all clients, in the order of their numbers.
    pub(super) fn names(&self) -> Vec<String> {
        self.clients.iter().map(|client| client.name.clone()).collect()
    }

    /// The report to be sent next. Whoever asks sends it, so a client turns up here and there; its times
    /// increase strictly.
    pub(super) fn take(&mut self, now_ns: u64) -> Report {
        self.taken += 1;
        let is_visit = self.taken.is_multiple_of(self.visitor_every)
            && self.roamers + self.visitors_seen < self.clients.len();
        let client = match is_visit {
            true => {
                self.visitors_seen += 1;
                self.roamers + self.visitors_seen - 1
            }
            false => (self.taken % self.roamers as u64) as usize,
        };
        let last_ns = &mut self.clients[client].last_ns;
        *last_ns = now_ns.max(*last_ns + 1);
        Report { client, time_ns: *last_ns }
    }

    /// The name of the client with this number.
    pub(super) fn name(&self, client: usize) -> &str {
        &self.clients[client].name
    }

    /// Which of its lives a server is in; a connection keeps what was so when it was made.
    pub(super) fn life(&self, server: usize) -> u32 {
        self.deaths[server]
    }

    /// A server has acknowledged a report in one of its lives.
    pub(super) fn acknowledge(&mut self, server: usize, life: u32, report: Report) {
        self.acknowledged += 1;
        let client = &mut self.clients[report.client];
        let latest_ns = match life == self.deaths[server] {
            true => &mut client.living_ns[server],
            false => &mut client.dead_ns,
        };
        *latest_ns = report.time_ns.max(*latest_ns);
    }

    /// A server was killed, and what it had in memory is gone.
    pub(super) fn killed(&mut self, server: usize) {
        self.deaths[server] += 1;
        for client in &mut self.clients {
            let living_ns = std::mem::take(&mut client.living_ns[server]);
            client.dead_ns = client.dead_ns.max(living_ns);
        }
    }

    /// How many reports have been acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What is lost if `known_ns` is the latest that any server knows of each client, 0 for nothing.
    pub(super) fn losses(&self, known_ns: &[u64]) -> Losses {
        let mut losses = Losses::default();
        for (client, &known_ns) in self.clients.iter().zip(known_ns) {
            let living_ns = client.living_ns.iter().copied().max().unwrap_or(0);
            if living_ns > known_ns {
                losses.lost += 1;
            } else if client.dead_ns > known_ns {
                losses.died += 1;
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(client: usize, time_ns: u64) -> Report {
        Report { client, time_ns }
    }

    #[test]
    fn times_of_a_client_increase_even_if_the_clock_stands_still() {
        let mut book = Book::new(5, 10, 1_000);
        let mut last_ns = [0; 10];
        for _ in 0..100 {
            let Report { client, time_ns } = book.take(7);
            assert!(time_ns > last_ns[client], "{client}");
            last_ns[client] = time_ns;
        }
    }

    #[test]
    fn visitors_report_once_spread_over_the_run() {
        let mut book = Book::new(5, 10, 300);
        let visits: Vec<(usize, usize)> =
            (0..300).map(|at| (at, book.take(1).client)).filter(|(_, client)| *client >= 8).collect();
        assert_eq!(visits, [(99, 8), (199, 9)]);
    }

    #[test]
    fn what_nobody_knows_is_lost_if_its_server_lives() {
        let mut book = Book::new(2, 5, 100);
        book.acknowledge(0, 0, report(0, 10));
        book.acknowledge(1, 0, report(0, 20));
        book.acknowledge(0, 0, report(1, 10));
        assert_eq!(book.losses(&[20, 10, 0, 0, 0]), Losses::default());
        assert_eq!(book.losses(&[30, 10, 0, 0, 0]), Losses::default(), "later is as good");
        assert_eq!(book.losses(&[10, 0, 0, 0, 0]), Losses { lost: 2, died: 0 });
        assert_eq!(book.acknowledged(), 3);
    }

    #[test]
    fn what_only_a_killed_server_had_acknowledged_died_with_it() {
        let mut book = Book::new(2, 5, 100);
        let life = book.life(1);
        book.acknowledge(0, 0, report(0, 10));
        book.acknowledge(1, life, report(0, 20));
        book.acknowledge(1, life, report(1, 20));
        book.killed(1);
        // Read from the old connection after the kill.
        book.acknowledge(1, life, report(2, 20));
        assert_eq!(book.losses(&[20, 20, 20, 0, 0]), Losses::default(), "others had been told");
        assert_eq!(book.losses(&[10, 0, 0, 0, 0]), Losses { lost: 0, died: 3 });
        assert_eq!(book.losses(&[9, 20, 20, 0, 0]), Losses { lost: 1, died: 0 }, "the living one knew 10");
        book.acknowledge(1, book.life(1), report(1, 30));
        assert_eq!(book.losses(&[20, 20, 20, 0, 0]), Losses { lost: 1, died: 0 }, "it lives again");
    }
}
