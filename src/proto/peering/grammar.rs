//! The grammar of neighbours: the lines that an initiator sends to our peer port, and those that a responder answers on
//! a link.

use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::name::ServerName;
use crate::proto::model::sighting::{Sighting, sighting};
use crate::proto::model::stored_line::{ERA, FORGET, StoredLine, WITH};
use crate::proto::node::Node;
use crate::proto::store::cursor::HASHES_MAX;
use crate::proto::store::digest::{BUCKETS, BucketDigests};
use crate::proto::store::terms::{MemoryBound, Terms};
use crate::proto::tree::Verdict;

/// The version of the dialect that this implementation speaks.
pub const PEER_VERSION: u32 = 5;

/// What an initiator says that understands `PRUNE`. A release that does not know it answers with an error line.
const LAZY: &str = "LAZY";

/// The hexadecimal digits of a hash.
const HASH_DIGITS: usize = 16;

/// What a greeting begins with, in any version.
const HELLO: &str = "HELLO";

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A line that an initiator sends to our peer port.
#[derive(Clone, Debug, PartialEq)]
pub enum Call<'a> {
    /// `HELLO <version> <from> <to> [<epoch>]`: who has dialled, first of all.
    Hello(Greeting),
    /// `READY`: the initiator has the answer to its greeting. In a herd with a secret it is the first line in a frame,
    /// and shows by it that it knows the secret.
    Ready,
    /// `AT <origin> <skew> <client> <location> <time>`: an update that the initiator has applied, now or once.
    At(Sighting<'a>),
    /// `WITH <attributes> AT ...`: the same, with attributes; `ERA <era> #<hash> ...`: either, in a later era; and
    /// `FORGET <era> <client> #<hash>`: a client was forgotten.
    Stored(StoredLine<'a>),
    /// `UPTO <position>`: every change up to this sequence number has been sent.
    UpTo(u64),
    /// `BEAT <position> <total> <cut-off> <memory> <hops>`: as `UPTO`, and the initiator lives.
    Heartbeat(Heartbeat),
    /// `LAZY`: the initiator understands `PRUNE`.
    Lazy,
    /// `IHAVE <position> <hash> ...`: among the changes up to this sequence number, which are not sent, the initiator
    /// has records with these hashes.
    Offer(Offer<'a>),
}

/// What an initiator offers: its hashes are read when they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer<'a> {
    /// The sequence number.
    pub position: u64,
    hashes: Fields<'a>,
}

/// A line that a responder answers on a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `HELLO <version> <from> <to> <epoch>`, to `HELLO`, in a herd without a secret.
    Hello(Greeting),
    /// `WELCOME <position>`, to `READY`: go on after this sequence number.
    Welcome(Welcome),
    /// `ACK <position> <number> <cut-off> [<sums>]`, to `BEAT`.
    Ack(Box<Ack>),
    /// `PRUNE`: what the initiator sends is known before it comes. From now on it sends what it has, and no lines.
    Prune,
    /// `KNOWN <position>`, or `GRAFT`, to `IHAVE`.
    Verdict(Verdict),
}

/// How each side of a link presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Who speaks.
    pub from: ServerName,
    /// Which server the speaker believes to speak to.
    pub to: ServerName,
    /// The epoch of the speaker's memory. In a herd with a secret it is in the messages of the handshake, which come
    /// after the greeting.
    pub epoch: Option<Epoch>,
}

/// A sign of life of an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Every change up to this sequence number has been sent.
    pub up_to: u64,
    /// The digest of everything that the initiator knows.
    pub digest: u64,
    /// The bounds that it keeps to.
    pub terms: Terms,
}

/// How a responder accepts an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The sequence number up to which the responder has merged the changes of the initiator in this epoch.
    pub received_up_to: u64,
}

/// A sign of life of a responder, in answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The sequence number up to which the responder has merged the changes of the initiator in this epoch.
    pub received_up_to: u64,
    /// The sequence number of the responder's own last change.
    pub last_seq: u64,
    /// The cut-off of the responder: only what is of one cut-off can be compared.
    pub cutoff_s: u64,
    /// The responder's bucket digests, if its digest differs from the initiator's.
    pub buckets: Option<BucketDigests>,
}

/// Reads a line that came in on the peer port.
pub fn call(line: &[u8]) -> Result<Call<'_>, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "AT" => Ok(Call::At(sighting(fields)?.0)),
        ERA | FORGET | WITH => Ok(Call::Stored(StoredLine::of(fields)?)),
        "UPTO" => {
            let [position] = fields.exactly()?;
            Ok(Call::UpTo(decimal(position)?))
        }
        "BEAT" => {
            let [position, total, cutoff, bytes, hops] = fields.exactly()?;
            let hops = u32::try_from(decimal(hops)?).map_err(|_| ParseError::Number)?;
            let memory = MemoryBound { bytes_max: decimal(bytes)?, hops };
            let terms = Terms { cutoff_s: decimal(cutoff)?, memory };
            Ok(Call::Heartbeat(Heartbeat { up_to: decimal(position)?, digest: hexadecimal(total)?, terms }))
        }
        HELLO => Ok(Call::Hello(greeting(fields)?)),
        "READY" => {
            let [] = fields.exactly()?;
            Ok(Call::Ready)
        }
        "IHAVE" => Ok(Call::Offer(Offer::of(fields)?)),
        LAZY => {
            let [] = fields.exactly()?;
            Ok(Call::Lazy)
        }
        _ => Err(ParseError::UnknownWord),
    }
}

/// Reads a line that a responder answered.
pub fn answer(line: &[u8]) -> Result<Answer, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "ACK" => {
            let ([position, number, cutoff], buckets) = fields.exactly_or_one_more()?;
            let buckets = buckets.map(parse_buckets).transpose()?;
            let (received_up_to, last_seq) = (decimal(position)?, decimal(number)?);
            let cutoff_s = decimal(cutoff)?;
            Ok(Answer::Ack(Box::new(Ack { received_up_to, last_seq, cutoff_s, buckets })))
        }
        HELLO => Ok(Answer::Hello(greeting(fields)?)),
        "WELCOME" => {
            let [position] = fields.exactly()?;
            Ok(Answer::Welcome(Welcome { received_up_to: decimal(position)? }))
        }
        "PRUNE" => {
            let [] = fields.exactly()?;
            Ok(Answer::Prune)
        }
        "KNOWN" => {
            let [position] = fields.exactly()?;
            Ok(Answer::Verdict(Verdict::Known(decimal(position)?)))
        }
        "GRAFT" => {
            let [] = fields.exactly()?;
            Ok(Answer::Verdict(Verdict::Graft))
        }
        _ => Err(ParseError::UnknownWord),
    }
}

impl<'a> Offer<'a> {
    fn of(mut fields: Fields<'a>) -> Result<Offer<'a>, ParseError> {
        let position = decimal(fields.take().ok_or(ParseError::FieldCount)?)?;
        let mut rest = fields.clone();
        for count in 0.. {
            let Some(hash) = rest.take() else { break };
            if count == HASHES_MAX {
                return Err(ParseError::FieldCount);
            }
            if hash.len() != HASH_DIGITS {
                return Err(ParseError::Number);
            }
            hexadecimal(hash)?;
        }
        Ok(Offer { position, hashes: fields })
    }

    /// The hashes.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        let mut fields = self.hashes.clone();
        std::iter::from_fn(move || fields.take()).filter_map(|hash| hexadecimal(hash).ok())
    }
}

impl Greeting {
    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let Greeting { from, to, epoch } = self;
        let mut line = format!("{HELLO} {PEER_VERSION} {from} {to}");
        line.extend(epoch.map(|epoch| format!(" {:016x}", epoch.0)));
        push(out, &line);
    }
}

impl Welcome {
    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        push(out, &format!("WELCOME {}", self.received_up_to));
    }
}

impl Heartbeat {
    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let Heartbeat { up_to, digest, terms: Terms { cutoff_s, memory } } = self;
        let MemoryBound { bytes_max, hops } = memory;
        push(out, &format!("BEAT {up_to} {digest:016x} {cutoff_s} {bytes_max} {hops}"));
    }
}

impl Ack {
    /// The answer to a neighbour's heartbeat. Its lines before that must have been merged.
    pub(crate) fn to(heartbeat: &Heartbeat, node: &Node, neighbour: usize, epoch: Epoch) -> Ack {
        let (digest, expiry) = (node.store().digest(), &node.store().expiry);
        let differs = expiry.is_swept_to(heartbeat.terms.cutoff_s) && digest.total() != heartbeat.digest;
        let buckets = differs.then(|| digest.buckets().clone());
        let received_up_to = node.received_up_to(neighbour, epoch);
        Ack { received_up_to, last_seq: node.store().last_seq(), cutoff_s: expiry.cutoff_s(), buckets }
    }

    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let mut line = format!("ACK {} {} {}", self.received_up_to, self.last_seq, self.cutoff_s);
        if let Some(buckets) = &self.buckets {
            line.push(' ');
            line.extend(buckets.iter().map(|bucket| format!("{bucket:016x}")));
        }
        push(out, &line);
    }
}

/// Appends the line that says that the initiator is ready.
pub fn push_ready(out: &mut Vec<u8>) {
    push(out, "READY");
}

/// Appends the line that says that the initiator understands `PRUNE`.
pub fn push_lazy(out: &mut Vec<u8>) {
    push(out, LAZY);
}

/// Whether an answer is that of a release that does not know lazy links.
pub(crate) fn knows_no_lazy_links(answer: &[u8]) -> bool {
    answer.strip_prefix(b"? ") == Some(LAZY.as_bytes())
}

/// Appends the line that says that the initiator has records with these hashes among its changes up to `position`.
pub fn push_offer(position: u64, hashes: &[u64], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("IHAVE {position}").as_bytes());
    for hash in hashes {
        out.push(b' ');
        out.extend((0..HASH_DIGITS).rev().map(|digit| DIGITS[(hash >> (4 * digit)) as usize % 16]));
    }
    out.push(b'\n');
}

/// Appends the line that says that what the initiator sends is known before it comes.
pub fn push_prune(out: &mut Vec<u8>) {
    push(out, "PRUNE");
}

/// Appends the line that says what becomes of an offer.
pub fn push_verdict(verdict: Verdict, out: &mut Vec<u8>) {
    match verdict {
        Verdict::Known(position) => push(out, &format!("KNOWN {position}")),
        Verdict::Graft => push(out, "GRAFT"),
    }
}

/// The version of a greeting that is not ours, and who says to have sent it: that is all that is known of one.
pub fn other_version(line: &[u8]) -> Option<(u64, &str)> {
    let mut fields = Fields::of(line).ok().filter(|fields| fields.word == HELLO)?;
    let version = decimal(fields.take()?).ok().filter(|&version| version != u64::from(PEER_VERSION))?;
    Some((version, fields.take()?))
}

/// Appends the line that says up to which sequence number every change has been sent.
pub fn push_up_to(seq: u64, out: &mut Vec<u8>) {
    // It is sent within a flood, where a line costs no allocation.
    out.extend_from_slice(b"UPTO ");
    let first_digit = out.len();
    let mut rest = seq;
    while rest > 0 || out.len() == first_digit {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    out[first_digit..].reverse();
    out.push(b'\n');
}

fn push(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

/// The version is read first, because another one may have other fields.
fn greeting(mut fields: Fields<'_>) -> Result<Greeting, ParseError> {
    let version = fields.take().ok_or(ParseError::FieldCount)?;
    if decimal(version)? != u64::from(PEER_VERSION) {
        return Err(ParseError::Version);
    }
    let ([from, to], epoch) = fields.exactly_or_one_more()?;
    let name = |text| ServerName::parse(text).map_err(|_| ParseError::ServerName);
    let (from, to) = (name(from)?, name(to)?);
    let epoch = epoch.map(hexadecimal).transpose()?.map(Epoch);
    Ok(Greeting { from, to, epoch })
}

/// Sixteen digits for each bucket.
fn parse_buckets(text: &str) -> Result<BucketDigests, ParseError> {
    if text.len() != 16 * BUCKETS || !text.is_ascii() {
        return Err(ParseError::Number);
    }
    let mut buckets = Box::new([0; BUCKETS]);
    for (at, bucket) in buckets.iter_mut().enumerate() {
        *bucket = hexadecimal(&text[16 * at..16 * (at + 1)])?;
    }
    Ok(buckets)
}

fn decimal(text: &str) -> Result<u64, ParseError> {
    // `parse` alone would take a plus sign.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(ParseError::Number)
}

fn hexadecimal(text: &str) -> Result<u64, ParseError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_plain).ok_or(ParseError::Number)
}
