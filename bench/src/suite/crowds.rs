//! `crowds`: abusive clients, each kind by itself, and what probes notice of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxyherd::config::Address;

use super::address::{ALONE, ONE_OF_TWO};
use super::bench::Bench;
use super::crowd_bound::{Bound, NAMES_MIB, lost};
use super::limits::connections_max;
use super::options::Name;
use super::results::{Figures, Record, label, point};
use super::server::{Servers, Start};
use super::slow_places::{SlowPlaces, State};
use super::variant::Variant;
use crate::abusive_clients::behaviour::Behaviour;
use crate::abusive_clients::count::Count;
use crate::abusive_clients::fleet_process::FleetProcess;
use crate::abusive_clients::neighbour;
use crate::abusive_clients::probe::{self, Probe, Probes};
use crate::abusive_clients::verdict::{Seen, Verdict, late};
use crate::abusive_clients::watch::{Dropped, Look, look, watch};
use crate::load::clock;
use crate::table::table;

/// How long honest clients are alone, before the crowd.
const ALONE_FOR: Duration = Duration::from_secs(2);

/// Probes that begin so soon after the crowd has gone are beside it too: the server still clears up.
const CLEARING_UP: Duration = Duration::from_secs(1);

/// Crowds that keep a processor busy need fewer members than those that wait.
const BUSY_SHARE: u32 = 10;

/// Connections of strangers at once.
const STRANGERS: u32 = 1_000;
/// Clients that ask what costs money: as many as have made 189 calls a second where no budget was.
const ASKERS: u32 = 40;

/// How long the provider of places takes that they ask.
const PLACES_DELAY: Duration = Duration::from_millis(10);

/// How the names begin of the server's counters of refused and cut off clients.
const REASONS: [&str; 6] = [
    "server_over_",
    "server_out_of_",
    "server_turned_away",
    "server_idle_displaced",
    "server_unauthenticated_displaced",
    "server_mqtt_refused",
];

const TITLES: [&str; 10] = [
    "crowd",
    "members",
    "alone p50, ms",
    "fresh client p50 / p99 / max, ms",
    "refused or cut off",
    "server's memory before / peak / after, MiB",
    "TCP's, MiB",
    "overflows",
    "against its bound",
    "verdict",
];

/// One crowd.
#[derive(Clone, Debug)]
struct Plan {
    behaviour: Behaviour,
    size: u32,
    /// How long it stays once all have gathered.
    hold: Duration,
    /// Until memory is looked at when it has gone.
    rest: Duration,
    /// Options of the server that are not at their defaults.
    extra: Vec<String>,
}

/// What was seen of one crowd.
struct Sight {
    probes: Probes,
    /// Of a neighbour, where one can come.
    neighbour: Vec<Probe>,
    looks: Vec<Look>,
    count: Count,
    dropped: Dropped,
    /// When the crowd began to come, had gathered, was told to go, and had gone.
    crowd_ns: u64,
    gathered_ns: u64,
    told_ns: u64,
    gone_ns: u64,
}

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let Some(variant) = bench.variants(|able| able.threads && able.herd).into_iter().next() else {
        return bench.skip("crowds", "they are for the threaded server");
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    bench.say(&format!("load of this machine before: {}", load.trim()))?;
    let mut records = Vec::new();
    for plan in plans(bench) {
        records.push(plan.measure(bench, &variant)?);
    }
    bench.say(&table(&TITLES, &records.iter().map(row).collect::<Vec<_>>()))
}

fn plans(bench: &Bench<'_>) -> Vec<Plan> {
    let size = connections_max(Name::Crowds, bench.scale());
    let seconds = |quick, full| Duration::from_secs(bench.either(quick, full));
    // Both are 30 s by default, which would take minutes.
    let line_time = bench.either(["--line-time-max", "2s"], ["--line-time-max", "10s"]);
    let reply_time = bench.either(["--reply-time-max", "2s"], ["--reply-time-max", "10s"]);
    let plan = |behaviour, size, hold, extra: &[&str]| Plan {
        behaviour,
        size,
        hold,
        // Threads that have no connection to serve end after 10 s.
        rest: seconds(1, 12),
        extra: extra.iter().map(ToString::to_string).collect(),
    };
    let mut plans = vec![
        plan(Behaviour::Drip, size, seconds(5, 25), &line_time),
        plan(Behaviour::Endless, size / BUSY_SHARE, seconds(3, 10), &[]),
        plan(Behaviour::Deaf, size, seconds(5, 25), &reply_time),
        plan(Behaviour::Storm, size, seconds(5, 17), &[]),
        plan(Behaviour::Noise, size / BUSY_SHARE, seconds(3, 10), &[]),
        plan(Behaviour::Split, size / BUSY_SHARE, seconds(3, 10), &[]),
        // They hold all places; the first of them has said nothing for long enough when the last has come.
        plan(
            Behaviour::Vanished,
            size,
            seconds(3, 10),
            &["--connections-max", &size.to_string(), "--idle-time-when-full", "500ms"],
        ),
        // Over a thousand a second: each is there for half a second, unless it must give way.
        plan(Behaviour::Strangers, STRANGERS, seconds(3, 10), &[]),
        plan(
            Behaviour::LongNames,
            size / BUSY_SHARE,
            seconds(3, 10),
            &["--memory-max", &format!("{NAMES_MIB}MiB")],
        ),
        plan(Behaviour::Rubbish, size / BUSY_SHARE, seconds(3, 10), &[]),
        plan(Behaviour::Paid, ASKERS, seconds(5, 17), &["--places", "google-legacy"]),
        plan(Behaviour::MqttDeaf, size, seconds(5, 25), &reply_time),
        plan(Behaviour::MqttHalf, size, seconds(5, 25), &line_time),
        plan(Behaviour::MqttGiant, size / BUSY_SHARE, seconds(3, 10), &[]),
        plan(Behaviour::MqttStorm, size, seconds(5, 30), &[]),
    ];
    plans.retain(|plan| bench.wants(plan.behaviour));
    plans
}

impl Plan {
    fn measure(&self, bench: &mut Bench<'_>, variant: &Variant) -> io::Result<Record> {
        let at = point(&[("crowd", &self.behaviour.words()), ("members", &self.size)]);
        let options = point(&[("hold_s", &self.hold.as_secs()), ("server", &self.extra.join(" "))]);
        if let Some(done) = bench.done(&at, &options).pop() {
            bench.say(&format!("{}: done before", label(&at)))?;
            return Ok(done);
        }
        let mut record = Record { point: at, variant: variant.name.clone(), options, ..Record::default() };
        let mut remarks = Vec::new();
        for _ in 0..bench.rounds(1, 3) {
            match self.see(bench, variant) {
                Ok((figures, verdict)) => {
                    record.rounds.push(figures);
                    remarks.push(verdict.words());
                    if !verdict.failed.is_empty() {
                        record.failed = Some(verdict.failed.join("; "));
                    }
                }
                Err(why) => record.failed = Some(why),
            }
        }
        record.remark = Some(remarks.join(" / ")).filter(|remark| !remark.is_empty());
        bench.say(&format!("{}: {}", label(&record.point), record.remark.as_deref().unwrap_or("-")))?;
        if let Some(why) = &record.failed {
            bench.fail(&label(&record.point), why)?;
        }
        bench.keep(record.clone())?;
        Ok(record)
    }

    fn see(&self, bench: &Bench<'_>, variant: &Variant) -> Result<(Figures, Verdict), String> {
        // Only at this level does the log tell at the end what was counted.
        let extra: Vec<String> =
            ["--log-level", "info"].map(str::to_owned).into_iter().chain(self.extra.clone()).collect();
        if self.behaviour != Behaviour::Paid {
            return self.see_with(bench, variant, &extra, || None);
        }
        let state = State::default();
        thread::scope(|scope| {
            let places = SlowPlaces::start(scope, &state, PLACES_DELAY).map_err(|error| error.to_string())?;
            let extra = [&extra[..], &["--places-url".to_owned(), places.url()]].concat();
            self.see_with(bench, variant, &extra, || Some(places.answers()))
        })
    }

    fn see_with(
        &self,
        bench: &Bench<'_>,
        variant: &Variant,
        extra: &[String],
        paid_calls: impl FnOnce() -> Option<u64>,
    ) -> Result<(Figures, Verdict), String> {
        let shape = if self.behaviour.is_at_peer_port() { ONE_OF_TWO } else { ALONE };
        let variant = if self.behaviour.is_of_mqtt() { &variant.at_mqtt() } else { variant };
        let servers = bench.start(variant, Start { shape, extra, cpu: None })?;
        let sight = self.stand_by(&servers)?;
        let last = look(servers.pids()[0]).ok_or("the server has ended")?;
        let log_bytes = servers.log_bytes(0);
        let counters = servers.stop()?.first().map(|line| counters(line)).unwrap_or_default();
        let (mut figures, mut verdict) = self.judge(&sight, last, &counters);
        figures.insert("log_mib".to_owned(), log_bytes as f64 / f64::from(1 << 20));
        if let Some(calls) = paid_calls() {
            figures.insert("paid_calls".to_owned(), calls as f64);
        }
        verdict.failed.extend(Bound::of(self.behaviour).and_then(|bound| bound.exceeded(&figures)));
        Ok((figures, verdict))
    }

    /// Lets the crowd come to one port and go while honest clients visit that of the clients.
    fn stand_by(&self, servers: &Servers) -> Result<Sight, String> {
        let (pid, members) = (servers.pids()[0], servers.herd.members());
        let server = &members[0];
        let at = |address: &Address| address.resolve().map_err(|error| error.to_string());
        let (lines, mqtt) = (at(&server.client)?, server.mqtt.as_ref().map(at).transpose()?);
        let plain = if self.behaviour.is_at_peer_port() { at(&server.peer)? } else { lines };
        let crowded = mqtt.unwrap_or(plain);
        let is_over = &AtomicBool::new(false);
        thread::scope(|scope| {
            let looks = scope.spawn(move || watch(pid, is_over));
            let neighbour =
                members.get(1).map(|other| scope.spawn(|| neighbour::visits(server, other, is_over)));
            let dropped = Dropped::look();
            let (sight, probes) = probe::beside(lines, mqtt, || {
                thread::sleep(ALONE_FOR);
                let crowd_ns = clock::monotonic_ns();
                let crowd = FleetProcess::gather(self.behaviour, self.size, crowded)?;
                let gathered_ns = clock::monotonic_ns();
                thread::sleep(self.hold);
                let told_ns = clock::monotonic_ns();
                let count = crowd.end()?;
                let gone_ns = clock::monotonic_ns();
                thread::sleep(self.rest.max(CLEARING_UP));
                Ok((count, crowd_ns, gathered_ns, told_ns, gone_ns))
            });
            is_over.store(true, Ordering::Relaxed);
            let looks = looks.join().map_err(|_| "the watching thread has failed")?;
            let neighbour = neighbour.map_or(Ok(Vec::new()), |visits| visits.join());
            let neighbour = neighbour.map_err(|_| "no neighbour has come")?;
            let (count, crowd_ns, gathered_ns, told_ns, gone_ns) = sight.map_err(|why: String| why)?;
            let dropped = Dropped::look().since(dropped);
            Ok(Sight { probes, neighbour, looks, count, dropped, crowd_ns, gathered_ns, told_ns, gone_ns })
        })
    }

    fn judge(&self, sight: &Sight, last: Look, counters: &BTreeMap<String, u64>) -> (Figures, Verdict) {
        let Sight { probes, neighbour, looks, count, dropped, crowd_ns, gathered_ns, told_ns, gone_ns } =
            sight;
        let end_ns = gone_ns + clock::ns(CLEARING_UP);
        let (alone, rest): (Vec<Probe>, Vec<Probe>) =
            probes.fresh.iter().cloned().partition(|visit| visit.began_ns + visit.took_ns < *crowd_ns);
        let beside: Vec<Probe> = rest.into_iter().filter(|visit| visit.began_ns < end_ns).collect();
        let during = |from_ns: u64, to_ns: u64| -> Vec<Look> {
            looks.iter().copied().filter(|look| (from_ns..to_ns).contains(&look.at_ns)).collect()
        };
        let bugs = counters.get("bugs").copied().unwrap_or(0);
        let mut verdict = Verdict::on(&Seen {
            behaviour: self.behaviour,
            fresh: &beside,
            steady: &probes.steady,
            looks: &during(*gathered_ns, *told_ns),
            count,
            dropped: *dropped,
            bugs,
        });
        let (before, peak) = (during(0, *crowd_ns), during(*crowd_ns, *gone_ns));
        let most = |looks: &[Look], of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap_or(0) as f64;
        let mut figures = Figures::from(
            [
                ("gathered_seconds", (gathered_ns - crowd_ns) as f64 / 1e9),
                ("fresh", beside.len() as f64),
                ("fresh_late", late(&beside) as f64),
                ("rss_before_kib", most(&before, |look| look.rss_kib)),
                ("rss_peak_kib", most(&peak, |look| look.rss_kib)),
                ("rss_after_kib", last.rss_kib as f64),
                ("kernel_tcp_before_kib", most(&before, |look| look.tcp_kib)),
                ("kernel_tcp_peak_kib", most(&peak, |look| look.tcp_kib)),
                ("kernel_tcp_after_kib", last.tcp_kib as f64),
                ("listen_overflows", dropped.overflows as f64),
                ("listen_drops", dropped.drops as f64),
                ("server_cpu_seconds", last.cpu_seconds - before.first().map_or(0.0, |it| it.cpu_seconds)),
                ("crowd_cpu_seconds", count.cpu_seconds),
                ("crowd_connected", count.connected as f64),
                ("crowd_not_connected", count.not_connected as f64),
                ("crowd_cut", count.cut as f64),
                ("crowd_refused", count.refused as f64),
                ("crowd_right", count.right as f64),
                ("crowd_sent_bytes", count.bytes_sent as f64),
                ("crowd_received_bytes", count.bytes_received as f64),
            ]
            .map(|(name, figure)| (name.to_owned(), figure)),
        );
        keep(&mut figures, "alone", &alone);
        keep(&mut figures, "fresh", &beside);
        keep(&mut figures, "steady", &probes.steady);
        for (name, count) in counters.iter().filter(|(_, count)| **count > 0) {
            figures.insert(format!("server_{name}"), *count as f64);
        }
        let grown_mib = (figures["rss_peak_kib"] - figures["rss_before_kib"]) / 1024.0;
        figures.insert("grown_mib".to_owned(), grown_mib);
        figures.insert("kib_per_member".to_owned(), grown_mib * 1024.0 / f64::from(self.size));
        figures.insert(
            "fresh_max_seconds".to_owned(),
            figures.get("fresh_max_us").copied().unwrap_or(0.0) / 1e6,
        );
        verdict.failed.extend(lost(self.behaviour, count, counters));
        // A visit that began before the crowd came may last until it is there.
        let met = neighbour.iter().filter(|visit| visit.began_ns + visit.took_ns >= *crowd_ns);
        if let Some(longest_ns) = met.map(|visit| visit.took_ns).max() {
            figures.insert("neighbour_visits".to_owned(), neighbour.len() as f64);
            figures.insert("neighbour_seconds_max".to_owned(), longest_ns as f64 / 1e9);
        }
        if let Some(trouble) = neighbour.iter().find_map(|visit| visit.trouble.as_deref()) {
            verdict.failed.push(format!("a neighbour was kept out: {trouble}"));
        }
        (figures, verdict)
    }
}

/// The quantiles of how long visits took, for the figures.
fn keep(figures: &mut Figures, name: &str, probes: &[Probe]) {
    let mut times: Vec<u64> = probes.iter().map(|visit| visit.took_ns).collect();
    times.sort_unstable();
    for (percent, end) in [(50, "p50_us"), (99, "p99_us"), (100, "max_us")] {
        // The least time within which this share of them was done.
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        if let Some(time_ns) = times.get(at) {
            figures.insert(format!("{name}_{end}"), *time_ns as f64 / 1e3);
        }
    }
}

/// What the server has counted: `stopped: name=number ...`.
fn counters(line: &str) -> BTreeMap<String, u64> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

/// A row of the table: medians of the rounds, and a verdict.
fn row(record: &Record) -> Vec<String> {
    let of = |name: &str| record.point.get(name).cloned().unwrap_or_default();
    let verdict = record.remark.clone().or(record.failed.clone()).unwrap_or_default();
    let Some(figures) = record.rounds.first() else {
        let mut row = vec![of("crowd"), of("members")];
        row.resize(TITLES.len() - 1, "-".to_owned());
        row.push(verdict);
        return row;
    };
    let bound = Behaviour::named(&of("crowd")).and_then(Bound::of);
    let figure = |name: &str| record.stats(name).map_or(0.0, |stats| stats.median);
    let ms = |name: &str| format!("{:.1}", figure(name) / 1e3);
    let mib = |name: &str| format!("{:.0}", figure(name) / 1024.0);
    vec![
        of("crowd"),
        of("members"),
        ms("alone_p50_us"),
        format!("{} / {} / {}", ms("fresh_p50_us"), ms("fresh_p99_us"), ms("fresh_max_us")),
        reasons(record, figures, &record.options["server"]),
        format!("{} / {} / {}", mib("rss_before_kib"), mib("rss_peak_kib"), mib("rss_after_kib")),
        format!("{} / {}", mib("kernel_tcp_before_kib"), mib("kernel_tcp_peak_kib")),
        format!("{}", figure("listen_overflows")),
        bound.map_or("-".to_owned(), |bound| bound.shown(figure)),
        verdict,
    ]
}

/// Why the server has refused or cut off clients, and how often; and what the clients read about that.
fn reasons(record: &Record, figures: &Figures, told: &str) -> String {
    let is_reason = |name: &str| REASONS.iter().any(|reason| name.starts_with(reason));
    let counted = figures.keys().filter(|name| is_reason(name));
    let median = |name: &str| record.stats(name).map_or(0.0, |stats| stats.median);
    let mut reasons: Vec<String> =
        counted.map(|name| format!("{} {:.0}", name.trim_start_matches("server_"), median(name))).collect();
    if reasons.is_empty() {
        reasons.push("nobody".to_owned());
    }
    let told = if told.is_empty() { String::new() } else { format!(" ({told})") };
    format!("{}{told}", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_was_cut_off_and_why() {
        let figures = [("server_over_line_time", 7.0), ("server_applied", 9.0), ("fresh_p99_us", 1_250.0)];
        let seen = Record {
            point: point(&[("crowd", &"drip"), ("members", &10)]),
            options: point(&[("server", &"--line-time-max 2s")]),
            rounds: vec![figures.map(|(name, figure)| (name.to_owned(), figure)).into()],
            remark: Some("as it should be".to_owned()),
            ..Record::default()
        };
        let unseen =
            Record { rounds: Vec::new(), remark: None, failed: Some("died".to_owned()), ..seen.clone() };
        let text = table(&TITLES, &[row(&seen), row(&unseen)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("| 0.0 / 1.2 / 0.0 "), "{}", lines[2]);
        assert!(lines[2].contains("| over_line_time 7 (--line-time-max 2s) |"), "{}", lines[2]);
        assert!(lines[3].contains("| died "), "{}", lines[3]);
    }
}
