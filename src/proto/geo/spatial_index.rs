//! An index by place: which records are in a box, and which are the nearest to a place.
//!
//! A place becomes two whole numbers of `PER_DEGREE`, and their bits, taken in turn, become one key (Z-order). So the
//! nodes of a quadtree are ranges of keys in one ordered set: it is as fine as records are dense, a record that moves
//! costs one entry removed and one inserted, and nothing is ever rebuilt. A key is 9 mm wide, so what is found may be
//! beyond a bound by so much: the caller has the exact places, and measures again.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use geographiclib_rs::{Geodesic, InverseGeodesic};

use crate::proto::geo::area::Area;
use crate::proto::geo::sphere::{METRES_PER_RADIAN_MIN, chord_2, metres_at_least, on_unit_sphere, radians};

/// How finely degrees are told apart: all of the longitudes take 32 bits.
const PER_DEGREE: f64 = (1_u64 << 32) as f64 / 360.0;

/// The bytes of memory that a record takes, at most and nearly: an entry, with what a tree leaves empty, and a key in a
/// list that doubles.
pub const BYTES_PER_RECORD: usize = 40;

/// The metres by which a place may be away from that of its key: a step of 9.3 mm in each direction, and some more.
const KEY_METRES: f64 = 0.02;

/// The key of a record that is nowhere. No place has it, because latitudes take half of the numbers.
const NOWHERE: u64 = u64::MAX;

/// Nodes with so few entries are not divided (with twice as many where only numbers are compared): to look at some that
/// are not wanted costs less than to look for others.
const LEAF_ENTRIES_MAX: usize = 16;

/// The most nodes that are looked at for one question, at half a microsecond each. A box that is a thin line around
/// the Earth crosses the clients of some three thousand among a million.
const NODES_MAX: usize = 16_384;

/// The most entries that are measured for one question, at a microsecond each: see `places/index.rs`.
const MEASURED_MAX: usize = 4_096;

/// Records, by their numbers, and where they are.
#[derive(Debug)]
pub struct SpatialIndex {
    entries: BTreeSet<Entry>,
    /// The key of each record.
    keys: Vec<u64>,
    earth: Geodesic,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The numbers of the records.
    pub records: Vec<u32>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// One record, in the order of keys. The key is in two halves, so that an entry has 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    high: u32,
    low: u32,
    record: u32,
}

/// A node of the quadtree: all keys that begin like this one, with two bits for each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    first: u64,
    level: u32,
}

/// Whole numbers of latitude and longitude, with their bounds.
#[derive(Clone, Copy, Debug)]
struct Rectangle {
    latitudes: (u32, u32),
    longitudes: (u32, u32),
}

/// What may be the next nearest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Candidate {
    Entry(Entry),
    Node(Node),
}

impl Default for SpatialIndex {
    fn default() -> SpatialIndex {
        SpatialIndex { entries: BTreeSet::new(), keys: Vec::new(), earth: Geodesic::wgs84() }
    }
}

impl SpatialIndex {
    /// How many records are somewhere.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number behind that of every record that was ever set.
    pub fn end(&self) -> u32 {
        self.keys.len() as u32
    }

    /// Whether a record is somewhere.
    pub fn has(&self, record: u32) -> bool {
        self.keys.get(record as usize).is_some_and(|&key| key != NOWHERE)
    }

    /// A record is at this latitude and longitude from now on, or nowhere.
    pub fn set(&mut self, record: u32, place: Option<(f64, f64)>) {
        let at = record as usize;
        if at >= self.keys.len() {
            self.keys.resize(at + 1, NOWHERE);
        }
        let key = place.map_or(NOWHERE, |(latitude, longitude)| key_of(latitude, longitude));
        let before = std::mem::replace(&mut self.keys[at], key);
        if before == key {
            return;
        }
        if before != NOWHERE {
            self.entries.remove(&Entry::new(before, record));
        }
        if key != NOWHERE {
            self.entries.insert(Entry::new(key, record));
        }
    }

    /// At most so many records in a box, and perhaps some on its edges that are not; in no order that means anything.
    pub fn within(&self, area: &Area, records_max: usize) -> Found {
        let rectangles = Rectangle::all_of(area);
        let side = rectangles.iter().map(Rectangle::longer_side).max().unwrap_or_default();
        let (mut found, mut nodes) = (Found::default(), 0);
        let mut waiting = vec![Node::ROOT];
        while let Some(node) = waiting.pop() {
            let own = node.rectangle();
            if !rectangles.iter().any(|rectangle| rectangle.meets(own)) {
                continue;
            }
            // What is larger than the box has to be divided anyway, so there is no need to look at what it has.
            if node.side() > side {
                waiting.extend(node.children());
                continue;
            }
            nodes += 1;
            if nodes > NODES_MAX {
                found.is_cut = true;
                break;
            }
            let is_inside = rectangles.iter().any(|rectangle| rectangle.contains(own));
            if !is_inside && self.entries_of(node).nth(2 * LEAF_ENTRIES_MAX).is_some() {
                waiting.extend(node.children());
                continue;
            }
            for entry in self.entries_of(node) {
                let (latitude, longitude) = numbers(entry.key());
                if !is_inside && !rectangles.iter().any(|rectangle| rectangle.has(latitude, longitude)) {
                    continue;
                }
                if found.records.len() == records_max {
                    found.is_cut = true;
                    return found;
                }
                found.records.push(entry.record);
            }
        }
        found
    }

    /// The so many nearest records within a radius, and perhaps some that are equally far by a few centimetres, nearest
    /// first by centimetres.
    pub fn nearest(&self, (latitude, longitude): (f64, f64), radius_m: f64, count: usize) -> Found {
        let here = on_unit_sphere(latitude, longitude);
        // Distances are not negative, so their bits are in their order.
        let mut waiting = BinaryHeap::from([Reverse((0_u64, Candidate::Node(Node::ROOT)))]);
        let mut best: BinaryHeap<u64> = BinaryHeap::new();
        let mut measured: Vec<(u64, u32)> = Vec::new();
        let (mut nodes, mut last) = (0, (NOWHERE, 0.0));
        let mut is_cut = false;
        while let Some(Reverse((least, candidate))) = waiting.pop() {
            let farthest = best.peek().filter(|_| best.len() == count).map(|bits| f64::from_bits(*bits));
            if f64::from_bits(least) > farthest.unwrap_or(radius_m).min(radius_m) + KEY_METRES {
                break;
            }
            if nodes == NODES_MAX || measured.len() == MEASURED_MAX {
                is_cut = true;
                break;
            }
            match candidate {
                Candidate::Entry(entry) => {
                    if last.0 != entry.key() {
                        let (to_latitude, to_longitude) = degrees(entry.key());
                        let metres: f64 = self.earth.inverse(latitude, longitude, to_latitude, to_longitude);
                        last = (entry.key(), metres);
                    }
                    if last.1 <= radius_m + KEY_METRES {
                        measured.push((last.1.to_bits(), entry.record));
                        best.push(last.1.to_bits());
                        if best.len() > count {
                            best.pop();
                        }
                    }
                }
                Candidate::Node(node) => {
                    nodes += 1;
                    let is_leaf = node.level == Node::LEVELS;
                    if !is_leaf && self.entries_of(node).nth(LEAF_ENTRIES_MAX).is_some() {
                        let children = node.children().map(|child| {
                            let least = child.metres_at_least((latitude, longitude), here);
                            Reverse((least.to_bits(), Candidate::Node(child)))
                        });
                        waiting.extend(children);
                        continue;
                    }
                    let entries = self.entries_of(node).take(MEASURED_MAX).map(|entry| {
                        let (to_latitude, to_longitude) = degrees(entry.key());
                        let chord_2 = chord_2(here, on_unit_sphere(to_latitude, to_longitude));
                        let least = (metres_at_least(chord_2) - KEY_METRES).max(0.0);
                        Reverse((least.to_bits(), Candidate::Entry(entry)))
                    });
                    waiting.extend(entries);
                }
            }
        }
        if let Some(bits) = best.peek().filter(|_| best.len() == count) {
            let farthest = f64::from_bits(*bits) + 2.0 * KEY_METRES;
            measured.retain(|(bits, _)| f64::from_bits(*bits) <= farthest);
        }
        measured.sort_unstable();
        Found { records: measured.into_iter().map(|(_, record)| record).collect(), is_cut }
    }

    fn entries_of(&self, node: Node) -> impl Iterator<Item = Entry> + '_ {
        let last = node.last();
        let from = Entry::new(node.first, 0);
        self.entries.range(from..).copied().take_while(move |entry| entry.key() <= last)
    }
}

impl Entry {
    fn new(key: u64, record: u32) -> Entry {
        Entry { high: (key >> 32) as u32, low: key as u32, record }
    }

    fn key(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

impl Node {
    const ROOT: Node = Node { first: 0, level: 0 };

    /// The levels below the root: one for each bit of a number.
    const LEVELS: u32 = 32;

    fn last(self) -> u64 {
        self.first | u64::MAX.checked_shr(2 * self.level).unwrap_or(0)
    }

    /// The numbers on each side of it.
    fn side(self) -> u64 {
        1 << (Node::LEVELS - self.level)
    }

    fn children(self) -> [Node; 4] {
        let level = self.level + 1;
        [0, 1, 2, 3].map(|quarter| Node { first: self.first | quarter << (64 - 2 * level), level })
    }

    fn rectangle(self) -> Rectangle {
        let ((south, west), (north, east)) = (numbers(self.first), numbers(self.last()));
        Rectangle { latitudes: (south, north), longitudes: (west, east) }
    }

    /// A distance below which nothing in it can be from a place, which is `here` on the unit sphere.
    fn metres_at_least(self, (latitude, _): (f64, f64), here: [f64; 3]) -> f64 {
        let ((south, west), (north, east)) = (degrees(self.first), degrees(self.last()));
        let (middle, half) = ((south + north) / 2.0, (north - south) / 2.0);
        // From the middle every place of it is reached along a meridian, and then along a parallel.
        let equator_side = if south <= 0.0 && north >= 0.0 { 0.0 } else { south.abs().min(north.abs()) };
        let reach = half.to_radians() + ((east - west) / 2.0).to_radians() * equator_side.to_radians().cos();
        let from_middle = radians(chord_2(here, on_unit_sphere(middle, (west + east) / 2.0))) - reach;
        let from_parallel = (south - latitude).max(latitude - north).to_radians();
        (from_middle.max(from_parallel) * METRES_PER_RADIAN_MIN - KEY_METRES).max(0.0)
    }
}

impl Rectangle {
    /// All that a box covers, and a step more on each side.
    fn all_of(area: &Area) -> Vec<Rectangle> {
        let (south, north) = area.latitudes();
        let latitudes = (latitude_number(south).saturating_sub(1), latitude_number(north) + 1);
        let (west, width) = area.longitudes();
        let first = longitude_number(west).wrapping_sub(1);
        let last = u64::from(first) + (width * PER_DEGREE).ceil() as u64 + 3;
        let mut all = Vec::with_capacity(4);
        let mut add = |latitudes, longitudes| all.push(Rectangle { latitudes, longitudes });
        if last - u64::from(first) >= u64::from(u32::MAX) {
            add(latitudes, (0, u32::MAX));
        } else if last > u64::from(u32::MAX) {
            add(latitudes, (first, u32::MAX));
            add(latitudes, (0, last as u32));
        } else {
            add(latitudes, (first, last as u32));
        }
        for pole in [south, north].into_iter().filter(|latitude| latitude.abs() == 90.0) {
            add((latitude_number(pole), latitude_number(pole)), (0, u32::MAX));
        }
        all
    }

    fn longer_side(&self) -> u64 {
        let side = |(first, last): (u32, u32)| u64::from(last - first) + 1;
        side(self.latitudes).max(side(self.longitudes))
    }

    fn has(&self, latitude: u32, longitude: u32) -> bool {
        let is_between = |it, (first, last): (u32, u32)| first <= it && it <= last;
        is_between(latitude, self.latitudes) && is_between(longitude, self.longitudes)
    }

    fn contains(&self, other: Rectangle) -> bool {
        self.has(other.latitudes.0, other.longitudes.0) && self.has(other.latitudes.1, other.longitudes.1)
    }

    fn meets(&self, other: Rectangle) -> bool {
        let overlap = |a: (u32, u32), b: (u32, u32)| a.0 <= b.1 && b.0 <= a.1;
        overlap(self.latitudes, other.latitudes) && overlap(self.longitudes, other.longitudes)
    }
}

fn latitude_number(latitude: f64) -> u32 {
    ((latitude + 90.0) * PER_DEGREE) as u32
}

/// The two names of the date line have one number.
fn longitude_number(longitude: f64) -> u32 {
    ((longitude + 180.0) * PER_DEGREE) as u64 as u32
}

fn key_of(latitude: f64, longitude: f64) -> u64 {
    spread(latitude_number(latitude)) << 1 | spread(longitude_number(longitude))
}

/// The numbers of latitude and longitude in a key.
fn numbers(key: u64) -> (u32, u32) {
    (gathered(key >> 1), gathered(key))
}

/// The latitude and the longitude of a key.
fn degrees(key: u64) -> (f64, f64) {
    let (latitude, longitude) = numbers(key);
    let latitude = f64::from(latitude) / PER_DEGREE - 90.0;
    (latitude.min(90.0), f64::from(longitude) / PER_DEGREE - 180.0)
}

/// Each bit of a number at twice its place.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in SPREADS.into_iter().rev() {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every second bit.
fn gathered(key: u64) -> u32 {
    let mut bits = key & SPREADS[0].1;
    let masks = SPREADS[1..].iter().map(|spread| spread.1).chain([0xffff_ffff]);
    for ((shift, _), mask) in SPREADS.into_iter().zip(masks) {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// By how much groups of bits move apart, and where they are then.
const SPREADS: [(u32, u64); 5] = [
    (1, 0x5555_5555_5555_5555),
    (2, 0x3333_3333_3333_3333),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (8, 0x00ff_00ff_00ff_00ff),
    (16, 0x0000_ffff_0000_ffff),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_their_numbers() {
        for pair in [(0, 0), (1, 0), (0, 1), (0x8000_0000, u32::MAX), (0x1234_5678, 0x9abc_def0)] {
            assert_eq!(numbers(spread(pair.0) << 1 | spread(pair.1)), pair);
        }
        assert_eq!(key_of(5.0, 180.0), key_of(5.0, -180.0));
        let (latitude, longitude) = degrees(key_of(34.068_930, -118.445_127));
        assert!((latitude - 34.068_930).abs() < 1e-7 && (longitude + 118.445_127).abs() < 1e-7);
    }

    #[test]
    fn memory_of_a_record_is_what_it_is_reckoned_with() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut places = |count: u32| -> Vec<(f64, f64)> {
            (0..count).map(|_| (random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0)).collect()
        };
        // Lists that have just doubled, and others.
        for count in [40_000, 66_000, 130_000] {
            let (once, again) = (places(count), places(count));
            let mut index = SpatialIndex::default();
            let used = allocation_counter::measure(|| {
                for places in [&once, &again] {
                    (0..).zip(places).for_each(|(record, &place)| index.set(record, Some(place)));
                }
            });
            let each = used.bytes_current as f64 / f64::from(count);
            assert!((20.0..=BYTES_PER_RECORD as f64).contains(&each), "{each} bytes");
        }
    }

    #[test]
    fn work_of_a_question_is_bounded_however_many_are_alike() {
        let mut index = SpatialIndex::default();
        (0..100_000).for_each(|record| index.set(record, Some((10.0, 10.0))));
        let found = index.within(&Area::parse("9,9,11,11").unwrap(), 50);
        assert!(found.records.len() == 50 && found.is_cut);
        let found = index.within(&Area::parse("10.1,9,11,11").unwrap(), 50);
        assert_eq!(found, Found::default());
        let found = index.nearest((10.3, 10.0), 1e6, 20);
        assert!(found.records.len() <= MEASURED_MAX && found.records.len() >= 20);
    }

    /// Anywhere, and the poles, the date line and one neighbourhood more often.
    fn place() -> impl Strategy<Value = (f64, f64)> {
        let latitude = prop_oneof![
            3 => -90.0..=90.0,
            2 => 51.0..=51.5,
            1 => Just(90.0),
            1 => Just(-90.0),
            1 => 89.9..=90.0,
            1 => Just(0.0)
        ];
        let longitude = prop_oneof![
            3 => -180.0..=180.0,
            2 => 0.0..=0.5,
            1 => Just(180.0),
            1 => Just(-180.0),
            1 => 179.9..=180.0,
            1 => -180.0..=-179.9
        ];
        (latitude, longitude)
    }

    proptest! {
        // A failing case is printed; keeping it in a file would put one into the root of the repository.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn index_agrees_with_looking_at_every_record(
            moves in prop::collection::vec((0_u32..60, prop::option::weighted(0.9, place())), 0..150),
            (south, west) in place(),
            (north, east) in place(),
            radius_m in prop_oneof![Just(f64::INFINITY), 0.0..20_000.0, 0.0..2e7],
            count in 1_usize..20,
        ) {
            let mut index = SpatialIndex::default();
            let mut places = [None; 60];
            for (record, place) in moves {
                index.set(record, place);
                places[record as usize] = place;
            }
            let known = || (0_u32..).zip(&places).filter_map(|(record, place)| Some((record, (*place)?)));
            prop_assert_eq!(index.len(), known().count());

            let area = Area::parse(&format!("{west},{},{east},{}", south.min(north), south.max(north))).unwrap();
            let mut found = index.within(&area, usize::MAX).records;
            found.sort_unstable();
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "one comes twice");
            let is_inside = |record: u32| {
                let (latitude, longitude) = places[record as usize].unwrap();
                area.contains(latitude, longitude)
            };
            found.retain(|&record| is_inside(record));
            let expected: Vec<u32> = known().map(|(record, _)| record).filter(|&it| is_inside(it)).collect();
            prop_assert_eq!(found, expected);

            let earth = Geodesic::wgs84();
            let metres = |(latitude, longitude)| -> f64 { earth.inverse(south, west, latitude, longitude) };
            let mut expected: Vec<(f64, u32)> =
                known().map(|(record, place)| (metres(place), record)).filter(|it| it.0 <= radius_m).collect();
            expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
            expected.truncate(count);
            let found = index.nearest((south, west), radius_m, count).records;
            let mut found: Vec<(f64, u32)> =
                found.iter().map(|&record| (metres(places[record as usize].unwrap()), record)).collect();
            found.retain(|it| it.0 <= radius_m);
            found.sort_by(|a, b| a.partial_cmp(b).unwrap());
            found.truncate(count);
            prop_assert_eq!(found, expected);
        }
    }
}
