//! A box of degrees, as programs ask with one: west, south, east, north.

/// A box between two parallels and two meridians, its edges included. One whose west is greater than its east crosses
/// the date line. A pole is in every box that touches it, and the date line is one meridian with two names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

/// Why a text is no box, or no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArea {
    /// Not four numbers.
    #[error("box is not WEST,SOUTH,EAST,NORTH in degrees")]
    Box,
    /// Not two numbers.
    #[error("near is not LATITUDE,LONGITUDE in degrees")]
    Place,
    /// Not on the globe.
    #[error("a latitude is beyond 90 degrees")]
    Latitude,
    /// Not on the globe.
    #[error(
        "a longitude is beyond 180 degrees: a box across the date line has a west that is greater than its east"
    )]
    Longitude,
    /// Upside down.
    #[error("the south of the box is greater than its north")]
    UpsideDown,
}

impl Area {
    /// Reads `WEST,SOUTH,EAST,NORTH`.
    ///
    /// # Errors
    /// If the text is no box.
    pub fn parse(text: &str) -> Result<Area, BadArea> {
        let [west, south, east, north] = numbers(text).ok_or(BadArea::Box)?;
        on_globe(south, west)?;
        on_globe(north, east)?;
        if south > north {
            return Err(BadArea::UpsideDown);
        }
        Ok(Area { west, south, east, north })
    }

    /// Whether a place in degrees is in the box.
    pub fn contains(&self, latitude: f64, longitude: f64) -> bool {
        let Area { west, south, east, north } = *self;
        let is_between =
            |it: f64| if west <= east { west <= it && it <= east } else { west <= it || it <= east };
        let is_date_line = longitude.abs() == 180.0;
        (south..=north).contains(&latitude)
            && (latitude.abs() == 90.0
                || is_between(longitude)
                || is_date_line && (is_between(180.0) || is_between(-180.0)))
    }

    /// The parallels of its south and its north.
    pub fn latitudes(&self) -> (f64, f64) {
        (self.south, self.north)
    }

    /// The meridian of its west, and how many degrees the east is to the east of it.
    pub fn longitudes(&self) -> (f64, f64) {
        let width = self.east - self.west;
        (self.west, if width < 0.0 { width + 360.0 } else { width })
    }
}

/// Reads `LATITUDE,LONGITUDE`.
///
/// # Errors
/// If the text is no place on the globe.
pub fn place(text: &str) -> Result<(f64, f64), BadArea> {
    let [latitude, longitude] = numbers(text).ok_or(BadArea::Place)?;
    on_globe(latitude, longitude)?;
    Ok((latitude, longitude))
}

fn on_globe(latitude: f64, longitude: f64) -> Result<(), BadArea> {
    if latitude.abs() > 90.0 {
        Err(BadArea::Latitude)
    } else if longitude.abs() > 180.0 {
        Err(BadArea::Longitude)
    } else {
        Ok(())
    }
}

/// As many numbers as are wanted, between commas.
fn numbers<const COUNT: usize>(text: &str) -> Option<[f64; COUNT]> {
    let number = |part: &str| part.trim().parse().ok().filter(|number: &f64| number.is_finite());
    let numbers: Option<Vec<f64>> = text.split(',').take(COUNT + 1).map(number).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_read_and_bad_ones_say_why() {
        assert!(Area::parse("-10,-5.5,10, +5").is_ok() && Area::parse("170,0,-170,0").is_ok());
        assert!(Area::parse("-180,-90,180,90").is_ok());
        for (text, why) in [
            ("", BadArea::Box),
            ("1,2,3", BadArea::Box),
            ("1,2,3,4,5", BadArea::Box),
            ("1,2,3,x", BadArea::Box),
            ("1,2,3,NaN", BadArea::Box),
            ("1,2,inf,3", BadArea::Box),
            ("1,-91,3,4", BadArea::Latitude),
            ("1,2,3,90.1", BadArea::Latitude),
            ("-181,2,3,4", BadArea::Longitude),
            ("170,2,190,4", BadArea::Longitude),
            ("1,4,3,2", BadArea::UpsideDown),
        ] {
            assert_eq!(Area::parse(text), Err(why), "{text}");
        }
        assert_eq!(place("34.06,-118.4"), Ok((34.06, -118.4)));
        assert_eq!(place("34.06"), Err(BadArea::Place));
        assert_eq!(place("-118.4,34.06"), Err(BadArea::Latitude));
        assert_eq!(place("34.06,200"), Err(BadArea::Longitude));
    }

    #[test]
    fn date_line_and_poles_belong_to_the_boxes_that_touch_them() {
        let contains =
            |text: &str, latitude, longitude| Area::parse(text).unwrap().contains(latitude, longitude);
        assert!(contains("170,-10,-170,10", 0.0, 175.0) && contains("170,-10,-170,10", 0.0, -175.0));
        assert!(!contains("170,-10,-170,10", 0.0, 0.0) && !contains("170,-10,-170,10", 11.0, 175.0));
        assert!(contains("-180,0,-170,10", 5.0, 180.0) && contains("170,0,180,10", 5.0, -180.0));
        assert!(contains("180,0,-170,10", 5.0, -180.0) && contains("180,0,-180,10", 5.0, 180.0));
        assert!(!contains("180,0,-180,10", 5.0, 179.0) && !contains("0,0,10,10", 5.0, 180.0));
        assert!(contains("100,80,110,90", 90.0, -30.0) && contains("100,-90,110,-90", -90.0, 0.0));
        assert!(!contains("100,80,110,89.9", 90.0, 105.0) && !contains("100,80,110,90", 89.9, -30.0));
        assert_eq!(Area::parse("170,0,-170,0").unwrap().longitudes(), (170.0, 20.0));
    }
}
