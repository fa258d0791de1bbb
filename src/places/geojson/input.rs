//! The bytes of a file of places: what form they have, unpacked if they are packed with gzip.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::collection::{Bounds, Collection};
use super::foreign;
use super::reader::Reader;

/// What is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

const GZIP: &[u8] = b"\x1f\x8b";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the places of a file, or says in one sentence what is wrong with it. Names are those in the property
/// `name_field` first, which is in lower case.
pub(crate) fn read(input: impl Read, bounds: Bounds, name_field: Option<&str>) -> Result<Collection, String> {
    let mut input = BufReader::with_capacity(CHUNK_BYTES, input);
    let is_packed = beginning(&mut input)?.starts_with(GZIP);
    if is_packed {
        read_plain(BufReader::with_capacity(CHUNK_BYTES, MultiGzDecoder::new(input)), bounds, name_field)
    } else {
        read_plain(input, bounds, name_field)
    }
}

fn read_plain(
    mut input: impl BufRead,
    bounds: Bounds,
    name_field: Option<&str>,
) -> Result<Collection, String> {
    let beginning = beginning(&mut input)?;
    if let Some(what) = foreign::named(beginning) {
        return Err(what);
    }
    if beginning.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    Reader::new(input, bounds, name_field).map_err(cannot_be_read)?.read()
}

fn beginning(input: &mut impl BufRead) -> Result<&[u8], String> {
    input.fill_buf().map_err(cannot_be_read)
}

fn cannot_be_read(error: io::Error) -> String {
    format!("cannot be read: {error}")
}
