//! How the fleet stands in the file.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{Reading, VERSION, write_origin};
use crate::model::Fleet;
use crate::model::fleet::{Member, MemberState, Past};

pub(in super::super) fn write_fleet(fleet: &Fleet, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(fleet.origin, to);
    to.extend(fleet.generation.to_le_bytes());
    write_len(fleet.members.len(), to);
    for member in &fleet.members {
        write_member(member, to);
    }
    for past in &fleet.past {
        to.extend(past.generation.to_le_bytes());
        write_len(past.weights.len(), to);
        for (server, weight) in &past.weights {
            to.push(*server);
            to.extend(weight.to_le_bytes());
        }
    }
}

pub(in super::super) fn read_fleet(octets: &[u8]) -> Option<Fleet> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let generation = u16::from_le_bytes(from.take()?);
    let count = u16::from_le_bytes(from.take()?);
    let members = (0..count).map(|_| read_member(&mut from)).collect::<Option<_>>()?;
    let mut past = Vec::new();
    while !from.0.is_empty() {
        let generation = u16::from_le_bytes(from.take()?);
        let count = u16::from_le_bytes(from.take()?);
        let mut weight = || Some((from.octet()?, u16::from_le_bytes(from.take()?)));
        let weights = (0..count).map(|_| weight()).collect::<Option<_>>()?;
        past.push(Past { generation, weights });
    }
    Some(Fleet { generation, members, past, origin })
}

/// At most 256 of anything; more are refused before.
fn write_len(len: usize, to: &mut Vec<u8>) {
    to.extend(u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
}

fn write_member(member: &Member, to: &mut Vec<u8>) {
    to.push(member.server);
    to.extend(member.weight.to_le_bytes());
    match member.state {
        MemberState::Active => to.push(0),
        MemberState::Draining { deadline: None } => to.push(1),
        MemberState::Draining { deadline: Some(deadline) } => {
            to.push(2);
            to.extend(deadline.as_secs().to_le_bytes());
        }
        MemberState::Down => to.push(3),
    }
    to.push(u8::from(member.v4.is_some()));
    to.extend(member.v4.map(|address| address.octets()).into_iter().flatten());
    to.push(u8::from(member.v6.is_some()));
    to.extend(member.v6.map(|address| address.octets()).into_iter().flatten());
}

fn read_member(from: &mut Reading<'_>) -> Option<Member> {
    let server = from.octet()?;
    let weight = u16::from_le_bytes(from.take()?);
    let state = match from.octet()? {
        0 => MemberState::Active,
        1 => MemberState::Draining { deadline: None },
        2 => {
            let deadline = Duration::from_secs(u64::from_le_bytes(from.take()?));
            MemberState::Draining { deadline: Some(deadline) }
        }
        3 => MemberState::Down,
        _ => return None,
    };
    let v4 = if from.octet()? == 1 { Some(Ipv4Addr::from(from.take::<4>()?)) } else { None };
    let v6 = if from.octet()? == 1 { Some(Ipv6Addr::from(from.take::<16>()?)) } else { None };
    Some(Member { server, weight, state, v4, v6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Origin, Place};

    #[test]
    fn a_fleet_with_every_kind_of_member_comes_back_and_no_shorter_one() {
        let deadline = Some(Duration::from_secs(1_800_000_001));
        let states = [
            MemberState::Active,
            MemberState::Draining { deadline: None },
            MemberState::Draining { deadline },
            MemberState::Down,
        ];
        let member = |(server, state): (u8, MemberState)| Member {
            server,
            weight: 300,
            state,
            v4: (server % 2 == 0).then(|| Ipv4Addr::new(192, 0, 2, server)),
            v6: (server > 0).then(|| Ipv6Addr::from(u128::from(server))),
        };
        let past = |generation| Past { generation, weights: vec![(0, 100), (255, u16::MAX)] };
        let fleet = Fleet {
            generation: 65535,
            members: (0..).zip(states).map(member).collect(),
            past: vec![past(7), past(6)],
            origin: Origin::Declared(Place { file: 2, line: 9 }),
        };
        let mut octets = Vec::new();
        write_fleet(&fleet, &mut octets);
        assert_eq!(read_fleet(&octets), Some(fleet));
        assert_eq!(read_fleet(&octets[..octets.len() - 1]), None);
        octets[0] += 1;
        assert_eq!(read_fleet(&octets), None);
    }
}
