//! The grammar of neighbours: what a initiator says on our peer port, and what a responder answers on a link.

use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::name::ServerName;
use crate::proto::model::sighting::{Sighting, sighting};
use crate::proto::node::Node;
use crate::proto::peering::auth::{Nonce, Proof};
use crate::proto::store::digest::{BUCKETS, BucketDigests};

/// The version of the dialect that this implementation speaks.
pub const PEER_VERSION: u32 = 2;

/// Stands for a proof in a herd without a secret.
const NO_PROOF: &str = "-";

/// What a initiator says to us on our peer port.
#[derive(Clone, Debug, PartialEq)]
pub enum Call<'a> {
    /// `HELLO <version> <from> <to> <epoch> <nonce>`: who calls, first of all.
    Hello(Greeting),
    /// `PROOF <proof>`: that it is who it says.
    Proof(Option<Proof>),
    /// `AT <origin> <skew> <client> <location> <time>`: news, or what was news once.
    At(Sighting<'a>),
    /// `UPTO <position>`: everything up to this position has been said.
    UpTo(u64),
    /// `BEAT <position> <total>`: the same, and that the initiator lives.
    Heartbeat(Heartbeat),
}

/// What a responder answers on a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `CHALLENGE <version> <from> <to> <epoch> <nonce>`, to `HELLO`: prove it.
    Challenge(Greeting),
    /// `WELCOME <proof> <position>`, to `PROOF`: so do I; and go on after this position.
    Welcome(Welcome),
    /// `ACK <position> <number> [<sums>]`, to `BEAT`.
    Ack(Box<Ack>),
}

/// How each side of a link presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Who speaks.
    pub from: ServerName,
    /// Whom it believes to speak to.
    pub to: ServerName,
    /// Which memory the speaker has.
    pub epoch: Epoch,
    /// The speaker's number for this connection.
    pub nonce: Nonce,
}

/// A sign of life of a initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Everything up to this position has been said.
    pub position: u64,
    /// The fingerprint of all that the initiator knows.
    pub total: u64,
}

/// How a responder takes a initiator in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// That the responder is who it says.
    pub proof: Option<Proof>,
    /// The position up to which it has merged what the initiator told it in this epoch.
    pub position: u64,
}

/// A sign of life of a responder, in answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The position up to which it has merged what the initiator told it in this epoch.
    pub position: u64,
    /// The number of its own last change.
    pub number: u64,
    /// Its fingerprint in buckets, if it differs from the initiator's.
    pub sums: Option<BucketDigests>,
}

/// Reads what came in on the peer port.
pub fn call(line: &[u8]) -> Result<Call<'_>, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "AT" => Ok(Call::At(sighting(fields)?.0)),
        "UPTO" => {
            let [position] = fields.exactly()?;
            Ok(Call::UpTo(decimal(position)?))
        }
        "BEAT" => {
            let [position, total] = fields.exactly()?;
            Ok(Call::Heartbeat(Heartbeat { position: decimal(position)?, total: hexadecimal(total)? }))
        }
        "HELLO" => Ok(Call::Hello(greeting(fields)?)),
        "PROOF" => {
            let [proof] = fields.exactly()?;
            Ok(Call::Proof(parse_proof(proof)?))
        }
        _ => Err(ParseError::UnknownWord),
    }
}

/// Reads what a responder answered.
pub fn answer(line: &[u8]) -> Result<Answer, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "ACK" => {
            let ([position, number], sums) = fields.exactly_or_one_more()?;
            let sums = sums.map(parse_sums).transpose()?;
            Ok(Answer::Ack(Box::new(Ack { position: decimal(position)?, number: decimal(number)?, sums })))
        }
        "CHALLENGE" => Ok(Answer::Challenge(greeting(fields)?)),
        "WELCOME" => {
            let [proof, position] = fields.exactly()?;
            Ok(Answer::Welcome(Welcome { proof: parse_proof(proof)?, position: decimal(position)? }))
        }
        _ => Err(ParseError::UnknownWord),
    }
}

impl Greeting {
    /// Appends the greeting as a line that begins with `word`.
    pub fn push_to(&self, word: &str, out: &mut Vec<u8>) {
        let Greeting { from, to, epoch, nonce } = self;
        push(out, &format!("{word} {PEER_VERSION} {from} {to} {:016x} {nonce}", epoch.0));
    }
}

impl Welcome {
    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        push(out, &format!("WELCOME {} {}", shown(self.proof), self.position));
    }
}

impl Heartbeat {
    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        push(out, &format!("BEAT {} {:016x}", self.position, self.total));
    }
}

impl Ack {
    /// The answer to a neighbour's heartbeat. What it told before must have been merged.
    pub(crate) fn to(beat: &Heartbeat, node: &Node, neighbour: usize, epoch: Epoch) -> Ack {
        let digest = node.store().digest();
        let sums = (digest.total() != beat.total).then(|| digest.sums().clone());
        Ack { position: node.heard(neighbour, epoch), number: node.store().last_seq(), sums }
    }

    /// Appends the line.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let mut line = format!("ACK {} {}", self.position, self.number);
        if let Some(sums) = &self.sums {
            line.push(' ');
            line.extend(sums.iter().map(|sum| format!("{sum:016x}")));
        }
        push(out, &line);
    }
}

/// Appends the line that proves.
pub fn push_proof(proof: Option<Proof>, out: &mut Vec<u8>) {
    push(out, &format!("PROOF {}", shown(proof)));
}

/// Appends the line that says how far has been said.
pub fn push_up_to(position: u64, out: &mut Vec<u8>) {
    // Said within a flood, where a line costs no allocation.
    out.extend_from_slice(b"UPTO ");
    let first_digit = out.len();
    let mut rest = position;
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

fn shown(proof: Option<Proof>) -> String {
    proof.map_or_else(|| NO_PROOF.to_owned(), |proof| proof.to_string())
}

/// The version is read first, for another one may have other fields.
fn greeting(mut fields: Fields<'_>) -> Result<Greeting, ParseError> {
    let version = fields.take().ok_or(ParseError::FieldCount)?;
    if decimal(version)? != u64::from(PEER_VERSION) {
        return Err(ParseError::Version);
    }
    let [from, to, epoch, nonce] = fields.exactly()?;
    let name = |text| ServerName::parse(text).map_err(|_| ParseError::ServerName);
    let (from, to) = (name(from)?, name(to)?);
    let epoch = Epoch(hexadecimal(epoch)?);
    Ok(Greeting { from, to, epoch, nonce: Nonce::parse(nonce).ok_or(ParseError::Proof)? })
}

fn parse_proof(text: &str) -> Result<Option<Proof>, ParseError> {
    match text {
        NO_PROOF => Ok(None),
        _ => Proof::parse(text).map(Some).ok_or(ParseError::Proof),
    }
}

/// Sixteen digits for each bucket.
fn parse_sums(text: &str) -> Result<BucketDigests, ParseError> {
    if text.len() != 16 * BUCKETS || !text.is_ascii() {
        return Err(ParseError::Number);
    }
    let mut sums = Box::new([0; BUCKETS]);
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = hexadecimal(&text[16 * at..16 * (at + 1)])?;
    }
    Ok(sums)
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
