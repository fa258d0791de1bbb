//! Whether a reply is right. A fast wrong answer is a failure, so every byte of every reply is looked at.

use serde_json::Value;

use super::mqtt::answer_to;
use super::options::Protocol;
use super::request::{Kind, Request, SPOTS, Script};

/// The most bytes that a reply may have before it is taken for one that never ends.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// What the bytes that have come so far are.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The beginning of a reply.
    Unfinished,
    /// A right reply of this number of bytes.
    Right(usize),
    /// Not the reply to this request; this is why.
    Wrong(String),
}

/// What is known of the server that a thread of the generator talks to.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// `AT <server> `, from its first reply; it must not change.
    greeting: Vec<u8>,
    /// For every spot an answer that was checked in full: the JSON and what ends it.
    answers: Vec<Vec<u8>>,
    /// An answer of HTTP that was checked in full: all of a second are the same.
    taken: Vec<u8>,
}

/// What the server has told this connection about one of its clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// What an answer must begin with: the `AT` line of the newest report, line feed included, which `WHATSAT` must
    /// repeat, or over HTTP that report in JSON.
    line: Vec<u8>,
    spot: u8,
}

impl Known {
    pub(super) fn new() -> Known {
        Known { greeting: Vec::new(), answers: vec![Vec::new(); SPOTS], taken: Vec::new() }
    }

    /// Looks at what has come in reply to `request`, whose own bytes are `sent`. `told` is what the server has
    /// said of the request's client, if the script asks questions.
    pub(super) fn check(
        &mut self,
        script: &Script,
        request: &Request,
        sent: &[u8],
        told: Option<&mut Told>,
        got: &[u8],
    ) -> Verdict {
        let verdict = match (script.protocol, request.kind) {
            (Protocol::Herd, Kind::Ask) => self.check_answer(script, told, got),
            (Protocol::Herd, Kind::Fresh | Kind::Stale) => {
                let verdict = self.check_at(sent, got);
                if let (Verdict::Right(bytes), Kind::Fresh, Some(told)) = (&verdict, request.kind, told) {
                    told.line.clear();
                    told.line.extend_from_slice(&got[..*bytes]);
                    told.spot = request.spot;
                }
                verdict
            }
            (Protocol::Echo, _) => exactly(sent, got, "the line itself"),
            // The number of members added: none if it was known.
            (Protocol::Redis, _) if got.starts_with(b":0") => exactly(b":0\r\n", got, "0 or 1"),
            (Protocol::Redis, _) => exactly(b":1\r\n", got, "0 or 1"),
            (Protocol::Memcached, _) => exactly(b"STORED\r\n", got, "STORED"),
            (Protocol::Http | Protocol::Https, Kind::Ask) => check_client(told, got),
            (Protocol::Http | Protocol::Https, Kind::Fresh | Kind::Stale) => {
                let verdict = self.check_taken(got);
                if let (Verdict::Right(_), Some(told)) = (&verdict, told) {
                    told.line = client_of(sent);
                }
                verdict
            }
            (Protocol::Mqtt, _) => exactly(&answer_to(sent), got, "its acknowledgement"),
        };
        match verdict {
            Verdict::Unfinished if got.len() > REPLY_BYTES_MAX => {
                Verdict::Wrong(format!("the reply has not ended after {REPLY_BYTES_MAX} bytes"))
            }
            Verdict::Unfinished | Verdict::Right(_) | Verdict::Wrong(_) => verdict,
        }
    }

    /// `AT <server> <skew> `, then client, location and time as sent.
    fn check_at(&mut self, sent: &[u8], got: &[u8]) -> Verdict {
        let told = &sent[b"IAMAT ".len()..];
        if self.greeting.is_empty() {
            match learn(got) {
                Ok(Some(greeting)) => self.greeting = greeting,
                Ok(None) => return Verdict::Unfinished,
                Err(why) => return Verdict::Wrong(why),
            }
        }
        let Some(rest) = got.strip_prefix(self.greeting.as_slice()) else {
            if self.greeting.starts_with(got) {
                return Verdict::Unfinished;
            }
            let greeting = String::from_utf8_lossy(&self.greeting);
            return Verdict::Wrong(format!("the reply must begin with {greeting:?}"));
        };
        // The skew is the only field that cannot be known, and has no white space in it.
        let Some(skew) = rest.iter().position(|&byte| byte == b' ' || byte == b'\n') else {
            return Verdict::Unfinished;
        };
        if !is_skew(&rest[..skew]) {
            return Verdict::Wrong("the skew must be a sign, seconds, a point and nine digits".to_owned());
        }
        match exactly(told, rest.get(skew + 1..).unwrap_or(&[]), "the client, location and time as sent") {
            Verdict::Right(bytes) => Verdict::Right(self.greeting.len() + skew + 1 + bytes),
            verdict @ (Verdict::Unfinished | Verdict::Wrong(_)) => verdict,
        }
    }

    /// 200 and an array: after anything else a phone sends its report again.
    fn check_taken(&mut self, got: &[u8]) -> Verdict {
        if !self.taken.is_empty() && got.starts_with(&self.taken) {
            return Verdict::Right(self.taken.len());
        }
        match exactly(b"HTTP/1.1 200 ", got, "the status 200") {
            Verdict::Right(_) => {}
            verdict @ (Verdict::Unfinished | Verdict::Wrong(_)) => return verdict,
        }
        match body(got) {
            Ok(None) => Verdict::Unfinished,
            Ok(Some((body, end))) if body.starts_with(b"[") && body.ends_with(b"]") => {
                self.taken.clear();
                self.taken.extend_from_slice(&got[..end]);
                Verdict::Right(end)
            }
            Ok(Some(_)) => Verdict::Wrong("the answer must have an array".to_owned()),
            Err(why) => Verdict::Wrong(why),
        }
    }

    /// The newest `AT` line, JSON, two line feeds.
    fn check_answer(&mut self, script: &Script, told: Option<&mut Told>, got: &[u8]) -> Verdict {
        let Some(told) = told else { return Verdict::Wrong("nothing was reported before".to_owned()) };
        let at = match exactly(&told.line, got, "the AT line of the newest report") {
            Verdict::Right(bytes) => bytes,
            verdict @ (Verdict::Unfinished | Verdict::Wrong(_)) => return verdict,
        };
        let answer = &got[at..];
        let checked = &mut self.answers[usize::from(told.spot)];
        if !checked.is_empty() && answer.starts_with(checked) {
            return Verdict::Right(at + checked.len());
        }
        let Some(json) = answer.windows(2).position(|pair| pair == b"\n\n") else {
            return Verdict::Unfinished;
        };
        if let Err(why) = is_places(&answer[..json], script.limit) {
            return Verdict::Wrong(why);
        }
        let bytes = json + 2;
        checked.clear();
        checked.extend_from_slice(&answer[..bytes]);
        Verdict::Right(at + bytes)
    }
}

/// 200 and the client of the newest report, to its time.
fn check_client(told: Option<&mut Told>, got: &[u8]) -> Verdict {
    let Some(told) = told else { return Verdict::Wrong("nothing was reported before".to_owned()) };
    match exactly(b"HTTP/1.1 200 ", got, "the status 200") {
        Verdict::Right(_) => {}
        verdict @ (Verdict::Unfinished | Verdict::Wrong(_)) => return verdict,
    }
    match body(got) {
        Ok(None) => Verdict::Unfinished,
        Ok(Some((body, end))) if body.starts_with(&told.line) && body.ends_with(b"}") => Verdict::Right(end),
        Ok(Some((body, _))) => {
            let (wanted, body) = (String::from_utf8_lossy(&told.line), String::from_utf8_lossy(body));
            Verdict::Wrong(format!("the answer must begin with {wanted}, and is {body}"))
        }
        Err(why) => Verdict::Wrong(why),
    }
}

/// The beginning of the object that stands for the phone of a report.
fn client_of(sent: &[u8]) -> Vec<u8> {
    let value = |before: &[u8], end: u8| {
        let at = sent.windows(before.len()).position(|text| text == before).map(|at| at + before.len());
        let rest = &sent[at.unwrap_or(sent.len())..];
        &rest[..rest.iter().position(|&byte| byte == end).unwrap_or(rest.len())]
    };
    [
        b"{\"client\":\"",
        value(b"\"topic\":\"owntracks/", b'"'),
        b"\",\"latitude\":",
        value(b"\"lat\":", b','),
        b",\"longitude\":",
        value(b"\"lon\":", b','),
        b",\"time\":\"",
        value(b"\"tst\":", b','),
        b"\",",
    ]
    .concat()
}

/// The body of an answer of HTTP, and where it ends; `None` if it is not all there.
fn body(got: &[u8]) -> Result<Option<(&[u8], usize)>, String> {
    let Some(head) = got.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let field = |line: &[u8]| {
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
        let value = std::str::from_utf8(&value[1..]).ok()?.trim().parse::<usize>().ok()?;
        name.eq_ignore_ascii_case(b"content-length").then_some(value)
    };
    let length =
        got[..head].split(|&byte| byte == b'\n').find_map(field).ok_or("the answer has no length")?;
    let (begin, end) = (head + 4, head + 4 + length);
    Ok(got.get(begin..end).map(|body| (body, end)))
}

/// The beginning of all reports of this server, from the first of them.
fn learn(got: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let word_ends = |from: usize| got[from..].iter().position(|&byte| byte == b' ' || byte == b'\n');
    if !got.starts_with(b"AT ") {
        return match b"AT ".starts_with(got) {
            true => Ok(None),
            false => Err("the reply to a report must be an AT line".to_owned()),
        };
    }
    match word_ends(3) {
        None => Ok(None),
        Some(0) => Err("the AT line names no server".to_owned()),
        Some(length) if got[3 + length] == b' ' => Ok(Some(got[..3 + length + 1].to_vec())),
        Some(_) => Err("the AT line is too short".to_owned()),
    }
}

/// Whether `got` begins with `wanted`, byte for byte.
fn exactly(wanted: &[u8], got: &[u8], what: &str) -> Verdict {
    if got.starts_with(wanted) {
        Verdict::Right(wanted.len())
    } else if wanted.starts_with(got) {
        Verdict::Unfinished
    } else {
        Verdict::Wrong(format!("the reply must have {what}"))
    }
}

fn is_skew(text: &[u8]) -> bool {
    let Some((b'+' | b'-', number)) = text.split_first() else { return false };
    let Some(point) = number.iter().position(|&byte| byte == b'.') else { return false };
    let (whole, fraction) = (&number[..point], &number[point + 1..]);
    !whole.is_empty() && fraction.len() == 9 && whole.iter().chain(fraction).all(u8::is_ascii_digit)
}

/// Whether the text is an answer with places, at most `limit`.
fn is_places(json: &[u8], limit: u32) -> Result<(), String> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| format!("the answer is no JSON: {error}"))?;
    match value["status"].as_str() {
        Some("OK" | "ZERO_RESULTS") => {}
        Some(status) => return Err(format!("the provider of places failed with {status}")),
        None => return Err("the answer has no status".to_owned()),
    }
    match value["results"].as_array() {
        Some(results) if results.len() <= limit as usize => Ok(()),
        Some(results) => Err(format!("{} results are more than the {limit} asked for", results.len())),
        None => Err("the answer has no results".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::super::owntracks::{Phone, push_report};
    use super::*;

    const SENT: &[u8] = b"IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n";
    const TOLD: &str = "kiwi +34.068930-118.445127 1520023934.918963997\n";
    const ANSWER: &str = "{\"results\":[{}],\"status\":\"OK\"}\n\n";

    fn script(protocol: Protocol) -> Script {
        Script::new(&Options { protocol, limit: 1, ..Options::default() }, 0)
    }

    fn request(kind: Kind) -> Request {
        Request { kind, client: 0, spot: 0, bytes: SENT.len() as u32 }
    }

    fn check(known: &mut Known, kind: Kind, told: &mut Told, got: &str) -> Verdict {
        known.check(&script(Protocol::Herd), &request(kind), SENT, Some(told), got.as_bytes())
    }

    /// Every beginning of a right reply must be unfinished, else what a server dribbles would be refused.
    fn takes(known: &mut Known, kind: Kind, told: &mut Told, reply: &str) {
        for end in 0..reply.len() {
            assert_eq!(check(known, kind, told, &reply[..end]), Verdict::Unfinished, "{:?}", &reply[..end]);
        }
        let more = format!("{reply}AT more");
        assert_eq!(check(known, kind, told, &more), Verdict::Right(reply.len()));
    }

    #[test]
    fn right_replies_are_taken_at_any_pace() {
        let (mut known, mut told) = (Known::new(), Told::default());
        let at = format!("AT Alford +0.263873386 {TOLD}");
        takes(&mut known, Kind::Fresh, &mut told, &at);
        takes(&mut known, Kind::Stale, &mut told, &format!("AT Alford -12.000000000 {TOLD}"));
        takes(&mut known, Kind::Ask, &mut told, &format!("{at}{ANSWER}"));
        assert_eq!(known.answers[0], ANSWER.as_bytes());
        let again = format!("{at}{ANSWER}");
        assert_eq!(check(&mut known, Kind::Ask, &mut told, &again), Verdict::Right(again.len()));
    }

    #[test]
    fn wrong_replies_to_reports_are_found() {
        for wrong in [
            "? IAMAT kiwi".to_owned(),
            "AT Alford +0.263873386 kiwi\n".to_owned(),
            format!("AT Alford 0.263873386 {TOLD}"),
            format!("AT Alford +0.26387338 {TOLD}"),
            format!("AT Alford +2.6e-05 {TOLD}"),
            format!("AT Alford +.263873386 {TOLD}"),
            format!("AT Bolden +0.263873386 {TOLD}"),
            format!("AT Alford +0.263873386 {}", TOLD.replace("kiwi", "kiwj")),
            format!("AT Alford +0.263873386 {}", TOLD.replace("127 ", "128 ")),
            format!("AT Alford +0.263873386 {}", TOLD.replace("997", "998")),
            format!("AT Alford +0.263873386 {}", TOLD.replace('\n', "\r\n")),
            format!("AT Alford +0.263873386 {} Alford\n", TOLD.trim_end()),
        ] {
            let (mut known, mut told) = (Known::new(), Told::default());
            takes(&mut known, Kind::Fresh, &mut told, &format!("AT Alford +0.100000000 {TOLD}"));
            let verdict = check(&mut known, Kind::Fresh, &mut told, &wrong);
            assert!(matches!(verdict, Verdict::Wrong(_)), "{wrong:?}: {verdict:?}");
        }
        let first = check(&mut Known::new(), Kind::Fresh, &mut Told::default(), "AT \n");
        assert!(matches!(first, Verdict::Wrong(_)), "{first:?}");
    }

    #[test]
    fn wrong_answers_to_questions_are_found() {
        let at = format!("AT Alford +0.263873386 {TOLD}");
        for wrong in [
            format!("AT Alford +0.263873387 {TOLD}{ANSWER}"),
            format!("{at}{{\"results\":[{{}},{{}}],\"status\":\"OK\"}}\n\n"),
            format!("{at}{{\"results\":[],\"status\":\"UNKNOWN_ERROR\"}}\n\n"),
            format!("{at}{{\"status\":\"OK\"}}\n\n"),
            format!("{at}{{\"results\":[]}}\n\n"),
            format!("{at}nothing\n\n"),
            "? WHATSAT kiwi 10 1\n".to_owned(),
        ] {
            let (mut known, mut told) = (Known::new(), Told::default());
            takes(&mut known, Kind::Fresh, &mut told, &at);
            let verdict = check(&mut known, Kind::Ask, &mut told, &wrong);
            assert!(matches!(verdict, Verdict::Wrong(_)), "{wrong:?}: {verdict:?}");
        }
    }

    #[test]
    fn replies_in_other_protocols_are_checked_too() {
        let check = |protocol, got: &[u8]| {
            Known::new().check(&script(protocol), &request(Kind::Fresh), SENT, None, got)
        };
        assert_eq!(check(Protocol::Echo, SENT), Verdict::Right(SENT.len()));
        assert!(matches!(check(Protocol::Echo, b"IAMAT kiwj"), Verdict::Wrong(_)));
        assert_eq!(check(Protocol::Redis, b":1\r\n"), Verdict::Right(4));
        assert_eq!(check(Protocol::Redis, b":0\r\n:"), Verdict::Right(4));
        assert_eq!(check(Protocol::Redis, b":"), Verdict::Unfinished);
        assert!(matches!(check(Protocol::Redis, b"-ERR"), Verdict::Wrong(_)));
        assert_eq!(check(Protocol::Memcached, b"STORED\r\n"), Verdict::Right(8));
        assert!(matches!(check(Protocol::Memcached, b"SERVER_ERROR"), Verdict::Wrong(_)));
    }

    #[test]
    fn client_that_http_shows_is_the_one_of_the_newest_report() {
        let mut sent = Vec::new();
        let phone = Phone { user: b"jane", device: b"1", login: None };
        push_report(phone, ("52.0001", "-4.3007"), b"1700000000", &mut sent);
        let (mut known, mut told) = (Known::new(), Told::default());
        let mut check = |kind, got: &str| {
            known.check(&script(Protocol::Http), &request(kind), &sent, Some(&mut told), got.as_bytes())
        };
        let whole = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let taken = whole("[]");
        assert_eq!(check(Kind::Fresh, &taken), Verdict::Right(taken.len()));
        let client =
            r#"{"client":"jane/1","latitude":52.0001,"longitude":-4.3007,"time":"1700000000","server":"A"}"#;
        let answer = whole(client);
        assert_eq!(check(Kind::Ask, &answer), Verdict::Right(answer.len()));
        assert_eq!(check(Kind::Ask, &answer[..answer.len() - 1]), Verdict::Unfinished);
        for wrong in [
            whole(&client.replace("jane", "john")),
            whole(&client.replace("4.3007", "4.3008")),
            whole(&client.replace("1700000000", "1699999999")),
            whole(&client.replace('}', "")),
            answer.replace("200 OK", "404 No"),
        ] {
            assert!(matches!(check(Kind::Ask, &wrong), Verdict::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn answers_of_http_are_checked_to_the_last_byte() {
        let mut known = Known::new();
        let mut check = |got: &str| {
            known.check(&script(Protocol::Http), &request(Kind::Fresh), SENT, None, got.as_bytes())
        };
        let head = "HTTP/1.1 200 OK\r\nDate: now\r\ncontent-length: 2\r\n\r\n";
        let whole = format!("{head}[]");
        for _ in 0..2 {
            for end in 0..whole.len() {
                assert_eq!(check(&whole[..end]), Verdict::Unfinished, "{end}");
            }
            assert_eq!(check(&format!("{whole}HTTP")), Verdict::Right(whole.len()));
        }
        for wrong in [
            format!("{head}{{}}"),
            whole.replace("200 OK", "503 No"),
            whole.replace("content-length", "length"),
            whole.replace(": 2", ": x"),
        ] {
            assert!(matches!(check(&wrong), Verdict::Wrong(_)), "{wrong}");
        }
    }
}
