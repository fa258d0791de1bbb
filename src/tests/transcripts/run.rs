//! Runs a transcript against a herd, whatever that is made of.

use std::collections::BTreeMap;

use super::format::{Expected, Move, Skews, Step, Transcript, Who, matches};

/// Servers that can be talked to. An error is a sentence that says why a test failed.
pub(crate) trait Herd {
    /// A connection to one of them.
    type Talk: Talk;

    /// Opens a connection to a server's client port.
    fn connect(&mut self, server: &str) -> Result<Self::Talk, String>;

    /// Opens a connection to a server's peer port, where it is known.
    fn connect_as_peer(&mut self, server: &str) -> Result<Self::Talk, String> {
        Err(format!("the peer port of {server} is not known"))
    }

    /// Whether a question that was asked `times` times, and not answered as expected, may be asked again.
    /// Lets what is under way between the servers go on.
    fn ask_again(&mut self, times: u64) -> bool;

    /// Kills a server.
    fn kill(&mut self, server: &str) -> Result<(), String>;

    /// Starts a killed server again.
    fn start(&mut self, server: &str) -> Result<(), String>;
}

/// One client's connection.
pub(crate) trait Talk {
    /// Sends bytes as they are.
    fn send(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// Says that nothing more will be sent.
    fn half_close(&mut self) -> Result<(), String>;

    /// The next line that comes back, without its line feed; `None` when the server has closed.
    fn line(&mut self) -> Result<Option<Vec<u8>>, String>;
}

/// Goes through the transcript. What is sent is cut into pieces of `piece_bytes`.
///
/// # Errors
/// The number of the line that did not hold, and what came instead.
pub(crate) fn run<H: Herd>(transcript: &Transcript, herd: &mut H, piece_bytes: usize) -> Result<(), String> {
    let mut run = Run { herd, piece_bytes, talks: BTreeMap::new(), skews: Skews::new() };
    for (number, step) in &transcript.steps {
        run.step(step).map_err(|why| format!("{number}: {why}"))?;
    }
    for (who, mut talk) in run.talks {
        let end = |why| format!("{}@{} at the end: {why}", who.client, who.server);
        talk.half_close().and_then(|()| end_of(&mut talk)).map_err(end)?;
    }
    Ok(())
}

struct Run<'a, H: Herd> {
    herd: &'a mut H,
    piece_bytes: usize,
    talks: BTreeMap<Who, H::Talk>,
    skews: Skews,
}

impl<H: Herd> Run<'_, H> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Talk(who, Move::Send(bytes)) => self.send(who, bytes),
            Step::Talk(who, Move::Expect(expected)) => self.expect(who, expected),
            Step::Talk(who, Move::Ask(question, answer)) => self.ask(who, question, answer),
            Step::Talk(who, Move::HalfClose) => self.talk(who)?.half_close(),
            Step::Talk(who, Move::End) => {
                self.talk(who)?;
                self.talks.remove(who).map_or(Ok(()), |mut talk| end_of(&mut talk))
            }
            Step::Kill(server) => {
                self.talks.retain(|who, _| who.server != *server);
                self.herd.kill(server)
            }
            Step::Start(server) => self.herd.start(server),
        }
    }

    fn talk(&mut self, who: &Who) -> Result<&mut H::Talk, String> {
        if !self.talks.contains_key(who) {
            let talk = match who.is_peer_port {
                false => self.herd.connect(&who.server)?,
                true => self.herd.connect_as_peer(&who.server)?,
            };
            self.talks.insert(who.clone(), talk);
        }
        self.talks.get_mut(who).ok_or_else(|| "the connection is gone".to_owned())
    }

    fn send(&mut self, who: &Who, bytes: &[u8]) -> Result<(), String> {
        let piece_bytes = self.piece_bytes;
        let talk = self.talk(who)?;
        bytes.chunks(piece_bytes).try_for_each(|piece| talk.send(piece))
    }

    fn line(&mut self, who: &Who) -> Result<Vec<u8>, String> {
        self.talk(who)?.line()?.ok_or_else(|| "the server has closed the connection".to_owned())
    }

    fn expect(&mut self, who: &Who, expected: &Expected) -> Result<(), String> {
        match expected {
            Expected::Line(pieces) => {
                let line = self.line(who)?;
                let right = matches(pieces, &line, &mut self.skews);
                right.then_some(()).ok_or_else(|| format!("instead came {}", line.escape_ascii()))
            }
            Expected::Json(most) => {
                let text = self.json(who)?;
                check_json(&text, *most).map_err(|why| format!("{why}: {text}"))
            }
        }
    }

    /// All lines up to an empty one.
    fn json(&mut self, who: &Who) -> Result<String, String> {
        let mut text = Vec::new();
        loop {
            let line = self.line(who)?;
            if line.is_empty() {
                return String::from_utf8(text).map_err(|error| error.to_string());
            }
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
    }

    fn ask(&mut self, who: &Who, question: &[u8], answer: &[Expected]) -> Result<(), String> {
        let Some((Expected::Line(first), rest)) = answer.split_first() else {
            return Err("a question needs a line that answers it".to_owned());
        };
        let mut times = 0;
        loop {
            self.send(who, question)?;
            let line = self.line(who)?;
            if matches(first, &line, &mut self.skews) {
                return rest.iter().try_for_each(|expected| self.expect(who, expected));
            }
            if line.starts_with(b"AT ") {
                self.json(who)?;
            }
            times += 1;
            if !self.herd.ask_again(times) {
                return Err(format!("after {times} times it is still {}", line.escape_ascii()));
            }
        }
    }
}

/// The connection must end, and nothing may come before that.
fn end_of(talk: &mut impl Talk) -> Result<(), String> {
    match talk.line()? {
        None => Ok(()),
        Some(line) => Err(format!("no line asked for {}", line.escape_ascii())),
    }
}

/// An answer has the shape of a Google Places Nearby Search, with at most `most` results.
fn check_json(text: &str, most: usize) -> Result<(), String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    json["html_attributions"].as_array().ok_or("no array of html_attributions")?;
    json["status"].as_str().ok_or("no status")?;
    let results = json["results"].as_array().ok_or("no array of results")?.len();
    if results > most {
        return Err(format!("{results} results, not {most}"));
    }
    if text.starts_with('\n') || text.contains("\n\n") {
        return Err("a line is empty".to_owned());
    }
    Ok(())
}
