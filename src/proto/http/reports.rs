//! The points of one request as updates, in the form in which they are stored.

use super::phones::{Point, Useless};
use crate::proto::line::framing::LINE_BYTES_CEILING;
use crate::proto::model::era::Era;
use crate::proto::model::name::ServerName;
use crate::proto::model::stored_line::push_attributes;
use crate::proto::model::time::{Moment, Skew};
use crate::proto::store::update::{MergeRule, Meta, Reject, Source, Span, Update, Updates};

/// The most bytes of a name, so that neighbours take its line: as many as a line client's may have.
const NAME_BYTES_CEILING: usize = LINE_BYTES_CEILING - 256;

/// The bytes of most lines.
const LINE_BYTES: usize = 256;

/// The updates of one request.
#[derive(Debug)]
pub struct Reports<'a> {
    taking: Taking<'a>,
    lines: Vec<u8>,
    pending: Vec<Pending>,
    /// Why the last of them is not stored, if one is not.
    pub rejected: Option<Reject>,
}

#[derive(Debug)]
struct Pending {
    line: (usize, usize),
    client: (usize, usize),
    moment: Moment,
}

/// What a server takes of clients.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    /// The server's name.
    pub server: &'a ServerName,
    /// When the request came in.
    pub received: Moment,
    /// The latest time that a point may have.
    pub latest: Moment,
    /// The most bytes of a client's name.
    pub client_name_bytes_max: usize,
}

impl<'a> Reports<'a> {
    /// No updates yet, for a server that takes this.
    pub fn new(taking: Taking<'a>) -> Reports<'a> {
        let (lines, pending) = (Vec::with_capacity(LINE_BYTES), Vec::with_capacity(1));
        Reports { taking, lines, pending, rejected: None }
    }

    /// Takes a point.
    ///
    /// # Errors
    /// If it is of no use here.
    pub fn push(&mut self, point: &Point) -> Result<(), Useless> {
        let taking = self.taking;
        let name = &point.client;
        let bytes_max = taking.client_name_bytes_max.min(NAME_BYTES_CEILING);
        if name.is_empty() || name.len() > bytes_max || name.bytes().any(is_separator) {
            return Err(Useless::BadName);
        }
        let moment = point.moment();
        if moment > taking.latest {
            return Err(Useless::ClockAhead);
        }
        let start = self.lines.len();
        push_attributes(point.attributes(), &mut self.lines);
        self.lines.extend_from_slice(b"AT ");
        self.lines.extend_from_slice(taking.server.as_str().as_bytes());
        self.lines.push(b' ');
        Skew::between(taking.received, moment).push_to(&mut self.lines);
        self.lines.push(b' ');
        let client = self.lines.len() - start;
        for (field, end) in [(name.as_str(), b' '), (point.place_and_time(), b'\n')] {
            self.lines.extend_from_slice(field.as_bytes());
            self.lines.push(end);
        }
        let (line, client) = ((start, self.lines.len()), (client, client + name.len()));
        self.pending.push(Pending { line, client, moment });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// What would end a field of a line.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\0'..=b' ' | b'\x7f')
}

impl Updates for Reports<'_> {
    fn get(&self, i: usize) -> Option<Update<'_>> {
        let &Pending { line: (start, end), client, moment } = self.pending.get(i)?;
        let meta = Meta { client: Span::new(client.0, client.1), moment, source: Source::CLIENT };
        Some(Update { line: &self.lines[start..end], meta, era: Era::FIRST, rule: MergeRule::LaterTime })
    }

    fn reject(&mut self, _: usize, why: Reject) {
        self.rejected = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::phones::point::Said;
    use crate::proto::model::stored_line::StoredLine;

    #[test]
    fn points_become_stored_lines() {
        let server = ServerName::parse("Alford").unwrap();
        let received = Moment { seconds: 1_700_000_001, nanos: 500_000_000 };
        let latest = Moment { seconds: 1_700_000_100, nanos: 0 };
        let taking = Taking { server: &server, received, latest, client_name_bytes_max: 20 };
        let point = |client: &str, time: &str, accuracy_m: Option<&str>| {
            let said = Said { accuracy_m, ..Said::default() };
            let mut point = Point::new("a".to_owned(), Some(("1.5", "-2")), time, &said).unwrap();
            point.client = client.to_owned();
            point
        };
        let mut reports = Reports::new(taking);
        assert!(reports.is_empty());
        assert_eq!(reports.push(&point("jane/phone", "1700000001", Some("5"))), Ok(()));
        assert_eq!(reports.push(&point("b", "1700000001.25", None)), Ok(()));
        assert_eq!(reports.push(&point("c", "1700000101", None)), Err(Useless::ClockAhead));
        for name in ["", "a b", "a\u{b}", "a\u{0}", &"x".repeat(21)] {
            assert_eq!(reports.push(&point(name, "1700000001", None)), Err(Useless::BadName), "{name:?}");
        }
        let lines: Vec<String> = (0..)
            .map_while(|i| reports.get(i))
            .inspect(|update| {
                let stored = StoredLine::parse(update.text()).unwrap();
                let (start, end) = stored.client_range();
                assert_eq!((start..end, stored.moment()), (update.meta.client.range(), update.meta.moment));
            })
            .map(|update| String::from_utf8(update.text().to_vec()).unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                "WITH acc=5 AT Alford +0.500000000 jane/phone +1.5-2 1700000001",
                "AT Alford +0.250000000 b +1.5-2 1700000001.25",
            ]
        );
    }
}
