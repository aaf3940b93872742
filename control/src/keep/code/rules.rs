//! How rules and detection stand in the file. The prefixes of a list stand apart: a rule that is prolonged does
//! not have a million of them written again.

use shm::message::Instruction;

use super::{Reading, VERSION, write_net, write_origin, write_text};
use crate::model::Detect;
use crate::model::dos::{
    CHECKS, CLASSES, LIST_KINDS, Limit, MODES, Matter, Per, Prefixes, Reach, Rule, Unit,
};

/// What stands for no number: no rate and no time is so large.
const NONE: u64 = u64::MAX;

pub(in super::super) fn write_rule(rule: &Rule, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(rule.origin, to);
    write_text(&rule.name, to);
    to.push(place_of(&MODES, &rule.mode));
    write_text(rule.reach.text(), to);
    write_number(rule.expires, to);
    match &rule.matter {
        Matter::List(kind, _) => to.extend([0, place_of(&LIST_KINDS, kind)]),
        Matter::Signature { expression, program } => {
            to.push(1);
            write_long(expression, to);
            for Instruction { code, jt, jf, k } in &**program {
                to.extend(code.to_le_bytes());
                to.extend([*jt, *jf]);
                to.extend(k.to_le_bytes());
            }
        }
        Matter::Limit(limit) => {
            to.push(2);
            write_limit(limit, to);
        }
        Matter::Check(check) => {
            let at = CHECKS.iter().position(|(_, other)| other == check);
            to.extend([3, octet(at)]);
        }
    }
}

/// A rule, but for its id and the prefixes of a list.
pub(in super::super) fn read_rule(id: u32, octets: &[u8], prefixes: Prefixes) -> Option<Rule> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let name = from.text()?.into();
    let mode = at_place(&MODES, from.octet()?)?;
    let reach = Reach::read(from.text()?);
    let expires = read_number(from.take()?);
    let matter = match from.octet()? {
        0 => Matter::List(at_place(&LIST_KINDS, from.octet()?)?, prefixes),
        1 => {
            let expression = read_long(&mut from)?.into();
            let mut program = Vec::new();
            while !from.0.is_empty() {
                let code = u16::from_le_bytes(from.take()?);
                let [jt, jf] = from.take()?;
                program.push(Instruction { code, jt, jf, k: u32::from_le_bytes(from.take()?) });
            }
            Matter::Signature { expression, program: program.into() }
        }
        2 => Matter::Limit(read_limit(&mut from)?),
        3 => Matter::Check(CHECKS.get(usize::from(from.octet()?))?.1),
        _ => return None,
    };
    from.0.is_empty().then_some(Rule { name, id, mode, reach, expires, matter, origin })
}

pub(in super::super) fn write_prefixes(prefixes: &Prefixes, to: &mut Vec<u8>) {
    to.clear();
    for prefix in prefixes.as_slice() {
        write_net(prefix, to);
    }
}

pub(in super::super) fn read_prefixes(octets: &[u8]) -> Option<Prefixes> {
    let (mut from, mut prefixes) = (Reading(octets), Vec::new());
    while !from.0.is_empty() {
        prefixes.push(from.net()?);
    }
    Some(prefixes.into())
}

pub(in super::super) fn write_detect(detect: &Detect, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(detect.origin, to);
    to.push(place_of(&MODES, &detect.mode));
    write_number(detect.source_packets, to);
    write_number(detect.source_octets, to);
    write_number(detect.destination_packets, to);
    write_number(detect.pattern_packets, to);
    to.extend(detect.hold.to_le_bytes());
}

pub(in super::super) fn read_detect(octets: &[u8]) -> Option<Detect> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let detect = Detect {
        origin: from.origin()?,
        mode: at_place(&MODES, from.octet()?)?,
        source_packets: read_number(from.take()?),
        source_octets: read_number(from.take()?),
        destination_packets: read_number(from.take()?),
        pattern_packets: read_number(from.take()?),
        hold: u64::from_le_bytes(from.take()?),
    };
    from.0.is_empty().then_some(detect)
}

fn write_limit(limit: &Limit, to: &mut Vec<u8>) {
    let (per, v4_len, v6_len) = match limit.per {
        Per::Source { v4_len, v6_len } => (0, v4_len, v6_len),
        Per::Destination { v4_len, v6_len } => (1, v4_len, v6_len),
        Per::Whole => (2, 0, 0),
    };
    let octets = u8::from(limit.unit == Unit::Octets);
    to.extend([per, v4_len, v6_len, place_of(&CLASSES, &limit.class), octets]);
    to.extend(limit.per_second.to_le_bytes());
    to.extend(limit.burst.to_le_bytes());
}

fn read_limit(from: &mut Reading<'_>) -> Option<Limit> {
    let [per, v4_len, v6_len, class, octets] = from.take()?;
    let per = match per {
        0 => Per::Source { v4_len, v6_len },
        1 => Per::Destination { v4_len, v6_len },
        2 => Per::Whole,
        _ => return None,
    };
    let unit = if octets == 1 { Unit::Octets } else { Unit::Packets };
    let per_second = u64::from_le_bytes(from.take()?);
    let burst = u64::from_le_bytes(from.take()?);
    Some(Limit { per, class: at_place(&CLASSES, class)?, unit, per_second, burst })
}

/// A number that may be none.
fn write_number(number: Option<u64>, to: &mut Vec<u8>) {
    to.extend(number.unwrap_or(NONE).to_le_bytes());
}

fn read_number(octets: [u8; 8]) -> Option<u64> {
    Some(u64::from_le_bytes(octets)).filter(|number| *number != NONE)
}

/// At most 65535 octets; longer expressions are refused before.
fn write_long(text: &str, to: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    to.extend(len.to_le_bytes());
    to.extend(text.bytes().take(len.into()));
}

fn read_long<'a>(from: &mut Reading<'a>) -> Option<&'a str> {
    let len = u16::from_le_bytes(from.take()?);
    let (text, rest) = from.0.split_at_checked(len.into())?;
    from.0 = rest;
    std::str::from_utf8(text).ok()
}

/// The place of a value among its words, which stays when words are added behind them.
pub(super) fn place_of<T: PartialEq>(words: &[(&str, T)], value: &T) -> u8 {
    octet(words.iter().position(|(_, other)| other == value))
}

fn octet(place: Option<usize>) -> u8 {
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

pub(super) fn at_place<T: Copy>(words: &[(&str, T)], place: u8) -> Option<T> {
    words.get(usize::from(place)).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dos::{Check, Class, ListKind, Mode};
    use crate::model::{Origin, Place};

    fn matters() -> Vec<Matter> {
        let limit = |per, unit| {
            Matter::Limit(Limit { per, class: Class::Syn, unit, per_second: 1 << 33, burst: 7 })
        };
        let program = vec![
            Instruction { code: 0x28, jt: 0, jf: 0, k: 12 },
            Instruction { code: 6, jt: 3, jf: 9, k: u32::MAX },
        ];
        vec![
            Matter::List(ListKind::Allow, vec!["10.0.0.0/8".parse().unwrap()].into()),
            Matter::Signature { expression: "udp ".repeat(100).into(), program: program.into() },
            limit(Per::Source { v4_len: 24, v6_len: 48 }, Unit::Packets),
            limit(Per::Destination { v4_len: 32, v6_len: 128 }, Unit::Octets),
            limit(Per::Whole, Unit::Octets),
            Matter::Check(Check::Reflection),
        ]
    }

    #[test]
    fn every_kind_of_rule_comes_back_and_no_shorter_one() {
        for (number, matter) in (7..).zip(matters()) {
            let rule = Rule {
                name: "a".repeat(128).into(),
                id: number,
                mode: Mode::Monitor,
                reach: Reach::Tenant("customer".into()),
                expires: (number % 2 == 0).then_some(1 << 40),
                matter,
                origin: Origin::Declared(Place { file: 1, line: number }),
            };
            let (mut octets, mut listed) = (Vec::new(), Vec::new());
            write_rule(&rule, &mut octets);
            write_prefixes(&rule.prefixes().cloned().unwrap_or_default(), &mut listed);
            let prefixes = read_prefixes(&listed).unwrap();
            assert_eq!(read_rule(number, &octets, prefixes.clone()), Some(rule));
            assert_eq!(read_rule(number, &octets[..octets.len() - 1], prefixes.clone()), None);
            octets[0] += 1;
            assert_eq!(read_rule(number, &octets, prefixes), None);
        }
        assert_eq!(read_prefixes(&[4, 1, 2, 3, 4]), None);
    }

    #[test]
    fn detection_comes_back() {
        let mut octets = Vec::new();
        let detect = Detect {
            mode: Mode::Monitor,
            source_packets: Some(1),
            source_octets: None,
            destination_packets: Some(1 << 50),
            pattern_packets: None,
            hold: 77,
            origin: Origin::Detection,
        };
        write_detect(&detect, &mut octets);
        assert_eq!(read_detect(&octets), Some(detect));
        assert_eq!(read_detect(&octets[..octets.len() - 1]), None);
    }
}
