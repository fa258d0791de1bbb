//! The places in one answer of a provider, element by element: an odd one never spoils the others.

use std::fmt;
use std::mem;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::budget::{MINUTE, Window};
use super::error::PlacesError;
use super::place::Place;

/// What the elements of an answer are.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) places: Vec<Place>,
    /// Up to which distance in metres these are all the places there are; 0 if that is not known.
    pub(crate) complete_m: f64,
    /// How many elements there were.
    pub(crate) elements: usize,
    pub(crate) left_out: Option<LeftOut>,
}

/// Elements that are no places.
#[derive(Debug)]
pub(crate) struct LeftOut {
    pub(crate) count: usize,
    elements: usize,
    /// The first one, counted from 0, and what is wrong with it.
    first: usize,
    why: String,
}

impl Found {
    /// Reads each element by itself; `place` says of one that is no place what is wrong with it.
    pub(crate) fn read<'a, T: Deserialize<'a>>(
        elements: &[&'a RawValue],
        place: fn(T) -> Result<Place, &'static str>,
    ) -> Found {
        let mut found = Found { elements: elements.len(), ..Found::default() };
        for (index, element) in elements.iter().enumerate() {
            let read = serde_json::from_str(element.get())
                .map_err(|why| PlacesError::words(&why.to_string()))
                .and_then(|element| place(element).map_err(str::to_owned));
            match (read, &mut found.left_out) {
                (Ok(place), _) => found.places.push(place),
                (Err(_), Some(left_out)) => left_out.count += 1,
                (Err(why), none) => {
                    *none = Some(LeftOut { count: 1, elements: elements.len(), first: index, why });
                }
            }
        }
        found
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftOut { count, elements, first, why } = self;
        write!(
            f,
            "{count} of the {elements} elements of an answer are no places; the first, [{first}]: {why}"
        )
    }
}

/// Warnings of one kind, one a minute.
pub(crate) struct Warnings {
    within: Window,
    /// What was not warned of since the last warning.
    passed_over: usize,
}

impl Default for Warnings {
    fn default() -> Warnings {
        Warnings { within: Window::new(1, MINUTE), passed_over: 0 }
    }
}

impl Warnings {
    /// The warning of `what`, which stands for `count` of its kind, if one is due.
    pub(crate) fn due(&mut self, count: usize, what: &dyn fmt::Display, now: Instant) -> Option<String> {
        if self.within.take(now).is_err() {
            self.passed_over += count;
            return None;
        }
        let before = match mem::take(&mut self.passed_over) {
            0 => String::new(),
            before => format!("; before it {before} more of this kind"),
        };
        Some(format!("{what}{before}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::clock;

    #[derive(Deserialize)]
    struct Element {
        id: Option<String>,
    }

    fn place(element: Element) -> Result<Place, &'static str> {
        let id = element.id.ok_or("no id")?;
        let (name, types) = (String::new(), Vec::new());
        Ok(Place { id, name, latitude: 0.0, longitude: 0.0, types, vicinity: None })
    }

    #[test]
    fn odd_elements_are_left_out_and_the_first_is_named() {
        let text = r#"[{"id":"a","x":"\ud800","y":1e999}, {"id":null}, 3, null, [], {"id":"b"}, {"id":7}]"#;
        let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let found = Found::read(&elements, place);
        let ids: Vec<&str> = found.places.iter().map(|place| place.id.as_str()).collect();
        assert_eq!((ids, found.elements), (vec!["a", "b"], 7));
        assert_eq!(
            found.left_out.unwrap().to_string(),
            "5 of the 7 elements of an answer are no places; the first, [1]: no id"
        );
        assert!(Found::read(&elements[..1], place).left_out.is_none());
    }

    #[test]
    fn warnings_are_one_a_minute_and_say_how_many_there_were() {
        let (mut warnings, now) = (Warnings::default(), clock::now());
        let left_out = LeftOut { count: 2, elements: 9, first: 3, why: "no id".to_owned() };
        let due = warnings.due(2, &left_out, now).unwrap();
        assert_eq!(due, "2 of the 9 elements of an answer are no places; the first, [3]: no id");
        assert!((0..50).all(|_| warnings.due(2, &left_out, now + MINUTE / 2).is_none()));
        let due = warnings.due(2, &left_out, now + 2 * MINUTE).unwrap();
        assert!(due.ends_with("; before it 100 more of this kind"), "{due}");
    }
}
