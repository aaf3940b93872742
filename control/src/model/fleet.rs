//! The fleet: the servers that serve the same clients, the rules that they must obey as a whole, and what is remembered
//! of memberships that were in force before.

use std::collections::HashMap;
use std::net::IpAddr;

use shm::limits::PAST_MAX;
pub use shm::message::{Member, MemberState, Past};

use super::{Cause, Origin, Refused};

/// A fleet as a source declares it, or as the book has it: then with all past generations that are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The number of this membership, the same on all servers.
    pub generation: u16,
    /// The servers, sorted by their numbers.
    pub members: Vec<Member>,
    /// Earlier generations, the newest first.
    pub past: Vec<Past>,
    /// Who has put it into the book.
    pub origin: Origin,
}

/// What of a fleet is wrong, so that whoever has read it can say where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The fleet as a whole.
    Whole,
    /// The member at this place.
    Member(usize),
    /// The past generation at this place.
    Past(usize),
}

/// The generation that follows one: 0 means that there is none, and is passed over.
pub fn next_generation(generation: u16) -> u16 {
    generation.checked_add(1).unwrap_or(1)
}

/// Whether a generation is newer than another, in the arithmetic of serial numbers (RFC 1982).
pub fn is_newer(generation: u16, than: u16) -> bool {
    generation != than && generation.wrapping_sub(than) < 1 << 15
}

impl Fleet {
    /// A fleet with its members and weights in order.
    pub fn new(
        generation: u16,
        mut members: Vec<Member>,
        mut past: Vec<Past>,
        origin: Origin,
    ) -> Self {
        members.sort_by_key(|member| member.server);
        for past in &mut past {
            past.weights.retain(|(_, weight)| *weight > 0);
            past.weights.sort_unstable();
        }
        Self { generation, members, past, origin }
    }

    /// The members that take new clients, with their weights: what this generation is when it is past.
    pub fn weights(&self) -> Vec<(u8, u16)> {
        let taking = self.members.iter().filter(|member| takes(member));
        taking.map(|member| (member.server, member.weight)).collect()
    }

    /// As the dataplane is told.
    pub fn message(&self) -> shm::message::Fleet {
        let Self { generation, members, past, .. } = self;
        let (members, past) = (members.clone(), past.clone());
        shm::message::Fleet { generation: *generation, members, past }
    }

    /// How many messages it takes.
    pub(super) fn messages(&self) -> u64 {
        self.message().message_count().unwrap_or(0) as u64
    }

    /// Whether the dataplane would see no difference.
    pub fn is_same_to_dataplane(&self, other: &Self) -> bool {
        self.generation == other.generation
            && self.members == other.members
            && self.past == other.past
    }

    /// What is wrong with it by itself.
    pub(crate) fn check(&self) -> Result<(), (Part, String)> {
        let whole = |what: &str| Err((Part::Whole, what.to_owned()));
        if self.generation == 0 {
            return whole("generation is 1 to 65535; begin with 1");
        }
        if self.members.is_empty() {
            return whole("a fleet without a member; add a [[fleet.member]], or remove [fleet]");
        }
        self.check_members()?;
        if self.weights().is_empty() {
            return whole(
                "no member is active with a weight, so nobody would take new clients; \
                 make one active and give it a weight",
            );
        }
        self.check_past()
    }

    fn check_members(&self) -> Result<(), (Part, String)> {
        let (mut servers, mut addresses) = (HashMap::new(), HashMap::new());
        for (at, member) in self.members.iter().enumerate() {
            let wrong = |what: String| Err((Part::Member(at), what));
            let server = member.server;
            if servers.insert(server, at).is_some() {
                return wrong(format!(
                    "two members have the number {server}; renumber one of them"
                ));
            }
            let own: Vec<IpAddr> =
                member.v4.map(Into::into).into_iter().chain(member.v6.map(Into::into)).collect();
            if own.is_empty() {
                return wrong(format!("member {server} has no address; give it one, v4 or v6"));
            }
            for address in own {
                if address.is_unspecified() || address.is_multicast() || is_broadcast(address) {
                    return wrong(format!("{address} is no server's address; give it its own"));
                }
                if let Some(other) = addresses.insert(address, server) {
                    let what = "is the address of two members";
                    return wrong(format!("{address} {what}, {other} and {server}; mend one"));
                }
            }
        }
        Ok(())
    }

    fn check_past(&self) -> Result<(), (Part, String)> {
        if self.past.len() > PAST_MAX {
            let (count, place) = (self.past.len(), Part::Past(PAST_MAX));
            let what = format!("{count} past generations, and {PAST_MAX} are taken");
            return Err((place, what + "; leave out the oldest"));
        }
        let mut before = self.generation;
        for (at, past) in self.past.iter().enumerate() {
            let generation = past.generation;
            let wrong = |what: String| Err((Part::Past(at), what));
            let older = is_newer(before, generation) && is_newer(self.generation, generation);
            if generation == 0 || !older {
                return wrong(format!(
                    "past generation {generation} is not older than {before}; \
                     put the newest first, each once"
                ));
            }
            if past.weights.is_empty() {
                return wrong(format!(
                    "past generation {generation} names no server with a weight; leave it out"
                ));
            }
            let numbers = past.weights.iter().zip(past.weights.iter().skip(1));
            if let Some(((server, _), _)) = numbers.into_iter().find(|(one, two)| one.0 == two.0) {
                return wrong(format!("past generation {generation} names server {server} twice"));
            }
            before = generation;
        }
        Ok(())
    }

    /// Whether it may follow another one.
    pub(super) fn check_after(&self, old: &Self) -> Result<(), Refused> {
        let (new, old_number) = (self.generation, old.generation);
        let next = next_generation(old_number);
        if new == old_number && self.members != old.members {
            let what = format!(
                "generation: the members have changed and the generation is still {new}; raise it \
                 to {next}, and let `millrace fleet` do so next time"
            );
            return Err(Refused::new(Cause::Invalid, what));
        }
        if new != old_number && !is_newer(new, old_number) {
            let what = format!(
                "generation: {new} is older than {old_number}, which was in force; take {next}"
            );
            return Err(Refused::new(Cause::Invalid, what));
        }
        Ok(())
    }

    /// Adds what is remembered of earlier generations and not said: whoever forgets them breaks no session. What is
    /// said counts more, and what is the same as something newer counts nothing.
    pub(super) fn remember(&mut self, old: &Self) {
        let last = Past { generation: old.generation, weights: old.weights() };
        for past in std::iter::once(&last).chain(&old.past) {
            let known = self.past.iter().any(|other| other.generation == past.generation);
            if !known && is_newer(self.generation, past.generation) {
                self.past.push(past.clone());
            }
        }
        let age = |past: &Past| self.generation.wrapping_sub(past.generation);
        self.past.sort_by_key(age);
        // Who took new clients then is what matters, and when last: a server that was drained and is back counts once.
        let mut seen = vec![self.weights()];
        self.past.retain(|past| {
            let is_new = !seen.contains(&past.weights);
            if is_new {
                seen.push(past.weights.clone());
            }
            is_new
        });
        self.past.truncate(PAST_MAX);
    }
}

/// Whether a member takes new clients.
fn takes(member: &Member) -> bool {
    member.state == MemberState::Active && member.weight > 0
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

#[cfg(test)]
mod tests;
