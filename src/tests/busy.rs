//! Servers with much to do at once, one of which comes and goes. Also what is run under ThreadSanitizer, which finds
//! threads that touch the same memory without a lock.

use std::thread;

use super::harness::{TestServer, catalogue, eventually, herd};

/// Connections that report at once.
const CONNECTIONS: usize = 6;

/// Lines of each connection, unless the variable says how many.
const LINES: usize = 2_000;
const LINES_VARIABLE: &str = "PROXYHERD_BUSY_LINES";

/// Lines that are on their way at once.
const WINDOW: usize = 50;

/// Few clients, so that connections report the same ones, some of them with the same time.
const CLIENTS: usize = 40;

/// How often the third server is stopped and started.
const RESTARTS: usize = 3;

#[test]
fn busy_servers_agree_although_one_comes_and_goes() {
    let lines = std::env::var(LINES_VARIABLE).map_or(LINES, |count| count.parse().unwrap());
    let links = [("Alford", "Bolden"), ("Bolden", "Campbell"), ("Alford", "Campbell")];
    let herd = herd(&["Alford", "Bolden", "Campbell"], &links, true);
    let start = |name| TestServer::start(&herd, name, catalogue());
    let (alford, bolden) = (start("Alford"), start("Bolden"));
    let mut campbell = Some(start("Campbell"));
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let server = [&alford, &bolden][connection % 2];
            scope.spawn(move || report(server, connection, lines));
        }
        for _ in 0..RESTARTS {
            let running = campbell.as_ref().unwrap();
            eventually("Campbell knows a client", || (running.clients_known() > 0).then_some(()));
            campbell.take().unwrap().stop();
            campbell = Some(start("Campbell"));
        }
    });
    let campbell = campbell.unwrap();
    let mut talks = [&alford, &bolden, &campbell].map(TestServer::client);
    eventually("all know the same", || {
        let counts = [&alford, &bolden, &campbell].map(TestServer::clients_known);
        if counts != [CLIENTS; 3] {
            return None;
        }
        (0..CLIENTS)
            .all(|client| {
                let lines = talks.each_mut().map(|talk| {
                    let line = talk.ask(&format!("WHATSAT c{client} 1 1"));
                    talk.json();
                    line
                });
                lines[0] == lines[1] && lines[1] == lines[2]
            })
            .then_some(())
    });
}

fn report(server: &TestServer, connection: usize, lines: usize) {
    let mut talk = server.client();
    for window in 0..lines / WINDOW {
        let numbers = window * WINDOW..(window + 1) * WINDOW;
        let told: String = numbers
            .map(|number| {
                let (client, time) = ((number * 7 + connection) % CLIENTS, 1_700_000_000 + number);
                format!("IAMAT c{client} +34.{connection}-118.4 {time}\n")
            })
            .collect();
        talk.send(told);
        (0..WINDOW).for_each(|_| assert!(talk.line().starts_with("AT ")));
    }
}
