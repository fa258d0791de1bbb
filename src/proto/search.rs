//! A `WHATSAT` half answered: what to ask a provider of places, and how its answer becomes the reply.

/// The most places a client may ask for, and what every provider is asked for: one answer then serves
/// every limit, and is cut to the client's own by [`Search::finish`].
pub const PLACES_MAX: u8 = 20;

/// A question to a provider of places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearby {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
    /// Metres around that point, 1,000 to 50,000.
    pub radius_m: u32,
}
