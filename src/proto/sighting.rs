//! What the herd knows about one client: who saw it, where and when. Prints as the `AT` line.

use std::cmp::Ordering;

use super::location::Location;
use super::name::ClientId;
use super::time::Timestamp;

/// One sighting of one client, borrowed from the line that told of it.
///
/// Sightings of one client are totally ordered: by time, and equal times by the bytes of their lines. So
/// whatever order two sightings arrive in, and however often, every server settles on the same one.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// The server that the client reported to.
    pub origin: &'a str,
    /// That server's receipt time minus the client's time, as that server wrote it.
    pub skew: &'a str,
    /// Who was seen.
    pub client: ClientId<'a>,
    /// Where.
    pub location: Location<'a>,
    /// When, by the client's own clock.
    pub time: Timestamp<'a>,
}

impl Sighting<'_> {
    /// Appends `AT <origin> <skew> <client> <location> <time>` and a line feed.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let fields = [self.origin, self.skew, self.client.0, self.location.text(), self.time.text()];
        out.extend_from_slice(b"AT");
        for field in fields {
            out.push(b' ');
            out.extend_from_slice(field.as_bytes());
        }
        out.push(b'\n');
    }

    /// Where in that line the client's name stands.
    pub(super) fn client_range(&self) -> (usize, usize) {
        // `AT`, the origin and the skew come before the client, each with a space behind it.
        let client = "AT   ".len() + self.origin.len() + self.skew.len();
        (client, client + self.client.0.len())
    }

    /// The fields in the order of the line. Every byte of a field is greater than the space between fields,
    /// wherever two sightings of one client can differ, so comparing fields compares lines.
    fn fields(&self) -> [&str; 5] {
        [self.origin, self.skew, self.client.0, self.location.text(), self.time.text()]
    }
}

impl Ord for Sighting<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.fields().cmp(&other.fields()))
    }
}

impl PartialOrd for Sighting<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sighting<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sighting<'_> {}
