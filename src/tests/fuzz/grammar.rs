//! One line: what is understood is what a second opinion understands, and comes back when it is printed.

use super::naive::{self, Said};
use crate::proto::line::commands::{ClientCommand, client_command};
use crate::proto::model::fields::ParseError;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::time::{Skew, Timestamp};
use crate::proto::peering::grammar::{
    Answer, Call, answer, call, push_lazy, push_offer, push_prune, push_ready, push_up_to, push_verdict,
};
use crate::proto::store::update::{Source, Update};

/// `data` is read as one line, for a line feed is white space like any other, and as lines.
pub(crate) fn check(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    for line in [data].iter().chain(&lines) {
        client(line);
        at(line);
        words(line);
    }
    let sightings: Vec<Sighting<'_>> = lines.iter().filter_map(|line| sighting(line)).collect();
    sightings.windows(2).for_each(|pair| order(&pair[0], &pair[1]));
    let texts = naive::fields(data);
    texts.windows(2).for_each(|pair| times(pair[0], pair[1]));
}

fn sighting(line: &[u8]) -> Option<Sighting<'_>> {
    match call(line) {
        Ok(Call::At(sighting)) => Some(sighting),
        Ok(_) | Err(_) => None,
    }
}

fn client(line: &[u8]) {
    let parsed = client_command(line);
    match std::str::from_utf8(line) {
        Err(_) => return assert_eq!(parsed, Err(ParseError::NotUtf8)),
        Ok(_) if naive::fields(line).is_empty() => return assert_eq!(parsed, Err(ParseError::Blank)),
        Ok(_) => {}
    }
    let printed = match (parsed, naive::client(line)) {
        (Ok(ClientCommand::IAmAt(report)), Some(Said::Report(fields))) => {
            let parsed = [report.client.0, report.location.text(), report.time.text()];
            assert_eq!(parsed, fields);
            let (latitude, longitude) = report.location.degrees();
            // What stands beside the signs is between the bounds as text, and rounding keeps it there.
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0, "{latitude} {longitude}");
            format!("IAMAT {} {} {}", parsed[0], parsed[1], parsed[2])
        }
        (Ok(ClientCommand::WhatsAt(ask)), Some(Said::Question(client, radius_km, limit))) => {
            assert_eq!((ask.client.0, ask.radius_km, ask.limit), (client, radius_km, limit));
            format!("WHATSAT {client} {radius_km} {limit}")
        }
        (Err(_), None) => return,
        (parsed, _) => panic!("{} is {parsed:?}, by mistake", line.escape_ascii()),
    };
    assert_eq!(client_command(printed.as_bytes()), parsed);
}

fn at(line: &[u8]) {
    let sighting = match (call(line), naive::at(line)) {
        (Ok(Call::At(sighting)), Some(fields)) => {
            let Sighting { origin, skew, client, location, time } = sighting;
            assert_eq!([origin, skew, client.0, location.text(), time.text()], fields);
            sighting
        }
        (Ok(Call::At(_)), None) => panic!("{} is a sighting, by mistake", line.escape_ascii()),
        (Ok(_) | Err(_), None) => return,
        (parsed, _) => panic!("{} is {parsed:?}, by mistake", line.escape_ascii()),
    };
    let printed = line_of(&sighting);
    let Ok(Call::At(again)) = call(&printed) else { panic!("{} is not read again", printed.escape_ascii()) };
    assert_eq!(line_of(&again), printed);
}

/// The words of two servers, but for `AT`, in the dialect as it is.
fn words(line: &[u8]) {
    let mut printed = Vec::new();
    match call(line) {
        Ok(Call::Hello(hello)) => hello.push_to(&mut printed),
        Ok(Call::Ready) => push_ready(&mut printed),
        Ok(Call::UpTo(position)) => push_up_to(position, &mut printed),
        Ok(Call::Heartbeat(beat)) => beat.push_to(&mut printed),
        Ok(Call::Stored(stored)) => stored.push_to(&mut printed),
        Ok(Call::Lazy) => push_lazy(&mut printed),
        Ok(Call::Offer(offer)) => {
            let hashes: Vec<u64> = offer.hashes().collect();
            push_offer(offer.position, &hashes, &mut printed);
            let Ok(Call::Offer(again)) = call(&printed) else { panic!("an offer is not read again") };
            assert_eq!((again.position, again.hashes().collect()), (offer.position, hashes));
            // Its fields may have stood further apart.
            return;
        }
        Ok(Call::At(_)) | Err(_) => {}
    }
    if !printed.is_empty() {
        return assert_eq!(call(&printed), call(line));
    }
    match answer(line) {
        Ok(Answer::Hello(hello)) => hello.push_to(&mut printed),
        Ok(Answer::Welcome(welcome)) => welcome.push_to(&mut printed),
        Ok(Answer::Ack(ack)) => ack.push_to(&mut printed),
        Ok(Answer::Prune) => push_prune(&mut printed),
        Ok(Answer::Verdict(verdict)) => push_verdict(verdict, &mut printed),
        Err(_) => return,
    }
    assert_eq!(answer(&printed), answer(line));
}

/// Of two sightings of one client the later wins, and of two at the same time the one whose line is greater.
fn order(one: &Sighting<'_>, other: &Sighting<'_>) {
    let key = |it: &Sighting<'_>| (naive::time(it.time.text()), line_of(it));
    if one.client == other.client {
        let (lines, read) =
            ([one, other].map(line_of), |line| Update::from_stored(line, Source::CLIENT).unwrap());
        let [update, stored] = [read(&lines[0]), read(&lines[1])];
        assert_eq!(update.cmp_stored(stored.era, stored.meta.moment, stored.line), key(one).cmp(&key(other)));
    }
}

/// Two texts, if they are times, are compared and subtracted exactly.
fn times(one: &str, other: &str) {
    let parsed = |text| {
        let (time, naive) = (Timestamp::parse(text), naive::time(text));
        assert_eq!(time.is_ok(), naive.is_some(), "{text:?}");
        time.ok().zip(naive)
    };
    let (Some((one, naive_one)), Some((other, naive_other))) = (parsed(one), parsed(other)) else { return };
    assert_eq!(one.cmp(&other), naive_one.cmp(&naive_other));
    let (nanos_one, nanos_other) = (naive_one.nanos(), naive_other.nanos());
    assert_eq!((naive::nanos(one.moment()), naive::nanos(other.moment())), (nanos_one, nanos_other));
    let mut skew = Vec::new();
    Skew::between(one.moment(), other.moment()).push_to(&mut skew);
    assert_eq!(skew, naive::skew(nanos_one, nanos_other).into_bytes());
}

fn line_of(sighting: &Sighting<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    sighting.push_to(&mut line);
    line
}
