//! The nearest places, from a provider that does not put them in order: circles are asked for one after another, until
//! all of the nearest are surely within one. No clock and no network in it.

use geographiclib_rs::{Geodesic, InverseGeodesic};

use super::answer::Answer;
use super::error::PlacesError;
use super::place::Place;
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

/// The next circle has a radius so many times that of the last one, if there was a place in it, but too few: with
/// places spread evenly it has at most 320, fewer than Overpass is asked for.
const GROWTH: f64 = 4.0;

/// The next circle has a radius so many times that of the last one, if that was empty: land without a place goes on.
const GROWTH_IF_EMPTY: f64 = 8.0;

/// A circle that would be nearly as large as all that is asked about becomes as large: that saves a call.
const NEARLY_ALL: f64 = 0.7;

/// After a circle with more places than came, the next one reaches as far as the nearest so many of those that came. It
/// has enough places then, and most likely a tenth of the last one's.
const ENOUGH: usize = 50;

/// A question about a whole radius asks for so many times of it, so that the answer serves clients nearby as well.
const WIDENED: f64 = 1.1;

/// How a provider is asked for circles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circles {
    /// The radius of the first circle, in metres.
    pub(crate) first_m: u32,
    /// The most calls of a question.
    pub(crate) calls_max: u32,
}

/// Places around a point, with their distance from it in metres, nearest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circle {
    /// All places are known up to this distance.
    pub(crate) radius_m: f64,
    pub(crate) places: Vec<(f64, Place)>,
}

/// The search for the nearest places.
pub(crate) struct Nearest {
    near: NearbyQuery,
    circles: Circles,
    calls: u32,
    /// All places there are within the largest circle that is known.
    sure: Circle,
    /// Whether that came from a call of this search.
    is_new: bool,
    /// The smallest circle that has more places than came, and those that came.
    cut: Option<Circle>,
}

impl Circle {
    /// Measures `places` from the point of `near`, of which there are no more within `radius_m`.
    pub(crate) fn around(near: &NearbyQuery, radius_m: f64, places: Vec<Place>) -> Circle {
        let earth = Geodesic::wgs84();
        let metres = |place: &Place| -> f64 {
            earth.inverse(near.latitude, near.longitude, place.latitude, place.longitude)
        };
        let mut places: Vec<(f64, Place)> = places.into_iter().map(|place| (metres(&place), place)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        Circle { radius_m, places }
    }

    /// Without the places beyond its radius.
    pub(crate) fn trimmed(mut self) -> Circle {
        let within = self.places.partition_point(|(metres, _)| *metres <= self.radius_m);
        self.places.truncate(within);
        self
    }
}

impl Nearest {
    /// Nothing has been asked yet, and this is known.
    pub(crate) fn new(near: &NearbyQuery, circles: Circles, known: Circle) -> Nearest {
        Nearest { near: *near, circles, calls: 0, sure: known, is_new: false, cut: None }
    }

    /// Whether the nearest places are sure.
    pub(crate) fn is_sure(&self) -> bool {
        self.sure.places.len() >= usize::from(PLACES_MAX)
            || self.sure.radius_m >= f64::from(self.near.radius_m)
    }

    /// The circle to ask for; `None` when the nearest places are sure, or as many calls were made as may be.
    pub(crate) fn next(&mut self) -> Option<NearbyQuery> {
        if self.is_sure() || self.calls >= self.circles.calls_max {
            return None;
        }
        let known = self.sure.radius_m;
        let radius_m = match self.cut.as_ref().map(|cut| (cut, cut.places.get(ENOUGH - 1))) {
            None => self.larger(),
            Some((_, Some((metres, _)))) => metres.ceil(),
            // Halfway in the logarithm; with nothing known, a quarter: a sixteenth of the area.
            Some((cut, None)) => (known.max(cut.radius_m / 16.0) * cut.radius_m).sqrt().ceil(),
        };
        // Between places that are metres apart there is no circle any more.
        let is_new = radius_m > known && self.cut.as_ref().is_none_or(|cut| radius_m < cut.radius_m);
        self.calls += 1;
        is_new.then_some(NearbyQuery { radius_m: radius_m as u32, ..self.near })
    }

    fn larger(&self) -> f64 {
        let all = (f64::from(self.near.radius_m) * WIDENED).ceil();
        let growth = if self.sure.places.is_empty() { GROWTH_IF_EMPTY } else { GROWTH };
        let next = (self.sure.radius_m * growth).ceil().max(f64::from(self.circles.first_m));
        if next > all * NEARLY_ALL { all } else { next }
    }

    /// Takes in what came for the circle `asked`: places, and up to which distance these are all there are.
    pub(crate) fn learn(&mut self, asked: &NearbyQuery, complete_m: f64, places: Vec<Place>) {
        let asked_m = f64::from(asked.radius_m);
        let came = Circle::around(&self.near, complete_m, places);
        if complete_m < asked_m && self.cut.as_ref().is_none_or(|cut| asked_m < cut.radius_m) {
            self.cut = Some(Circle { radius_m: asked_m, places: came.places.clone() });
        }
        if complete_m > self.sure.radius_m {
            self.sure = came.trimmed();
            self.is_new = true;
        }
    }

    /// The largest circle of which all has become known; `None` if that is no more than was known before.
    pub(crate) fn learned(self) -> Option<Circle> {
        self.is_new.then_some(self.sure)
    }

    /// The answer. If the nearest places are not sure, it has those that are known, and says so and `why`.
    ///
    /// # Errors
    /// `why`, if there is no place to show.
    pub(crate) fn answer(
        &self,
        attributions: &[&str],
        why: Option<PlacesError>,
    ) -> Result<Answer, PlacesError> {
        let surely = self.sure.radius_m;
        let further = self.cut.iter().flat_map(|cut| &cut.places).filter(|(metres, _)| *metres > surely);
        let radius_m = f64::from(self.near.radius_m);
        let nearest = self.sure.places.iter().chain(further.filter(|_| !self.is_sure()));
        let within = nearest.filter(|(metres, _)| *metres <= radius_m).map(|(_, place)| place);
        let mut shown = within.take(usize::from(PLACES_MAX)).peekable();
        if self.is_sure() {
            return Ok(Answer::of(shown, attributions, None));
        }
        let too_many =
            || PlacesError::Failed("there are more places near each other than it sends".to_owned());
        let why = why.unwrap_or_else(too_many);
        if shown.peek().is_none() {
            return Err(why);
        }
        let info = format!("these are surely the nearest up to {surely:.0} m only: {why}");
        Ok(Answer::in_part(shown, attributions, &info))
    }
}
