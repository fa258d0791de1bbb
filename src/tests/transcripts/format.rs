//! The text of a transcript, read into steps; and what matches an expected line.

use std::collections::BTreeMap;

/// A conversation with a herd.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) servers: Vec<String>,
    pub(crate) links: Vec<(String, String)>,
    /// Each with the number of its line.
    pub(crate) steps: Vec<(usize, Step)>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Talk(Who, Move),
    Kill(String),
    Start(String),
}

/// Whose connection to which port of which server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) is_peer_port: bool,
}

/// What is done on a connection.
#[derive(Debug)]
pub(crate) enum Move {
    Send(Vec<u8>),
    Expect(Expected),
    /// Send a line again and again until the answer is this.
    Ask(Vec<u8>, Vec<Expected>),
    HalfClose,
    End,
}

#[derive(Debug)]
pub(crate) enum Expected {
    /// One line, without its line feed.
    Line(Vec<Piece>),
    /// An answer of a provider of places with at most this number of results, and an empty line.
    Json(usize),
}

/// Part of an expected line.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Skew(Option<String>),
}

/// The skews that have a name, as they first came.
pub(crate) type Skews = BTreeMap<String, Vec<u8>>;

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// The number of the line that cannot be understood, and why.
    pub(crate) fn parse(text: &[u8]) -> Result<Transcript, String> {
        let mut transcript = Transcript::default();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let number = at + 1;
            transcript.line(number, line).map_err(|why| format!("{number}: {why}"))?;
        }
        let known = |server: &String| transcript.servers.contains(server);
        for (number, step) in &transcript.steps {
            let (Step::Talk(Who { server, .. }, _) | Step::Kill(server) | Step::Start(server)) = step;
            if !known(server) {
                return Err(format!("{number}: {server} is not of the herd"));
            }
        }
        Ok(transcript)
    }

    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        let readable = String::from_utf8_lossy(line);
        let mut words = readable.split(' ').map(str::to_owned);
        match words.next().as_deref() {
            Some("herd") => self.servers = words.collect(),
            Some("links") => {
                let link = |link: String| link.split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned()));
                self.links = words.map(link).collect::<Option<_>>().ok_or("a link is like Alford-Bolden")?;
            }
            Some("kill") => self.steps.push((number, Step::Kill(words.collect()))),
            Some("start") => self.steps.push((number, Step::Start(words.collect()))),
            _ => self.talk(number, line)?,
        }
        Ok(())
    }

    fn talk(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let at = line.iter().position(|byte| b"<>?".contains(byte)).ok_or("this is no step")?;
        let who = String::from_utf8_lossy(&line[..at]);
        let (client, server) = who.split_once('@').ok_or("who talks is like alice@Alford")?;
        let (server, is_peer_port) = match server.strip_suffix(":peer") {
            Some(server) => (server, true),
            None => (server, false),
        };
        let who = Who { client: client.to_owned(), server: server.to_owned(), is_peer_port };
        let step = match (line[at], &line[at + 1..]) {
            (b'>', b"|") => Move::HalfClose,
            (b'<', b"|") => Move::End,
            (operator, [b' ', text @ ..]) => match operator {
                b'>' => Move::Send(sent(text)?),
                b'?' => Move::Ask(sent(text)?, Vec::new()),
                _ => return self.expect(number, who, expected(text)?),
            },
            _ => return Err("a space or | follows the operator".to_owned()),
        };
        self.steps.push((number, Step::Talk(who, step)));
        Ok(())
    }

    /// Adds what is expected to the question right before it, if that is of the same connection.
    fn expect(&mut self, number: usize, who: Who, expected: Expected) -> Result<(), String> {
        match self.steps.last_mut() {
            Some((_, Step::Talk(asker, Move::Ask(_, answer)))) if *asker == who => answer.push(expected),
            _ => self.steps.push((number, Step::Talk(who, Move::Expect(expected)))),
        }
        Ok(())
    }
}

/// The skew at the beginning of `text`, if there is one.
fn skew(text: &[u8]) -> Option<&[u8]> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (b'+' | b'-', size) = text.split_first()? else { return None };
    let whole = digits(size);
    let fraction = size.get(whole..)?.strip_prefix(b".")?;
    (whole > 0 && digits(fraction) == 9).then(|| &text[..whole + 11])
}

/// Whether a line that came is the one expected. Its skews become known only if it is.
pub(crate) fn matches(pieces: &[Piece], line: &[u8], skews: &mut Skews) -> bool {
    let mut rest = line;
    let mut found = Vec::new();
    for piece in pieces {
        let length = match piece {
            Piece::Bytes(bytes) if rest.starts_with(bytes) => bytes.len(),
            Piece::Bytes(_) => return false,
            Piece::Skew(name) => {
                let Some(skew) = skew(rest) else { return false };
                if let Some(name) = name {
                    if skews.get(name).is_some_and(|known| known != skew) {
                        return false;
                    }
                    found.push((name.clone(), skew.to_vec()));
                }
                skew.len()
            }
        };
        rest = &rest[length..];
    }
    if rest.is_empty() {
        skews.extend(found);
    }
    rest.is_empty()
}

fn sent(text: &[u8]) -> Result<Vec<u8>, String> {
    let (text, terminator) = match text.strip_suffix(b"\\c") {
        Some(text) => (text, &b""[..]),
        None => (text, &b"\n"[..]),
    };
    let mut bytes = unescaped(text)?;
    bytes.extend_from_slice(terminator);
    Ok(bytes)
}

fn expected(text: &[u8]) -> Result<Expected, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let literal = placeholder_at(rest);
        if literal > 0 {
            pieces.push(Piece::Bytes(unescaped(&rest[..literal])?));
            rest = &rest[literal..];
            continue;
        }
        let end = rest.iter().position(|&byte| byte == b'>').ok_or("a < without a >")?;
        let inner = String::from_utf8_lossy(&rest[1..end]);
        rest = &rest[end + 1..];
        match inner.split_once(' ').unwrap_or((&inner, "")) {
            ("skew", "") => pieces.push(Piece::Skew(None)),
            ("skew", name) => pieces.push(Piece::Skew(Some(name.to_owned()))),
            ("json", most) if pieces.is_empty() && rest.is_empty() => {
                return most.parse().map(Expected::Json).map_err(|_| "how many results?".to_owned());
            }
            _ => return Err(format!("<{inner}> stands for nothing here")),
        }
    }
    Ok(Expected::Line(pieces))
}

/// Where the next placeholder begins; the length of the text if there is none.
fn placeholder_at(text: &[u8]) -> usize {
    let escaped = |at: usize| text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
    (0..text.len()).find(|&at| text[at] == b'<' && !escaped(at)).unwrap_or(text.len())
}

fn unescaped(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [kind, after @ ..] = rest else { return Err("a backslash at the end".to_owned()) };
        rest = after;
        match kind {
            b's' => bytes.push(b' '),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b'f' => bytes.push(b'\x0c'),
            b'v' => bytes.push(b'\x0b'),
            b'\\' | b'<' => bytes.push(*kind),
            b'x' => {
                let digits = rest.get(..2).ok_or("\\x needs two digits")?;
                let digits = std::str::from_utf8(digits).map_err(|_| "\\x needs two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?);
                rest = &rest[2..];
            }
            b'(' => {
                let end = rest.iter().position(|&byte| byte == b')').ok_or("\\( without a )")?;
                let inner = String::from_utf8_lossy(&rest[..end]);
                let (times, text) = inner.split_once('*').ok_or("\\( needs a number and a *")?;
                let times = times.parse().map_err(|_| "\\( needs a number and a *")?;
                bytes.extend_from_slice(text.repeat(times).as_bytes());
                rest = &rest[end + 1..];
            }
            other => return Err(format!("\\{} is no escape", char::from(*other))),
        }
    }
    Ok(bytes)
}
