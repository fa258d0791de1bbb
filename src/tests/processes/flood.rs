//! Five real processes and many clients: who knows what, and how soon.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::real::{FIVE, FIVE_LINKS, RealHerd, ask, eventually, note, now};

#[test]
fn what_any_of_the_five_is_told_all_five_know() {
    let herd = RealHerd::five(&["--log-level", "info"]);
    let mut clients = Vec::new();
    let mut expected = Vec::new();
    for (at, name) in FIVE.iter().enumerate() {
        let mut talk = herd.client(name);
        for client in 0..200 {
            let client = format!("{name}-{client}");
            let location = format!("+{at}.5-118.445127");
            let line = ask(&mut talk, &format!("IAMAT {client} {location} 1621464827.959498503"));
            let (origin, rest) = line.strip_prefix("AT ").unwrap().split_once(' ').unwrap();
            assert_eq!(origin, *name);
            assert!(rest.ends_with(&format!(" {client} {location} 1621464827.959498503")), "{line}");
            clients.push(client);
            expected.push(line);
        }
    }
    let (_, took) = herd.wait_until_agreed(&FIVE, &clients, Some(&expected));
    note(format_args!("all five know all {} clients {took:?} after the last report", clients.len()));
}

#[test]
fn five_servers_started_together_are_ready_soon() {
    let since = now();
    let mut herd = RealHerd::new(&FIVE, &FIVE_LINKS, &[]);
    FIVE.iter().for_each(|name| herd.spawn(name));
    FIVE.iter().for_each(|name| herd.wait_until_ready(name));
    note(format_args!("five servers answer {:?} after the first was started", since.elapsed()));
    let line = ask(&mut herd.client("Hamilton"), "IAMAT kiwi +34-118 5");
    let kiwi = ["kiwi".to_owned()];
    eventually("the links are up", || (herd.answers("Powell", &kiwi)[0] == line).then_some(()));
    note(format_args!("and the first report has crossed the herd after {:?}", since.elapsed()));
}

#[test]
fn updates_take_a_tree_through_a_mesh_and_another_way_when_a_server_is_gone() {
    let links: Vec<(&str, &str)> =
        FIVE.iter().enumerate().flat_map(|(at, a)| FIVE[..at].iter().map(move |b| (*a, *b))).collect();
    let mut herd = RealHerd::with_http(&FIVE, &links, &[]);
    FIVE.iter().for_each(|name| herd.spawn(name));
    FIVE.iter().for_each(|name| herd.wait_until_ready(name));
    let since = now();
    let mut round = 0;
    let costs = eventually("every update costs four lines", || {
        round += 1;
        let before = lines_sent(&herd, &FIVE);
        let clients = report(&herd, &FIVE, round);
        herd.wait_until_agreed(&FIVE, &clients, None);
        let cost = lines_sent(&herd, &FIVE) - before;
        (cost == 4 * clients.len() as u64).then_some(cost)
    });
    note(format_args!(
        "a tree has formed after {:?}, and {costs} lines tell {} updates",
        since.elapsed(),
        costs / 4
    ));
    herd.kill_one(FIVE[1]);
    let others = [FIVE[0], FIVE[2], FIVE[3], FIVE[4]];
    let clients = report(&herd, &others, 0);
    let (_, took) = herd.wait_until_agreed(&others, &clients, None);
    note(format_args!("when one of them is gone, the others know everything {took:?} after the last report"));
}

/// Fifty clients report to each of these servers. Returns their names.
fn report(herd: &RealHerd, servers: &[&str], round: usize) -> Vec<String> {
    let clients: Vec<String> =
        (0..50 * servers.len()).map(|client| format!("round-{round}-{client}")).collect();
    for (name, clients) in servers.iter().zip(clients.chunks(50)) {
        let mut talk = herd.client(name);
        for client in clients {
            assert!(
                ask(&mut talk, &format!("IAMAT {client} +34.5-118.445127 1621464827.5")).starts_with("AT ")
            );
        }
    }
    clients
}

/// The lines that these servers have sent to neighbours so far.
fn lines_sent(herd: &RealHerd, servers: &[&str]) -> u64 {
    let count = |name: &&str| -> u64 {
        let address = herd.http(name);
        let mut socket = TcpStream::connect(address).unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut metrics = String::new();
        socket.read_to_string(&mut metrics).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("proxyherd_link_lines_total "));
        line.unwrap().parse().unwrap()
    };
    servers.iter().map(count).sum()
}
