//! The race between the outer families (RFC 8305): who calls over both, which answer was first, and what came late.
//!
//! A client races when it connects, and again when an initiation was not answered within a handshake's period.

use std::collections::VecDeque;
use std::time::Duration;

use wireguard::message::{self, Kind};
use wireguard::time::Instant;
use wireguard::tunnel::Refused;

use super::member::Tunnel;
use super::plan::{Families, Family, Plan};
use super::{Moment, Swarm, Tally};

/// Rivals that start in one turn at most.
const RIVALS_PER_TURN: usize = 16;
/// Where a handshake message has its sender's index.
const SENDER_AT: usize = 4;
/// Where a response has the index that it answers.
const ANSWERED_AT: usize = 8;

/// One client's part.
#[derive(Clone, Copy, Debug)]
struct Contender {
    /// Whether an initiation is out that nobody has answered.
    waits: bool,
    /// Whether it is not known yet which family wins.
    is_open: bool,
    /// When the race began; [`Instant::NEVER`] before the first.
    begun_at: Instant,
    /// The indices under which the race's answers are expected, the first initiation's and the rival's.
    indices: [Option<u32>; 2],
    /// The family that has won.
    is_ipv4: bool,
}

/// All clients' races.
#[derive(Debug)]
pub(super) struct Races {
    delay: Duration,
    contenders: Vec<Contender>,
    /// Who calls over the other family as well, and since when it races, in the order of time.
    rivals: VecDeque<(Instant, u32)>,
}

/// What an answer means to a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It decides the race.
    First,
    /// It comes after the decision.
    Late,
    /// No race was on.
    Plain,
}

impl Races {
    /// None when the plan has no races.
    pub(super) fn new(plan: &Plan) -> Option<Self> {
        let Families::Race(delay) = plan.families else { return None };
        let contender = Contender {
            waits: false,
            is_open: true,
            begun_at: Instant::NEVER,
            indices: [None; 2],
            is_ipv4: false,
        };
        let contenders = vec![contender; plan.members() as usize];
        Some(Self { delay, contenders, rivals: VecDeque::new() })
    }

    /// A client sends this message, as the rival in a race or in the ordinary way.
    pub(super) fn sends(
        &mut self,
        number: u32,
        octets: &[u8],
        (is_rival, now): (bool, Instant),
        tally: &mut Tally,
    ) {
        if message::kind(octets) != Ok(Kind::Initiation) {
            return;
        }
        let Some(contender) = self.contenders.get_mut(number as usize) else { return };
        let index = index(octets, SENDER_AT);
        if is_rival {
            contender.indices[1] = index;
            return;
        }
        if contender.waits || contender.is_open {
            contender.is_open = true;
            contender.begun_at = now;
            contender.indices = [index, None];
            self.rivals.push_back((now, number));
            tally.races += 1;
        }
        contender.waits = true;
    }

    /// A response of this index was taken, or refused as one that comes too late.
    fn answered(&mut self, number: u32, index: Option<u32>, is_ipv4: bool) -> Answer {
        let Some(contender) = self.contenders.get_mut(number as usize) else {
            return Answer::Plain;
        };
        let is_raced = index.is_some() && contender.indices.contains(&index);
        if is_raced && !contender.is_open {
            return Answer::Late;
        }
        contender.waits = false;
        if !contender.is_open {
            return Answer::Plain;
        }
        contender.is_open = false;
        contender.is_ipv4 = is_ipv4;
        Answer::First
    }

    /// Whether a refused response is the late answer of a race.
    fn is_late(&self, number: u32, index: Option<u32>) -> bool {
        let contender = self.contenders.get(number as usize);
        contender.is_some_and(|contender| {
            !contender.is_open && index.is_some() && contender.indices.contains(&index)
        })
    }

    /// Whether the client awaits an answer.
    pub(super) fn waits(&self, number: u32) -> bool {
        self.contenders.get(number as usize).is_some_and(|contender| contender.waits)
    }

    /// The family that a client has won with; none while the race is open.
    fn won(&self, number: u32) -> Option<Family> {
        let contender = self.contenders.get(number as usize).filter(|one| !one.is_open)?;
        Some(if contender.is_ipv4 { Family::V4 } else { Family::V6 })
    }

    /// The next client whose rival is due and still wanted.
    fn take_rival(&mut self, now: Instant) -> Option<u32> {
        while let Some(&(begun_at, number)) = self.rivals.front() {
            if begun_at + self.delay > now {
                return None;
            }
            self.rivals.pop_front();
            let contender = self.contenders.get(number as usize);
            if contender.is_some_and(|one| one.is_open && one.begun_at == begun_at) {
                return Some(number);
            }
        }
        None
    }
}

impl Swarm {
    /// Starts the rivals that are due. Returns how many.
    pub(super) fn rival(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        for done in 0..RIVALS_PER_TURN {
            let Some(races) = &mut self.shared.races else { return done };
            let Some(number) = races.take_rival(moment.now) else { return done };
            let Some(member) = self.members.get_mut(number as usize) else { return done };
            let Some(tunnel) = member.tunnel.as_deref_mut() else { return done };
            let over_v4 = tunnel.endpoint().is_some_and(|endpoint| endpoint.is_ipv4());
            let other = if over_v4 { Family::V6 } else { Family::V4 };
            let Some(to) = self.shared.plan.server_of(other) else { return done };
            self.shared.is_rival = true;
            let _: Result<(), Refused> =
                self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                    tunnel.race(to, turn, &mut emit);
                    Ok(())
                });
            self.shared.is_rival = false;
        }
        RIVALS_PER_TURN
    }

    /// A response came over this family, and this is what the tunnel said: the race's share of it.
    pub(super) fn decide(
        &mut self,
        (number, is_ipv4): (u32, bool),
        payload: &[u8],
        verdict: Result<(), Refused>,
    ) -> Result<(), Refused> {
        let Some(races) = &mut self.shared.races else { return verdict };
        let (index, tally) = (index(payload, ANSWERED_AT), &mut self.shared.tally);
        if verdict.is_err() {
            let is_late = races.is_late(number, index);
            tally.late_answers += u64::from(is_late);
            return if is_late { Ok(()) } else { verdict };
        }
        match races.answered(number, index, is_ipv4) {
            Answer::First => {
                let won = if is_ipv4 { &mut tally.won_v4 } else { &mut tally.won_v6 };
                *won += 1;
                self.shared.places.choose(number, is_ipv4);
            }
            Answer::Late => tally.late_answers += 1,
            Answer::Plain => {}
        }
        Ok(())
    }
}

/// A client that has chosen its family stays with it, from wherever the server sends.
pub(super) fn hold(races: Option<&Races>, plan: &Plan, number: u32, tunnel: &mut Tunnel) {
    let Some(family) = races.and_then(|races| races.won(number)) else { return };
    let strays = tunnel.endpoint().is_some_and(|to| to.is_ipv4() != (family == Family::V4));
    if let Some(server) = plan.server_of(family).filter(|_| strays) {
        tunnel.set_endpoint(server);
    }
}

fn index(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|index| u32::from_le_bytes(*index))
}
