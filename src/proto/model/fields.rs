//! A line as its first word and the fields after it, and the errors of a line.

use crate::proto::model::location::BadLocation;
use crate::proto::model::time::BadTime;

/// Why a line is not a command. The sender gets its line back; this is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No field at all.
    #[error("the line is blank")]
    Blank,
    /// Not text.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// The first field is no word that is understood here.
    #[error("the first word is not a command here")]
    UnknownWord,
    /// More or fewer fields than the command has.
    #[error("the number of fields is wrong")]
    FieldCount,
    /// Not two signed decimal numbers in bounds.
    #[error("bad location: {0}")]
    Location(#[from] BadLocation),
    /// Not a positive decimal number.
    #[error("bad time: {0}")]
    Time(#[from] BadTime),
    /// Another field of a command, and its file says why it is wrong.
    #[error("{0}")]
    Field(&'static str),
    /// Not a name that a server can have.
    #[error("a server's name is not one")]
    ServerName,
    /// Not a signed decimal number.
    #[error("the skew is not a signed decimal number")]
    Skew,
    /// Not a short field of graphic ASCII.
    #[error("the attributes are not at most 256 graphic characters")]
    Attributes,
    /// An epoch, a position or a sum that is not a number of its kind.
    #[error("an epoch, a position or a sum is not a number")]
    Number,
    /// Another version of the dialect between servers.
    #[error("it speaks another version: run the same release on both servers")]
    Version,
}

/// The first word of a line and the fields after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields<'a> {
    pub(crate) word: &'a str,
    rest: &'a str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(line: &'a [u8]) -> Result<Fields<'a>, ParseError> {
        let text = std::str::from_utf8(line).map_err(|_| ParseError::NotUtf8)?;
        let mut fields = Fields { word: "", rest: text };
        fields.word = fields.take().ok_or(ParseError::Blank)?;
        Ok(fields)
    }

    /// The next field: a run of anything but white space.
    pub(crate) fn take(&mut self) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let start = bytes.iter().position(|byte| !is_white_space(byte)).unwrap_or(bytes.len());
        let text = &self.rest[start..];
        let end = text.as_bytes().iter().position(is_white_space).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        self.rest = rest;
        (!field.is_empty()).then_some(field)
    }

    /// The next field as the word of what stands behind it.
    pub(crate) fn next_word(mut self) -> Result<Fields<'a>, ParseError> {
        let word = self.take().ok_or(ParseError::FieldCount)?;
        Ok(Fields { word, rest: self.rest })
    }

    pub(crate) fn exactly<const N: usize>(self) -> Result<[&'a str; N], ParseError> {
        match self.exactly_or_one_more()? {
            (fields, None) => Ok(fields),
            (_, Some(_)) => Err(ParseError::FieldCount),
        }
    }

    pub(crate) fn exactly_or_one_more<const N: usize>(
        mut self,
    ) -> Result<([&'a str; N], Option<&'a str>), ParseError> {
        let mut fields = [""; N];
        for field in &mut fields {
            *field = self.take().ok_or(ParseError::FieldCount)?;
        }
        let more = self.take();
        if self.take().is_some() { Err(ParseError::FieldCount) } else { Ok((fields, more)) }
    }
}

/// The six characters that separate fields. Other white space of Unicode is part of a field.
fn is_white_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
