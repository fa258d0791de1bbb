//! Herds with every mistake that is known, and some without.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

/// A herd of these servers, with addresses by position, and these links.
fn toml(servers: &[&str], links: &[[&str; 2]]) -> String {
    let mut text = format!("links = {links:?}\n");
    for (at, server) in servers.iter().enumerate() {
        let (client, peer) = (20_000 + at, 30_000 + at);
        writeln!(text, "[servers.{server:?}]\nclient = \"127.0.0.1:{client}\"\npeer = \"127.0.0.1:{peer}\"")
            .unwrap();
    }
    text
}

/// The sentence that refuses `text`.
fn refusal(text: &str) -> String {
    let message = crate::config::parse(text).expect_err("this herd should be refused").to_string();
    assert!(!message.contains('\n'), "one line, not {message:?}");
    message
}

fn names(herd: &Herd, of: &str) -> Vec<String> {
    let neighbours = herd.neighbours(&ServerName::parse(of).unwrap());
    neighbours.iter().map(|member| member.name.to_string()).collect()
}

#[test]
fn the_built_in_herd_is_the_default_one() {
    let herd = Herd::built_in();
    let listed: Vec<String> =
        herd.members().iter().map(|it| format!("{} {} {}", it.name, it.client, it.peer)).collect();
    assert_eq!(
        listed,
        [
            "Alford 127.0.0.1:12550 127.0.0.1:12650",
            "Bolden 127.0.0.1:12551 127.0.0.1:12651",
            "Hamilton 127.0.0.1:12552 127.0.0.1:12652",
            "Parker 127.0.0.1:12553 127.0.0.1:12653",
            "Powell 127.0.0.1:12554 127.0.0.1:12654",
        ]
    );
    assert!(herd.catch_up);
    assert_eq!(names(&herd, "Alford"), ["Parker", "Powell"]);
    assert_eq!(names(&herd, "Bolden"), ["Parker", "Powell"]);
    assert_eq!(names(&herd, "Hamilton"), ["Parker"]);
    assert_eq!(names(&herd, "Parker"), ["Alford", "Bolden", "Hamilton"]);
    assert_eq!(names(&herd, "Powell"), ["Alford", "Bolden"]);
    assert!(names(&herd, "Nobody").is_empty());
    assert_eq!(herd.known("Parker").unwrap().peer.port(), 12_653);
    assert_eq!(
        herd.known("parker").unwrap_err().to_string(),
        "\"parker\" is not a server of the herd: choose one of Alford, Bolden, Hamilton, Parker, Powell"
    );
}

#[test]
fn the_herd_of_2022_is_read() {
    let herd = crate::config::parse(&toml(
        &["Jaquez", "Clark", "Bona", "Campbell", "Bailey"],
        &[
            ["Clark", "Jaquez"],
            ["Clark", "Bona"],
            ["Campbell", "Bailey"],
            ["Campbell", "Bona"],
            ["Campbell", "Jaquez"],
            ["Bona", "Bailey"],
        ],
    ))
    .unwrap();
    assert_eq!(names(&herd, "Campbell"), ["Bailey", "Bona", "Jaquez"]);
    assert_eq!(names(&herd, "Bona"), ["Bailey", "Campbell", "Clark"]);
    assert_eq!(names(&herd, "Clark"), ["Bona", "Jaquez"]);
    assert_eq!(names(&herd, "Bailey"), ["Bona", "Campbell"]);
    assert_eq!(names(&herd, "Jaquez"), ["Campbell", "Clark"]);
    // The herd has an order of its own, whatever the order of the file.
    assert_eq!(herd.members()[0].name.as_str(), "Bailey");
    assert!(herd.links().is_sorted() && herd.links().iter().all(|(a, b)| a < b));
}

#[test]
fn a_printed_herd_is_read_back() {
    let lonely = "catch_up = false\n[servers.'node-1.example']\nclient = '[::1]:1'\npeer = '[::1]:2'";
    for herd in [Herd::built_in(), crate::config::parse(lonely).unwrap()] {
        assert_eq!(
            crate::config::parse(&crate::config::to_toml(&herd)).unwrap(),
            herd,
            "{}",
            crate::config::to_toml(&herd)
        );
    }
}

#[test]
fn one_server_without_links_is_a_herd() {
    let herd = crate::config::parse(&toml(&["Alone"], &[])).unwrap();
    assert_eq!(herd.members().len(), 1);
    assert_eq!(crate::config::draw(&herd), "Alone\n");
}

#[test]
fn a_herd_needs_a_server_and_has_at_most_a_thousand() {
    assert_eq!(
        refusal(""),
        "the herd has no server: add a table such as [servers.Alford] with client and peer addresses"
    );
    let many: Vec<String> = (0..=SERVERS_MAX).map(|at| format!("s{at}")).collect();
    let mut refs: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refusal(&toml(&refs, &[])), "the herd has 1001 servers; at most 1000 are possible");
    refs.pop();
    let chain: Vec<[&str; 2]> = refs.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    let largest = crate::config::parse(&toml(&refs, &chain)).unwrap();
    assert_eq!(crate::config::draw(&largest).lines().count(), SERVERS_MAX);
}

#[test]
fn quotes_are_short_and_command_no_terminal() {
    let long = "x".repeat(3_000);
    let address = toml(&["A"], &[]).replace("127.0.0.1:20000", &long);
    for text in [format!("{long} = 1"), toml(&[&long], &[]), toml(&["A"], &[["A", &long]]), address] {
        let message = refusal(&text);
        assert!(message.len() < 500 && message.contains("xxx"), "{message}");
    }
    let message = refusal("\"\\u001b[31m\\u0085\" = 1");
    assert!(message.contains("unknown field ` [31m `"), "{message:?}");
}

#[test]
fn names_are_checked() {
    let message = refusal(&toml(&["Al ford"], &[]));
    assert!(
        message.starts_with("\"Al ford\" cannot be the name of a server: a server's name has"),
        "{message}"
    );
    let message = refusal(&toml(&["A", "B"], &[["A", "../B"]]));
    assert!(message.starts_with("\"../B\" cannot be the name of a server"), "{message}");
    assert_eq!(
        refusal(&toml(&["A", "A"], &[])),
        "line 5, column 10: this name is there twice: rename or remove one of them"
    );
    let twice = vec![Herd::built_in().members()[0].clone(); 2];
    assert_eq!(
        Herd::new(twice, Vec::new(), true).unwrap_err().to_string(),
        "there are two servers named Alford: rename one of them"
    );
}

#[test]
fn addresses_are_checked() {
    let herd = |client: &str, peer: &str| format!("[servers.A]\nclient = {client:?}\npeer = {peer:?}");
    for bad in ["", "localhost", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x"] {
        assert_eq!(
            refusal(&herd(bad, "127.0.0.1:2")),
            format!(
                "the client address of A is {bad:?}: it needs an IP address or a name, and a port from 1 to 65535, \
                 as in \"127.0.0.1:12550\""
            )
        );
    }
    assert_eq!(
        refusal(&herd("127.0.0.1:1", "127.0.0.1:0")),
        "the peer address of A is \"127.0.0.1:0\": it needs a port from 1 to 65535, as in \"127.0.0.1:12550\""
    );
    assert_eq!(
        refusal(&herd("0.0.0.0:1", "0.0.0.0:2")),
        "the peer address of A is \"0.0.0.0:2\": the other servers dial it, so it needs a name or the address of an \
         interface, as in \"127.0.0.1:12550\"; where it listens is listen_peer"
    );
    assert!(crate::config::parse(&herd("0.0.0.0:1", "[::1]:1")).is_ok());
}

#[test]
fn an_address_is_used_once() {
    let herd = |a: [&str; 2], b: [&str; 2]| {
        format!(
            "links = [['A', 'B']]\n[servers.A]\nclient = {:?}\npeer = {:?}\n\
             [servers.B]\nclient = {:?}\npeer = {:?}",
            a[0], a[1], b[0], b[1]
        )
    };
    let one = "127.0.0.1:1";
    let cases = [
        (herd([one, one], ["127.0.0.1:2", "127.0.0.1:3"]), "client address of A", "peer address of A"),
        (herd([one, "127.0.0.1:2"], [one, "127.0.0.1:3"]), "client address of A", "client address of B"),
        (herd([one, "127.0.0.1:2"], ["127.0.0.1:3", one]), "client address of A", "peer address of B"),
        (herd(["127.0.0.1:2", one], ["127.0.0.1:3", one]), "peer address of A", "peer address of B"),
        (
            herd([one, "127.0.0.1:2"], ["[::ffff:127.0.0.1]:1", "127.0.0.1:3"]),
            "client address of A",
            "client address of B",
        ),
    ];
    for (text, first, second) in cases {
        assert_eq!(
            refusal(&text),
            format!("the {first} and the {second} are both 127.0.0.1:1: give each an address of its own")
        );
    }
    assert!(crate::config::parse(&herd([one, "127.0.0.2:1"], ["127.0.0.3:1", "[::1]:1"])).is_ok());
}

#[test]
fn links_are_checked() {
    let servers = ["A", "B", "C"];
    assert_eq!(
        refusal(&toml(&servers, &[["A", "B"], ["B", "D"]])),
        "the link B-D names \"D\", which is not a server of the herd: choose one of A, B, C"
    );
    assert_eq!(
        refusal(&toml(&servers, &[["A", "B"], ["C", "B"], ["C", "C"]])),
        "C is linked to itself: remove that link"
    );
    for again in [["A", "B"], ["B", "A"]] {
        assert_eq!(
            refusal(&toml(&servers, &[["A", "B"], ["B", "C"], again])),
            "the link A-B is there twice (a link works in both directions): remove one of them"
        );
    }
}

#[test]
fn every_server_reaches_every_other() {
    assert_eq!(
        refusal(&toml(&["A", "B", "C", "D", "E"], &[["A", "C"], ["B", "D"], ["D", "E"], ["E", "B"]])),
        "A, C cannot reach B, D, E: add a link between them"
    );
    assert_eq!(refusal(&toml(&["A", "B"], &[])), "A cannot reach B: add a link between them");
    let many: Vec<String> = (0..20).map(|at| format!("s{at:02}")).collect();
    let refs: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        refusal(&toml(&refs, &[])),
        "s00 cannot reach s01, s02, s03, s04, s05, s06, s07, s08, s09, s10, s11, s12 and 7 more: \
         add a link between them"
    );
}

#[test]
fn toml_mistakes_are_located() {
    let cases = [
        ("links = [", "line 1, column "),
        ("catchup = true", "line 1, column 1: unknown field `catchup`"),
        ("catch_up = 1", "line 1, column 12: invalid type: integer `1`, expected a boolean"),
        ("\n[servers.A]\npeer = '127.0.0.1:1'", "line 2, column 1: missing field `client`"),
        ("[servers.A]\nclient = '1'\npeer = '2'\nport = 3", "line 4, column 1: unknown field `port`"),
        ("links = [['A']]", "line 1, column 10: a link is the names of two servers"),
        ("links = [['A', 'B'],\n  ['A', 'B', 'C']]", "line 2, column 3: a link is the names of two servers"),
        ("links = 'é' 'x'", "line 1, column 13: "),
        ("catch_up = true\ncatch_up = false", "line 2, column 1: this name is there twice"),
    ];
    for (text, begins) in cases {
        let message = refusal(text);
        assert!(message.starts_with(begins), "{text:?}: {message}");
    }
}

#[test]
fn files_are_read_or_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let refused = |path: &Path| crate::config::load(path).unwrap_err().to_string();

    assert!(refused(&path).starts_with(&format!("cannot read the herd file {}: ", path.display())));
    assert!(refused(dir.path()).starts_with("cannot read the herd file "));
    fs::write(&path, crate::config::to_toml(&Herd::built_in())).unwrap();
    assert_eq!(crate::config::load(&path).unwrap(), Herd::built_in());
    fs::write(&path, toml(&["A", "B"], &[])).unwrap();
    assert_eq!(refused(&path), format!("{}: A cannot reach B: add a link between them", path.display()));
    fs::write(&path, b"links = [] # \xff").unwrap();
    assert!(refused(&path).starts_with("cannot read the herd file "));
    fs::write(&path, " ".repeat((4 << 20) + 1)).unwrap();
    assert!(refused(&path).ends_with("has more than 4194304 bytes: is it the right file?"));
}

#[test]
fn links_are_drawn_as_wires() {
    let expected = "
Alford    --o--o
            |  |
Bolden    --|--|--o--o
            |  |  |  |
Hamilton  --|--|--|--|--o
            |  |  |  |  |
Parker    --o--|--o--|--o
               |     |
Powell    -----o-----o
";
    assert_eq!(crate::config::draw(&Herd::built_in()), expected[1..]);
}

#[test]
fn many_links_are_listed() {
    let servers = ["A", "Bb", "C", "D", "E", "F", "G", "H", "I"];
    let mut links = Vec::new();
    for (at, a) in servers.iter().enumerate() {
        links.extend(servers[at + 1..].iter().map(|b| [*a, *b]));
    }
    let drawing = crate::config::draw(&crate::config::parse(&toml(&servers, &links)).unwrap());
    assert_eq!(drawing.lines().count(), servers.len());
    assert_eq!(drawing.lines().next().unwrap(), "A   -- Bb C D E F G H I");
}

/// What people write, and what they are told to write instead.
#[test]
fn every_mistake_is_answered_by_what_to_do() {
    const ADDRESSES: &str = "client = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n";
    let herd = |first: &str| format!("{first}\n[servers.A]\n{ADDRESSES}");
    let server = |lines: &str| format!("[servers.A]\n{lines}");
    let table = |name: &str| format!("{name}\n{ADDRESSES}");
    let client = |value: &str| format!("[servers.A]\nclient = {value}\npeer = '127.0.0.1:2'\n");
    let example = "write an IP address or a name, and a port, in quotes, as in client = \"127.0.0.1:12550\"";
    let pairs = "links are pairs of names in quotes, as in links = [[\"Alford\", \"Bolden\"]]";
    let boolean = "write true or false, in small letters and without quotes";
    let of_its_own = "a server is a table of its own, as in [servers.Alford], with its addresses below";
    let cases = [
        (client("127.0.0.1:1"), "put the value in quotes, \" before and after: client = \"127.0.0.1:1\""),
        (client("alford.example"), "as in client = \"alford.example:12550\""),
        (client("12550"), example),
        (client("“127.0.0.1:1”"), "before and after: client = \"127.0.0.1:1\""),
        (client("[::1]:5"), "before and after: client = \"[::1]:5\""),
        (client("'localhost'"), "it needs an IP address or a name, and a port from 1 to 65535"),
        (client("'224.0.0.1:1'"), "it needs the address of a machine, and not of many"),
        (client("'255.255.255.255:1'"), "it needs the address of a machine, and not of many"),
        (server(&format!("{ADDRESSES}catch_up = true")), "`catch_up` belongs at the top of the file"),
        (server(&format!("{ADDRESSES}links = []")), "`links` belongs at the top of the file"),
        (ADDRESSES.to_owned(), "`client` belongs below the table of a server, such as [servers.Alford]"),
        (
            table("[servers.node-1.example]"),
            "a name with a dot in it needs quotes: [servers.\"node-1.example\"]",
        ),
        (table("[server.A]"), "the table of a server is [servers.NAME], so write [servers.A]"),
        (table("[A]"), "the table of a server is [servers.NAME], so write [servers.A]"),
        (table("[[servers]]\nname = 'A'"), of_its_own),
        (table("[[server]]\nname = 'A'"), "so write [servers.server]"),
        ("[servers]\nA = '127.0.0.1:1'".to_owned(), of_its_own),
        (table("[servers.A"), "write `]` at the end of the table's name"),
        (server("client: '127.0.0.1:1'"), "write `=` and not `:` between a key and its value"),
        ("servers:\n  A:\n    client: 1".to_owned(), "write `=` and not `:` between a key and its value"),
        (
            "{\"servers\": {}}".to_owned(),
            "this is JSON, and a herd file is TOML: `proxyherd herd` prints one",
        ),
        (server("Client = '127.0.0.1:1'"), "unknown field `Client`, expected one of `client`"),
        (
            server("peer = '127.0.0.1:2'"),
            "missing field `client`: add it, as in client = \"127.0.0.1:12550\"",
        ),
        (server(&format!("{ADDRESSES}classic = 'yes'")), boolean),
        (herd("catch_up = True"), boolean),
        (herd("catch_up = 'true'"), boolean),
        (herd("catch_up = yes"), boolean),
        (herd("links = 'A-B'"), pairs),
        (herd("links = ['A', 'B']"), pairs),
        (herd("links = [[A, B]]"), pairs),
        (herd("links = [['A', 'B']"), pairs),
        (herd("links = [['A', 'B']]"), "names \"B\", which is not a server of the herd: choose one of A"),
        (server("client = '127.0.0.1:1'"), "A has no peer address: add one"),
        (table("[servers.'A B']"), "a server's name has 1 to 64 ASCII letters"),
    ];
    for (text, advice) in cases {
        let message = refusal(&text);
        assert!(message.contains(advice), "{text}: {message}");
    }
}

#[test]
fn an_address_that_takes_the_port_of_another_is_refused() {
    let herd = |a: [&str; 2], b: [&str; 2]| {
        format!(
            "links = [['A', 'B']]\n[servers.A]\nclient = {:?}\npeer = {:?}\n\
             [servers.B]\nclient = {:?}\npeer = {:?}",
            a[0], a[1], b[0], b[1]
        )
    };
    assert_eq!(
        refusal(&herd(["0.0.0.0:1", "127.0.0.1:1"], ["127.0.0.1:3", "127.0.0.1:4"])),
        "the client address of A is 0.0.0.0:1, which takes port 1 on all addresses, and so 127.0.0.1:1, the peer \
         address of A: give each a port of its own"
    );
    for taken in [
        herd(["0.0.0.0:1", "10.0.0.1:1"], ["127.0.0.1:3", "127.0.0.1:4"]),
        herd(["[::]:1", "127.0.0.1:1"], ["127.0.0.1:3", "127.0.0.1:4"]),
        herd(["[::]:1", "[::1]:1"], ["127.0.0.1:3", "127.0.0.1:4"]),
        herd(["0.0.0.0:1", "127.0.0.1:2"], ["127.0.0.1:3", "127.0.0.1:1"]),
        herd(["127.0.0.1:3", "127.0.0.1:1"], ["0.0.0.0:1", "127.0.0.1:2"]),
    ] {
        assert!(refusal(&taken).contains(", which takes port 1 on all addresses"), "{taken}");
    }
    for fine in [
        // On two machines, or of the other family, or on another port.
        herd(["0.0.0.0:1", "10.0.0.1:2"], ["10.0.0.2:1", "10.0.0.2:2"]),
        herd(["0.0.0.0:1", "[::1]:1"], ["127.0.0.1:3", "127.0.0.1:4"]),
        herd(["0.0.0.0:1", "127.0.0.1:2"], ["127.0.0.1:3", "127.0.0.1:4"]),
    ] {
        assert!(crate::config::parse(&fine).is_ok(), "{fine}");
    }
}
