//! The features of a file, in whichever form they come: a FeatureCollection, a feature or a geometry alone, an array
//! of them, one in each line, or a sequence of texts (RFC 8142).

use std::io::{self, BufRead};
use std::mem;

use memchr::memmem;

use super::collection::{Bounds, Collection};
use super::crs;
use super::feature::Feature;
use super::foreign;
use super::left_out::{Cause, Reason};
use super::mend::mended;
use super::scan::Scanner;
use super::tags::Tags;
use crate::places::error::PlacesError;

/// The most bytes of a member at the top of a file that is looked at, besides its features.
const MEMBER_BYTES_MAX: usize = 64 * 1024;

/// How much is shown of what is no feature.
const SHOWN_CHARS: usize = 40;

/// What parts the texts of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// How the texts of a file follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One text, or several that may have line ends in them.
    Documents,
    /// One in each line, so that a broken one ends there.
    Lines,
    /// A separator before each (RFC 8142).
    Sequence,
}

impl Form {
    /// What the first bytes of a file look like.
    fn of(beginning: &[u8]) -> Form {
        let beginning = beginning.trim_ascii_start();
        if beginning.first() == Some(&RECORD_SEPARATOR) {
            return Form::Sequence;
        }
        let mut lines =
            beginning.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let (Some(first), second) = (lines.next(), lines.next()) else { return Form::Documents };
        let is_whole = |line: &[u8]| {
            let feature =
                std::str::from_utf8(line).ok().and_then(|line| Feature::read(line, Tags::default()).ok());
            feature.is_some_and(|it| it.is_feature || it.geometry.coordinates.is_some())
        };
        let has_features = memmem::find(first, b"\"features\"").is_some();
        let are_lines =
            first.starts_with(b"{") && !has_features && (is_whole(first) || second.is_some_and(is_whole));
        if are_lines { Form::Lines } else { Form::Documents }
    }
}

/// Reads a file.
pub(super) struct Reader<'a, R> {
    scanner: Scanner<R>,
    bounds: Bounds,
    name_field: Option<&'a str>,
    form: Form,
    /// The text of the feature that is read.
    text: Vec<u8>,
    /// Those of the feature before, for their memory.
    tags: Tags,
    collection: Collection,
}

impl<'a, R: BufRead> Reader<'a, R> {
    /// Takes a name from the property `name_field` first, which is in lower case.
    pub(super) fn new(
        mut input: R,
        bounds: Bounds,
        name_field: Option<&'a str>,
    ) -> io::Result<Reader<'a, R>> {
        let form = Form::of(input.fill_buf()?);
        let scanner = Scanner::new(input, bounds.bytes);
        Ok(Reader {
            scanner,
            bounds,
            name_field,
            form,
            text: Vec::new(),
            tags: Tags::default(),
            collection: Collection::default(),
        })
    }

    /// All of the file, or what is wrong with it.
    pub(super) fn read(mut self) -> Result<Collection, String> {
        match self.form {
            Form::Sequence => self.sequence()?,
            Form::Lines => {
                while self.scanner.peek()?.is_some() {
                    self.line()?;
                }
            }
            Form::Documents => {
                self.document()?;
                while self.scanner.peek()?.is_some() {
                    self.document()?;
                }
            }
        }
        self.collection.checked()
    }

    /// Texts with a separator before each.
    fn sequence(&mut self) -> Result<(), String> {
        while self.scanner.peek()?.is_some() {
            let bytes_max = self.bounds.feature_bytes;
            let fits = self.scanner.until(RECORD_SEPARATOR, &mut self.text, bytes_max)?;
            if !self.text.trim_ascii().is_empty() {
                self.take_text(fits)?;
            }
        }
        Ok(())
    }

    /// A line of a file with a feature in each.
    fn line(&mut self) -> Result<(), String> {
        let bytes_max = self.bounds.feature_bytes;
        let fits = self.scanner.until(b'\n', &mut self.text, bytes_max)?;
        self.take_text(fits)
    }

    /// The first object or array.
    fn document(&mut self) -> Result<(), String> {
        match self.scanner.peek()? {
            Some(b'[') => self.array(|reader| reader.feature()),
            Some(b'{') => self.object(true),
            Some(_) | None => Err(self.scanner.unexpected("an object of GeoJSON").into()),
        }
    }

    /// A FeatureCollection, whose features are taken as they come; or a feature or a geometry, whose members are put
    /// together again; or what uMap saves, a list of collections.
    fn object(&mut self, may_have_layers: bool) -> Result<(), String> {
        let (mut own, mut kind, mut has_features) = (b"{".to_vec(), None, false);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        self.scanner.expect(b'{', "an object")?;
        while !self.scanner.take(b'}')? {
            if self.scanner.peek()? != Some(b'"') {
                return Err(self.scanner.unexpected("the name of a member").into());
            }
            self.scanner.value(&mut key, MEMBER_BYTES_MAX)?;
            self.scanner.expect(b':', "a colon")?;
            let name: String = serde_json::from_slice(&key).unwrap_or_default();
            match name.as_str() {
                "features" => {
                    has_features = true;
                    self.array(|reader| reader.feature())?;
                }
                "layers" if may_have_layers => {
                    has_features = true;
                    self.array(|reader| reader.object(false))?;
                }
                "type" | "crs" | "id" | "geometry" | "properties" | "coordinates" | "geometries" => {
                    self.member(&name, &mut value)?;
                    if name == "type" {
                        kind = serde_json::from_slice::<String>(&value).ok();
                    }
                    for part in [&key[..], b":", &value, b","] {
                        own.extend_from_slice(part);
                    }
                }
                _ => {
                    self.scanner.value(&mut value, 0)?;
                    let foreign = &mut self.collection.foreign;
                    *foreign = foreign.take().or_else(|| foreign::of_member(&name));
                }
            }
            self.comma(b'}')?;
        }
        match kind.as_deref() {
            Some("FeatureCollection" | "umap") | None if has_features => Ok(()),
            Some("FeatureCollection") => Err("a FeatureCollection without \"features\"".to_owned()),
            Some(other) if has_features => Err(self.collection.foreign.take().unwrap_or_else(|| {
                format!("not a GeoJSON FeatureCollection: its \"type\" is \"{}\"", PlacesError::words(other))
            })),
            // A feature or a geometry alone. Anything else is named by what is wrong with it.
            Some(_) | None => match self.collection.foreign.take() {
                Some(what) => Err(what),
                None => {
                    own.pop_if(|last| *last == b',');
                    own.push(b'}');
                    self.text = own;
                    self.take_text(true)
                }
            },
        }
    }

    /// Reads the value of a member that a feature may have, too. A `crs` is that of the whole file.
    fn member(&mut self, name: &str, value: &mut Vec<u8>) -> Result<(), String> {
        let bytes_max = self.bounds.feature_bytes;
        if !self.scanner.value(value, bytes_max)? {
            return Err(format!("its \"{name}\" is longer than {bytes_max} bytes"));
        }
        let crs = std::str::from_utf8(value).ok().filter(|_| name == "crs");
        match crs.and_then(crs::other_than_wgs84) {
            Some(name) => Err(crs::advice(&PlacesError::words(&name))),
            None => Ok(()),
        }
    }

    /// An array, of whose values each is taken by `take`; `null` is as good as an empty one.
    fn array(&mut self, mut take: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if self.scanner.peek()? != Some(b'[') {
            let mut value = Vec::new();
            self.scanner.value(&mut value, MEMBER_BYTES_MAX)?;
            return if value == b"null" { Ok(()) } else { Err("its \"features\" are no array".to_owned()) };
        }
        self.scanner.expect(b'[', "an array")?;
        while !self.scanner.take(b']')? {
            take(self)?;
            self.comma(b']')?;
        }
        Ok(())
    }

    fn feature(&mut self) -> Result<(), String> {
        let fits = self.scanner.value(&mut self.text, self.bounds.feature_bytes)?;
        self.take_text(fits)
    }

    /// What parts two values, if `end` does not come. One before the end, which people leave there, does no harm.
    fn comma(&mut self, end: u8) -> Result<(), String> {
        if self.scanner.take(b',')? || self.scanner.peek()? == Some(end) {
            return Ok(());
        }
        Err(self.scanner.unexpected("a comma").into())
    }

    /// Takes the feature whose text was read; it may also be a whole FeatureCollection, in a line of its own.
    fn take_text(&mut self, fits: bool) -> Result<(), String> {
        let text = mem::take(&mut self.text);
        let taken = if !fits {
            let why = format!("it is longer than {} bytes", self.bounds.feature_bytes);
            self.collection.leave_out(None, Reason::new(Cause::TooLong, why));
            Ok(())
        } else {
            let tags = mem::take(&mut self.tags);
            let whole = std::str::from_utf8(&text).ok().and_then(|text| Feature::read(text, tags).ok());
            match whole {
                Some(feature) => self.take(feature, &text),
                None => {
                    let mended = mended(&text);
                    match Feature::read(&mended, Tags::default()) {
                        Ok(feature) => self.take(feature, mended.as_bytes()),
                        Err(error) => {
                            let reason = if error.is_data() {
                                let shown: String = mended.chars().take(SHOWN_CHARS).collect();
                                Reason::new(Cause::NoFeature, format!("it is {shown}, and no feature"))
                            } else {
                                Reason::new(Cause::Broken, error.to_string())
                            };
                            self.collection.leave_out(None, reason);
                            Ok(())
                        }
                    }
                }
            }
        };
        self.text = text;
        taken.and_then(|()| self.collection.within(self.bounds))
    }

    fn take(&mut self, feature: Feature<'_>, text: &[u8]) -> Result<(), String> {
        if feature.kind.as_deref() == Some("FeatureCollection") && !feature.is_feature {
            let mut inner = Reader {
                scanner: Scanner::new(text, self.bounds.bytes),
                collection: mem::take(&mut self.collection),
                bounds: self.bounds,
                name_field: self.name_field,
                form: Form::Documents,
                text: Vec::new(),
                tags: Tags::default(),
            };
            let read = inner.object(false);
            self.collection = inner.collection;
            return read;
        }
        self.tags = self.collection.take(feature, self.bounds, self.name_field)?;
        Ok(())
    }
}
