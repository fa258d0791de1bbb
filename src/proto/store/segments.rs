//! A list that grows without moving what it holds: with a vector the one update for which it doubles would wait until
//! all records are copied.

use std::iter;
use std::mem;
use std::ops::{Index, IndexMut};

/// The elements of a segment, for which memory is asked at once.
const SEGMENT_ELEMENTS: usize = 256;

/// A list in segments.
#[derive(Debug)]
pub(super) struct Segments<T> {
    /// Of a fixed length, so that looking an element up takes a single check. Behind the last element there are
    /// defaults.
    segments: Vec<Box<[T; SEGMENT_ELEMENTS]>>,
    len: usize,
}

impl<T: Default> Segments<T> {
    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends an element, which is the default, and returns its index.
    #[inline(always)]
    pub(super) fn add(&mut self) -> u32 {
        let at = self.len;
        if at == self.segments.len() * SEGMENT_ELEMENTS {
            self.grow();
        }
        self.len += 1;
        at as u32
    }

    #[cold]
    fn grow(&mut self) {
        let segment: Box<[T]> = iter::repeat_with(T::default).take(SEGMENT_ELEMENTS).collect();
        // It has as many elements as a segment.
        self.segments.extend(segment.try_into().ok());
    }

    /// Takes the last element away.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let last = self.len as u32;
        Some(mem::take(&mut self[last]))
    }

    /// The element at this index, if there is one.
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        ((at as usize) < self.len).then(|| &self[at])
    }

    /// The elements from this index on.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        let segments = self.segments.iter().skip(at / SEGMENT_ELEMENTS);
        let elements = segments.flat_map(|segment| segment.iter()).skip(at % SEGMENT_ELEMENTS);
        elements.take(self.len.saturating_sub(at))
    }
}

impl<T> Default for Segments<T> {
    fn default() -> Segments<T> {
        Segments { segments: Vec::new(), len: 0 }
    }
}

/// What is behind the end must not be asked for.
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
        let push = |list: &mut Segments<usize>, number| {
            let at = list.add();
            assert_eq!(list[at], 0);
            list[at] = number;
        };
        push(&mut list, 0);
        let first: *const usize = &list[0];
        for number in 1..3 * SEGMENT_ELEMENTS + 7 {
            push(&mut list, number);
            assert_eq!((list.len(), list[number as u32]), (number + 1, number));
        }
        assert_eq!(first, &raw const list[0]);
        push(&mut list, 9);
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
