//! A backup of a running server: one object of JSON in each line, and a last line that says how many there are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::conversation::{Outputs, Replies};
use super::error::ClientError;
use super::http::{ANSWER_TIME_MAX, Http, Lines, next_line};
use crate::config::given_file;
use crate::logging::Escaped;
use crate::proto::http::backup::{Count, OBJECT_BYTES_MAX};

/// The bytes of a backup that are sent in one request: a server takes a megabyte, which two longest lines would fill.
const PART_BYTES: usize = 256 * 1024;

/// The most refused lines that are shown with their reasons.
const REFUSED_SHOWN_MAX: u64 = 100;

/// Who may read a backup: it says where people are.
const MODE: u32 = 0o600;

const TRY_ANOTHER: &str = "name another file with --out";

/// Writes all that is stored to a file, which is there when it is whole, or to standard output.
pub(super) fn export(
    http: &Http,
    path: Option<&Path>,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let stream = http.stream("/v1/export", None)?;
    let count = match path {
        None => copy(stream, &mut outputs.replies, ClientError::Output)?,
        Some(path) => {
            let part = PathBuf::from(format!("{}.part", path.display()));
            let done = export_to(stream, &part, path);
            if done.is_err() {
                // What is there is of no use.
                let _ = fs::remove_file(&part);
            }
            done?
        }
    };
    let Count { clients, forgotten } = count;
    let _ = writeln!(outputs.notes, "exported: {clients} known, {forgotten} forgotten");
    Ok(Replies::Good)
}

fn export_to(stream: Lines, part: &Path, path: &Path) -> Result<Count, ClientError> {
    let failed = |source| ClientError::Backup { path: path.to_owned(), source, advice: TRY_ANOTHER };
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(part);
    let mut out = BufWriter::new(file.map_err(failed)?);
    let count = copy(stream, &mut out, failed)?;
    let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(part, path)).map_err(failed)?;
    Ok(count)
}

/// Copies an export, and returns what its last line says.
fn copy(
    mut stream: Lines,
    out: &mut impl Write,
    failed: impl Fn(io::Error) -> ClientError,
) -> Result<Count, ClientError> {
    let (mut line, mut lines) = (Vec::new(), 0);
    loop {
        let is_whole = next_line(&mut stream, OBJECT_BYTES_MAX, &mut line).unwrap_or_default();
        if !is_whole || !line.ends_with(b"\n") {
            return Err(ClientError::ExportCut { lines });
        }
        out.write_all(&line).map_err(&failed)?;
        if let Some(count) = Count::of_end(&line) {
            out.flush().map_err(failed)?;
            return Ok(count);
        }
        lines += 1;
    }
}

/// What has become of a backup so far.
#[derive(Default)]
struct Imported {
    /// Lines that were read.
    line: u64,
    /// The first of those that have not been sent.
    first: u64,
    part: Vec<u8>,
    applied: u64,
    outdated: u64,
    refused: u64,
}

/// Sends a backup, in parts.
pub(super) fn import(
    http: &Http,
    path: Option<&Path>,
    outputs: &mut Outputs<impl Write, impl Write>,
) -> Result<Replies, ClientError> {
    let mut input: Box<dyn BufRead> = match path {
        None => Box::new(BufReader::new(io::stdin())),
        Some(path) => {
            let advice = "name a file that `proxyherd export` has written, or - for standard input";
            let open = |path: &Path| -> io::Result<File> { given_file::open(path) };
            let failed = |source| ClientError::Backup { path: path.to_owned(), source, advice };
            Box::new(BufReader::new(open(path).map_err(failed)?))
        }
    };
    let (mut imported, mut line, mut end) = (Imported { first: 1, ..Imported::default() }, Vec::new(), None);
    while next_line(&mut input, OBJECT_BYTES_MAX, &mut line).map_err(ClientError::Input)? {
        imported.line += 1;
        if line.len() == OBJECT_BYTES_MAX && !line.ends_with(b"\n") {
            imported.refuse(imported.line, "it is longer than any line of an export", &mut outputs.notes);
            skip_line(&mut input).map_err(ClientError::Input)?;
            line = b"\n".to_vec();
        } else if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        if imported.part.len() + line.len() > PART_BYTES {
            imported.send(http, &mut outputs.notes)?;
            imported.first = imported.line;
        }
        imported.part.extend_from_slice(&line);
        end = Count::of_end(&line).or(end.filter(|_| line.trim_ascii().is_empty()));
    }
    imported.send(http, &mut outputs.notes)?;
    let Imported { applied, outdated, refused, .. } = imported;
    let is_whole = end.is_some_and(|end| end.clients + end.forgotten == applied + outdated + refused);
    if !is_whole {
        let _ =
            writeln!(outputs.notes, "the backup does not end as one that is whole: it may have been cut off");
    }
    let text = format!("imported: {applied} new, {outdated} known or older, {refused} refused");
    writeln!(outputs.replies, "{text}").map_err(ClientError::Output)?;
    Ok(if refused == 0 { Replies::Good } else { Replies::Errors })
}

impl Imported {
    /// Sends what is there.
    fn send(&mut self, http: &Http, notes: &mut impl Write) -> Result<(), ClientError> {
        if self.part.trim_ascii().is_empty() {
            self.part.clear();
            return Ok(());
        }
        let sent = http.send("/v1/import", "application/x-ndjson", &self.part, ANSWER_TIME_MAX);
        let answer = sent.map_err(|why| ClientError::ImportCut { line: self.first, why: Box::new(why) })?;
        self.part.clear();
        let number = |key: &str| answer[key].as_u64().unwrap_or_default();
        self.applied += number("applied");
        self.outdated += number("outdated");
        let mut unseen = number("refused");
        for refusal in answer["refusals"].as_array().into_iter().flatten() {
            let line = self.first + refusal["line"].as_u64().unwrap_or(1) - 1;
            self.refuse(line, refusal["why"].as_str().unwrap_or_default(), notes);
            unseen = unseen.saturating_sub(1);
        }
        self.refused += unseen;
        Ok(())
    }

    fn refuse(&mut self, line: u64, why: &str, notes: &mut impl Write) {
        self.refused += 1;
        if self.refused <= REFUSED_SHOWN_MAX {
            let _ = writeln!(notes, "line {line} is refused: {}", Escaped(why.as_bytes()));
        }
    }
}

/// Goes on behind the next line feed.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let (skipped, is_over) = match memchr::memchr(b'\n', bytes) {
            Some(at) => (at + 1, true),
            None => (bytes.len(), bytes.is_empty()),
        };
        input.consume(skipped);
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_without_its_last_line_is_cut_off() {
        let copied = |text: &str| {
            let stream: Box<dyn io::Read> = Box::new(io::Cursor::new(text.to_owned()));
            let mut out = Vec::new();
            let copied = copy(BufReader::new(stream), &mut out, ClientError::Output);
            (copied.map_err(|error| error.to_string()), String::from_utf8(out).unwrap())
        };
        let whole = "{}\n{\"end\":{\"clients\":1,\"forgotten\":0}}\n";
        assert_eq!(copied(whole), (Ok(Count { clients: 1, forgotten: 0 }), whole.to_owned()));
        for cut in ["", "{}\n", "{}\n{\"end\":{\"clients\":1,\"forgotten\":0}}", "{}"] {
            assert!(copied(cut).0.unwrap_err().starts_with("the export is cut off after "), "{cut}");
        }
    }

    #[test]
    fn rest_of_a_line_is_skipped() {
        let mut input = io::Cursor::new("abc\nd\n");
        skip_line(&mut input).unwrap();
        let mut line = Vec::new();
        assert!(next_line(&mut input, 9, &mut line).unwrap());
        assert_eq!(line, b"d\n");
        skip_line(&mut input).unwrap();
    }
}
