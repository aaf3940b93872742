//! Memberships as an operator keeps them: numbers, states, weights, and what servers have to know of the past.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dataplane::fleet::{ROWS, Table};
use dataplane::testing::fleet;
use shm::limits::PAST_MAX;
use shm::message::{self, Fleet, MemberState, Past};

use super::figures::to_f64;

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Active,
    /// To be emptied, at the latest at this time after the Unix epoch.
    Draining(Option<Duration>),
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) weight: u16,
    pub(crate) duty: Duty,
}

/// A membership with its number, and those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll {
    pub(crate) generation: u16,
    pub(crate) members: BTreeMap<u8, Member>,
    /// Numbers and weights of who took new clients then, newest first.
    pub(crate) past: Vec<(u16, Vec<(u8, u16)>)>,
}

impl Roll {
    /// Who takes new clients.
    pub(crate) fn active(&self) -> Vec<(u8, u16)> {
        let takes = |member: &Member| member.duty == Duty::Active && member.weight > 0;
        let active = self.members.iter().filter(|(_, member)| takes(member));
        active.map(|(server, member)| (*server, member.weight)).collect()
    }

    /// What servers are told.
    pub(crate) fn fleet(
        &self,
        addresses: impl Fn(u8) -> (Option<Ipv4Addr>, Option<Ipv6Addr>),
    ) -> Fleet {
        let members = self.members.iter().map(|(server, member)| {
            let (v4, v6) = addresses(*server);
            let state = match member.duty {
                Duty::Active => MemberState::Active,
                Duty::Draining(deadline) => MemberState::Draining { deadline },
                Duty::Down => MemberState::Down,
            };
            message::Member { server: *server, weight: member.weight, state, v4, v6 }
        });
        let past = self.past.iter().map(|(generation, weights)| Past {
            generation: *generation,
            weights: weights.clone(),
        });
        let (members, past) = (members.collect(), past.collect());
        Fleet { generation: self.generation, members, past }
    }

    /// The next membership. Of those before, servers have to know each set of weights once.
    pub(crate) fn follow(&mut self, change: impl FnOnce(&mut BTreeMap<u8, Member>)) {
        let before = self.active();
        change(&mut self.members);
        let after = self.active();
        if before != after && !before.is_empty() {
            self.past.insert(0, (self.generation, before));
        }
        self.generation += 1;
        let mut seen = vec![after];
        self.past.retain(|(_, weights)| {
            let is_new = !seen.contains(weights);
            seen.push(weights.clone());
            is_new
        });
        assert!(self.past.len() <= PAST_MAX, "a run stays within what servers remember");
    }
}

/// What a change has done to the owner table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// The share of all rows whose owner is another one.
    pub(crate) share: f64,
    /// The least that it could be.
    pub(crate) least: f64,
    /// The rows of the fullest server against its share by weight.
    pub(crate) fullest: f64,
}

impl Moved {
    pub(crate) fn between(before: &[(u8, u16)], after: &[(u8, u16)]) -> Self {
        let table = |weights: &[(u8, u16)]| Table::build(fleet::keys().table, weights).unwrap();
        let (old, new) = (table(before), table(after));
        let moved = old.rows().iter().zip(new.rows()).filter(|(old, new)| old != new).count();
        let part = |count: usize| to_f64(count as u64) / to_f64(ROWS as u64);
        let mut owned = [0; 256];
        new.rows().iter().for_each(|owner| owned[usize::from(*owner)] += 1);
        let gained = |(server, _): &(u8, u16)| share(after, *server) - share(before, *server);
        let least = after.iter().map(gained).filter(|gained| *gained > 0.0).sum();
        let fill = after
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(server, _)| part(owned[usize::from(*server)]) / share(after, *server));
        Self { share: part(moved), least, fullest: fill.fold(0.0, f64::max) }
    }
}

fn share(weights: &[(u8, u16)], server: u8) -> f64 {
    let all: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let own = weights.iter().filter(|(other, _)| *other == server);
    own.map(|(_, weight)| f64::from(*weight)).sum::<f64>() / all
}
