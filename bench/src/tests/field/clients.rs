//! What a client may count on: one server, one conversation after the other.

use std::io::Read;

use crate::herd::{Herd, Variant};
use proxyherd_bench::load::clock::wall_ns;

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";

fn alone(variant: Variant) -> Herd {
    Herd::start(variant, &["Alford"], &[])
}

fn answer(herd: &Herd, sent: impl AsRef<[u8]>) -> Vec<u8> {
    herd.client("Alford").send(sent).half_close().rest()
}

fn fields(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Whether these lines, together, each get an error line: a copy of themselves.
fn assert_refused(herd: &Herd, lines: &[&[u8]]) {
    let sent: Vec<u8> = lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect();
    let expected: Vec<u8> = lines.iter().flat_map(|line| [b"? ", *line, b"\n"].concat()).collect();
    let (got, expected) = (
        String::from_utf8_lossy(&answer(herd, sent)).into_owned(),
        String::from_utf8_lossy(&expected).into_owned(),
    );
    for (got, expected) in got.lines().zip(expected.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(got.len(), expected.len(), "{got}");
}

pub(crate) fn commands_and_errors(variant: Variant) {
    let herd = alone(variant);
    let bad: &[&[u8]] = &[
        b"",
        b" \t ",
        b"foo",
        b"IAMAT",
        b"iamat k +1+1 1",
        b"IAMAT k +1+1",
        b"IAMAT k +1+1 1 1",
        b"WHATSAT nobody 10 5",
        b"HELLO 1 Bolden Alford 0000000000000001",
        b"AT Alford +0.1 k +1+1",
        b"AT Alford 0.1 k +1+1 1",
        b"AT Alford +0.1 k +1 1",
        b"AT Alford +0.1 k +1+1 x",
        b"AT Alf\xc3\xb6rd +0.1 k +1+1 1",
        b"AT Alford +0.1 k +1+1 1 Bolden more",
        b"IAMAT \xff\xfe +1+1 1",
        b"IAMAT \xed\xa0\x80 +1+1 1",
        b"IAMAT \xc0\x80 +1+1 1",
        "IAMAT a\u{a0}+1+1 1".as_bytes(),
        "IAMAT a\u{85}+1+1 1".as_bytes(),
        "IAMAT k +1\u{2003}+1 1".as_bytes(),
        b"IAMAT k\x1c+1+1 1",
        "IAMAT k +1+1 \u{661}".as_bytes(),
    ];
    assert_refused(&herd, bad);
    let mut talk = herd.client("Alford");
    for client in ["a\u{a0}b", "\u{feff}x", "ü\u{85}", "?", "\u{10ffff}\u{0}"] {
        let line = talk.ask(&format!("IAMAT {client} -0+0.0 1.50"));
        assert_eq!(fields(&line)[3..], [client, "-0+0.0", "1.50"]);
        assert_eq!(talk.ask(&format!("WHATSAT {client} 1 1")), line);
        talk.json();
    }
    let white = talk.send("\x0b\x0c IAMAT \t k\r\x0c+1+1\x0b\x0b1\t \r\n").line();
    assert_eq!(fields(&white)[3..], ["k", "+1+1", "1"]);
    assert_eq!(talk.ask("? ? ?"), "? ? ? ?");
}

pub(crate) fn framing(variant: Variant) {
    let mut herd = alone(variant);
    assert_eq!(answer(&herd, ""), b"", "nothing is said to who says nothing");
    assert_eq!(answer(&herd, "a\nb\r\n\r\n\n c\rd \re\r"), b"? a\n? b\n? \n? \n?  c\rd \re\r\n");
    let cut_off = String::from_utf8(answer(&herd, format!("x\r\n{KIWI}"))).unwrap();
    assert!(
        cut_off.starts_with("? x\nAT Alford +") && cut_off.ends_with(&format!("{}\n", &KIWI[6..])),
        "{cut_off}"
    );

    let lines = format!("{KIWI}\nWHATSAT kiwi.cs.ucla.edu 10 2\r\nfoo\n\tWHATSAT  nobody 1 1 \n");
    for chunk in [1, 7, 1000] {
        let mut talk = herd.client("Alford");
        lines.as_bytes().chunks(chunk).for_each(|bytes| {
            talk.send(bytes);
        });
        let first = talk.line();
        assert_eq!(fields(&talk.line())[3..], fields(&first)[3..]);
        assert_eq!(talk.json()["results"].as_array().unwrap().len(), 2);
        assert_eq!(talk.line(), "? foo");
        assert_eq!(talk.line(), "? \tWHATSAT  nobody 1 1 ");
    }

    let full = "x".repeat(4096);
    let cut = format!("? {full}\n").into_bytes();
    assert_eq!(answer(&herd, format!("{full}\r\n{full}\n{full}")), cut.repeat(3));
    for too_long in [format!("{full}x\nafter\n"), format!("{full}x"), format!("{full}\r\r\nafter\n")] {
        assert!(answer(&herd, &too_long) == cut, "{} bytes", too_long.len());
    }
    // The end of the stream must come from the server, which need not wait for the end of the line.
    let at_once = herd.client("Alford").send("y".repeat(4098)).rest();
    assert!(at_once == format!("? {}\n", "y".repeat(4096)).as_bytes(), "{} bytes came back", at_once.len());
    let ended = herd.client("Alford").send("ok\n").send("x".repeat(100_000)).rest();
    assert!(ended == format!("? ok\n? {full}\n").as_bytes(), "{} bytes came back", ended.len());

    let mut idle = herd.client("Alford");
    idle.ask("x");
    assert_eq!(herd.terminate("Alford"), Some(0));
}

pub(crate) fn times_and_skews(variant: Variant) {
    let herd = alone(variant);
    let long_zero = format!("IAMAT k +1+1 0.{}", "0".repeat(100));
    let mut bad: Vec<String> =
        ["0", "0.0", "-1", "+1", "1e9", "0x1", "1_0", ".5", "5.", "1.2.3", "nan", "1,5"]
            .iter()
            .map(|time| format!("IAMAT k +1+1 {time}"))
            .collect();
    bad.extend(
        ["1000000000000000000", "1.2345678901x", "1.5\u{661}"].map(|time| format!("IAMAT k +1+1 {time}")),
    );
    bad.push(long_zero);
    let places = [
        "+",
        "+34",
        "34-118",
        "+34.-118",
        "+34-118.",
        "+.5-1",
        "+34-118x",
        "+34-118+5",
        "+nan+inf",
        "+1e1-2",
        "+90.1+0",
        "+91+0",
        "-90.00000000000000000000001+0",
        "+0+180.1",
        "+0-181",
        "++34-118",
        "+34--118",
        "\u{2212}34-118",
        "+34,0-118,0",
        "+4294967297+0",
        "+0+1000",
    ];
    bad.extend(places.map(|place| format!("IAMAT k {place} 1")));
    assert_refused(&herd, &bad.iter().map(String::as_bytes).collect::<Vec<_>>());

    let mut talk = herd.client("Alford");
    for place in ["-90+180", "+90.000-180.0", "+00034.0-00118.10", "-0.5+0", "+9-179.99999"] {
        assert_eq!(fields(&talk.ask(&format!("IAMAT {place} {place} 7.50")))[3..], [place, place, "7.50"]);
    }
    // Always in the order of the numbers: what is not later is answered and forgotten.
    let times = [
        ("0.00000000000001", true),
        ("999999999.5", true),
        ("1000000000.5", true),
        ("999999999.9", false),
        ("1000000000.50", false),
        ("1479413884.392014450", true),
        ("1479413884.392014451", true),
        ("1479413884.3920144510", false),
        ("1479413884.39201445100000001", true),
        ("1479413884.3920144510000000", false),
        ("1479413884.3920144510000001", true),
        ("001479413884.392014452", true),
        ("999999999999999999.999999999", true),
        ("999999999999999999", false),
    ];
    let mut known = String::new();
    for (time, is_news) in times {
        let said = talk.ask(&format!("IAMAT kiwi +1+1 {time}"));
        assert_eq!(fields(&said)[5], time);
        assert_skew(fields(&said)[2]);
        if is_news {
            known = said;
        }
        assert_eq!(talk.ask("WHATSAT kiwi 1 1"), known, "after {time}");
        talk.json();
    }
    for time in ["1", "0.5", "1621464827.959498503", "99999999999.000000001", "999999999999999999.999999999"]
    {
        let before = i128::from(wall_ns());
        let said = talk.ask(&format!("IAMAT skewed +1+1 {time}"));
        let received = nanos(fields(&said)[2]) + nanos(time);
        let slack = 5_000_000; // a server may count time in a way of its own
        assert!((before - slack..i128::from(wall_ns()) + slack).contains(&received), "{said}");
    }
}

/// A decimal number of at most nine digits after the point, times a thousand million.
fn nanos(number: &str) -> i128 {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

fn assert_skew(skew: &str) {
    let (whole, nanos) = skew[1..].split_once('.').unwrap();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(skew.starts_with(['+', '-']) && digits(whole) && digits(nanos) && nanos.len() == 9, "{skew}");
    assert!(!whole.is_empty() && (whole == "0" || !whole.starts_with('0')), "{skew}");
}

pub(crate) fn places(variant: Variant) {
    let herd = alone(variant);
    let mut talk = herd.client("Alford");
    let line = talk.ask("IAMAT kiwi +34.068930-118.445127 1621464827.959498503");
    let numbers =
        ["0 1", "51 1", "-1 1", "+1 1", "1.0 1", "x 1", "256 1", "1 0", "1 21", "1 -1", "1 1.0", "1 266"];
    let bad: Vec<String> = numbers.iter().map(|numbers| format!("WHATSAT kiwi {numbers}")).collect();
    assert_refused(&herd, &bad.iter().map(String::as_bytes).collect::<Vec<_>>());
    for limit in 1..=20 {
        assert_eq!(talk.ask(&format!("WHATSAT kiwi {:03} {limit}", 50 - limit)), line);
        let json = talk.json();
        assert_eq!(json["results"].as_array().unwrap().len(), limit);
        assert!(json["results"][limit - 1]["geometry"]["location"]["lat"].is_number());
        assert_eq!((json["status"].as_str(), json["html_attributions"].is_array()), (Some("OK"), true));
    }
    let original =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/field/places.json")).unwrap();
    assert!(original.contains("\n\n") && original.ends_with("\n\n"), "there is nothing to squeeze");
    let squeezed = original.replace("\n\n", "\n");
    let whole = String::from_utf8(answer(&herd, "WHATSAT kiwi 50 20")).unwrap();
    assert_eq!(whole, format!("{line}\n{}\n\n", squeezed.trim_end()));
    let first_end = squeezed.find("\n      },").unwrap() + "\n      }".len();
    let last_end = squeezed.rfind("\n      }\n").unwrap() + "\n      }".len();
    let one = String::from_utf8(answer(&herd, "WHATSAT kiwi 50 1")).unwrap();
    let (head, tail) = (&squeezed[..first_end], squeezed[last_end..].trim_end());
    assert_eq!(one, format!("{line}\n{head}{tail}\n\n"));

    // All of it is there in one piece: some read only once.
    talk.send("WHATSAT kiwi 10 3\n");
    let mut once = vec![0; 64 * 1024];
    let count = talk.socket.read(&mut once).unwrap();
    assert!(once[..count].ends_with(b"}\n\n"), "{}", String::from_utf8_lossy(&once[..count]));
}
