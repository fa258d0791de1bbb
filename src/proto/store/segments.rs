//! A list that grows without moving what it holds: with a vector the one update for which it doubles would wait until
//! all records are copied.

use std::ops::{Index, IndexMut};

/// The elements of a segment, for which memory is asked at once.
const SEGMENT_ELEMENTS: usize = 256;

/// A list in segments.
#[derive(Debug)]
pub(super) struct Segments<T> {
    /// All are full up to the one with the last element. Those behind it are empty.
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segments<T> {
    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends an element.
    pub(super) fn push(&mut self, element: T) {
        let last = self.len / SEGMENT_ELEMENTS;
        if last == self.segments.len() {
            self.segments.push(Vec::with_capacity(SEGMENT_ELEMENTS));
        }
        self.segments[last].push(element);
        self.len += 1;
    }

    /// Takes the last element away.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        self.segments[self.len / SEGMENT_ELEMENTS].pop()
    }

    /// The element at this index, if there is one.
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        ((at as usize) < self.len).then(|| &self[at])
    }

    /// The elements from this index on.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        let segments = self.segments.iter().skip(at / SEGMENT_ELEMENTS);
        segments.flatten().skip(at % SEGMENT_ELEMENTS)
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
