//! Five real processes and many clients: who knows what, and how soon.

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
