//! A list that grows without moving what it holds: with a vector the one update for which it doubles would wait until
//! all records are copied.

use std::iter;
use std::ops::{Index, IndexMut};

/// The elements that are made at once, which is done in a few microseconds.
const SEGMENT_ELEMENTS: usize = 256;

/// A list in segments.
#[derive(Debug)]
pub(super) struct Segments<T> {
    segments: Vec<Box<[T; SEGMENT_ELEMENTS]>>,
    len: usize,
}

impl<T: Default> Segments<T> {
    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends an element.
    pub(super) fn push(&mut self, element: T) {
        let at = self.len;
        if at == self.segments.len() * SEGMENT_ELEMENTS {
            self.grow();
        }
        self.len += 1;
        self[at as u32] = element;
    }

    /// Makes a segment where it stays. An array would be made on the stack, of which a thread that once used so much
    /// gives nothing back: 44 KiB for each connection that reported a new client.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let segment: Vec<T> = iter::repeat_with(T::default).take(SEGMENT_ELEMENTS).collect();
        let Ok(segment) = segment.try_into() else { unreachable!("it has as many elements") };
        self.segments.push(segment);
    }

    /// Takes the last element away.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let last = self.len as u32;
        Some(std::mem::take(&mut self[last]))
    }

    /// The element at this index, if there is one.
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        ((at as usize) < self.len).then(|| &self[at])
    }

    /// The elements from this index on.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        let segments = self.segments.iter().skip(at / SEGMENT_ELEMENTS);
        let left = self.len.saturating_sub(at);
        segments.flat_map(|segment| segment.iter()).skip(at % SEGMENT_ELEMENTS).take(left)
    }
}

impl<T: Default> Default for Segments<T> {
    fn default() -> Segments<T> {
        Segments { segments: Vec::new(), len: 0 }
    }
}

/// What is behind the end must not be asked for: it is a default, or fails.
impl<T> Index<u32> for Segments<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, at: u32) -> &T {
        &self.segments[at as usize / SEGMENT_ELEMENTS][at as usize % SEGMENT_ELEMENTS]
    }
}

impl<T> IndexMut<u32> for Segments<T> {
    #[inline(always)]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.segments[at as usize / SEGMENT_ELEMENTS][at as usize % SEGMENT_ELEMENTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_where_they_were_put_and_stay_there() {
        let mut list = Segments::default();
        list.push(0_usize);
        let first: *const usize = &list[0];
        for number in 1..3 * SEGMENT_ELEMENTS + 7 {
            list.push(number);
            assert_eq!((list.len(), list[number as u32]), (number + 1, number));
        }
        assert_eq!(first, &raw const list[0]);
        list.push(9);
        assert_eq!((list.pop(), list.len()), (Some(9), 3 * SEGMENT_ELEMENTS + 7));
        list[700] = 1;
        assert_eq!((list.get(700), list.get(list.len() as u32)), (Some(&1), None));
        for from in [0, 255, 256, 700, list.len(), list.len() + 300] {
            let expected = (from..list.len()).map(|number| if number == 700 { 1 } else { number });
            assert!(list.iter_from(from).copied().eq(expected), "{from}");
        }
        while list.pop().is_some() {}
        assert_eq!(list.len(), 0);
    }
}
