//! What was reported and acknowledged: the history that tells whether anything was lost.

/// How many of the clients report only once: what such a one said can be lost for good, while the others' next
/// reports would hide it.
const VISITORS_ONE_IN: usize = 5;

/// The clients of a herd, and what has been acknowledged of them. Times are nanoseconds since 1970; 0 is
/// before everything.
#[derive(Debug)]
pub(super) struct History {
    clients: Vec<Client>,
    /// How many clients report again and again; the others are visitors.
    roamers: usize,
    /// One report in this many is a visitor's.
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
    /// The latest report that was acknowledged, whatever became of the server since.
    acknowledged_ns: u64,
}

/// One report to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The number of the client.
    pub(super) client: usize,
    /// When the client was there.
    pub(super) time_ns: u64,
}

impl History {
    /// An empty history for `clients` clients; about `reports` reports are expected, over which the
    /// visitors are spread.
    pub(super) fn new(clients: usize, reports: u64) -> History {
        let visitors = clients / VISITORS_ONE_IN;
        let client =
            |number: usize| Client { name: format!("client-{number}"), last_ns: 0, acknowledged_ns: 0 };
        History {
            clients: (0..clients).map(client).collect(),
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

    /// The report to be sent next. The reporter that asks sends it, so a client turns up here and there; its times
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

    /// A report has been acknowledged.
    pub(super) fn acknowledge(&mut self, report: Report) {
        self.acknowledged += 1;
        let latest_ns = &mut self.clients[report.client].acknowledged_ns;
        *latest_ns = report.time_ns.max(*latest_ns);
    }

    /// How many reports have been acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many clients' latest acknowledged report is lost if `known_ns` is the latest that any server knows of each
    /// client, 0 for nothing.
    pub(super) fn lost(&self, known_ns: &[u64]) -> usize {
        let pairs = self.clients.iter().zip(known_ns);
        pairs.filter(|(client, known_ns)| client.acknowledged_ns > **known_ns).count()
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
        let mut history = History::new(10, 1_000);
        let mut last_ns = [0; 10];
        for _ in 0..100 {
            let Report { client, time_ns } = history.take(7);
            assert!(time_ns > last_ns[client], "{client}");
            last_ns[client] = time_ns;
        }
    }

    #[test]
    fn visitors_report_once_spread_over_the_run() {
        let mut history = History::new(10, 300);
        let visits: Vec<(usize, usize)> =
            (0..300).map(|at| (at, history.take(1).client)).filter(|(_, client)| *client >= 8).collect();
        assert_eq!(visits, [(99, 8), (199, 9)]);
    }

    #[test]
    fn report_that_no_server_knows_is_lost() {
        let mut history = History::new(5, 100);
        for report in [report(0, 20), report(0, 10), report(1, 10)] {
            history.acknowledge(report);
        }
        assert_eq!(history.lost(&[20, 10, 0, 0, 0]), 0);
        assert_eq!(history.lost(&[30, 10, 0, 0, 0]), 0, "later is as good");
        assert_eq!(history.lost(&[19, 10, 0, 0, 0]), 1);
        assert_eq!(history.lost(&[10, 0, 0, 0, 0]), 2);
        assert_eq!(history.acknowledged(), 3);
    }
}
