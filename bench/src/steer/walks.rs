//! The stages that steer, walked outside of a worker with a look at the cycle counter after each: on the server where a packet
//! lands, and on the one that it is passed on to.

use std::fmt;

use dataplane::burst::{self, Burst};
use dataplane::fate::Fate;
use dataplane::frame::{Entry, Kind, Note};
use dataplane::pipeline::State;
use dataplane::port::Batch;
use dataplane::stages::parse::{self, Home};
use dataplane::stages::steer;
use dataplane::stages::steer::{Forwarding, Steering};
use dpdk::clock::cycles;
use dpdk::{Mbuf, Pool, mbuf};
use wire::{ethernet, ipv4, ipv6};

use super::frames::Frames;
use super::servers::{Family, LANDING, OWNER, START, state};
use crate::service::client::{GATEWAY_LINK, PORT_LINK};
use crate::{Failure, allocator};

/// The stages, in order.
pub(super) const LAPS: [&str; 3] = ["parse::locate", "steer::claim", "steer::pass_on"];
pub(super) type Laps = [u64; LAPS.len()];

/// Which packets, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// Sealed data of other servers, where it lands.
    Landing,
    /// Initiations of clients that other servers have, where they land; the check of their first MAC left out.
    Initiations,
    /// Sealed data that another server has passed on, where it belongs.
    Carried,
    /// The same as it would have come from its client.
    Own,
}

impl Set {
    pub(super) const ALL: [Self; 4] = [Self::Landing, Self::Initiations, Self::Carried, Self::Own];
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Landing => "sealed data of other servers",
            Self::Initiations => "initiations for other servers",
            Self::Carried => "sealed data that was passed on",
            Self::Own => "sealed data from clients",
        })
    }
}

/// Two servers of a fleet, and the packets between them.
pub(super) struct Walks {
    family: Family,
    landing: State,
    owner: State,
    frames: Frames,
    notes: Box<[Note]>,
    /// What a look at the counter takes by itself.
    look: u64,
}

impl Walks {
    pub(super) fn new(family: Family, pool: &Pool) -> Result<Self, Failure> {
        let (landing, owner) = (state(LANDING, family)?, state(OWNER, family)?);
        let frames = Frames::new(pool, &landing)?;
        let look = (0..1000).map(|_| cycles().abs_diff(cycles())).min().unwrap_or(0);
        Ok(Self { family, landing, owner, frames, notes: burst::notes(), look })
    }

    pub(super) const fn family(&self) -> &'static str {
        match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// A round of bursts of this set: adds to the laps, and gives how many bursts walked.
    pub(super) fn round(
        &mut self,
        set: Set,
        burst: usize,
        laps: &mut Laps,
        allocations: &mut u64,
    ) -> Result<u64, Failure> {
        let make = match set {
            Set::Landing => Frames::sealed_elsewhere,
            Set::Initiations => Frames::initiation,
            Set::Carried | Set::Own => Frames::sealed_of_owner,
        };
        let mut bursts = self.frames.round(burst, make)?;
        if set == Set::Carried {
            for packets in &mut bursts {
                self.carry(packets)?;
            }
        }
        let (state, wanted) = match set {
            Set::Landing | Set::Initiations => (&mut self.landing, Kind::Outer),
            Set::Carried | Set::Own => (&mut self.owner, Kind::Sealed),
        };
        let before = allocator::calls();
        for packets in &mut bursts {
            let walked = walk(packets, &mut self.notes, state, wanted)?;
            for (sum, lap) in laps.iter_mut().zip(walked) {
                *sum += lap.saturating_sub(self.look);
            }
        }
        *allocations += allocator::calls() - before;
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(bursts.len() as u64)
    }

    /// Lets the landing server pass packets on, and brings them to the owner's port.
    fn carry(&mut self, packets: &mut Batch<Mbuf>) -> Result<(), Failure> {
        walk(packets, &mut self.notes, &mut self.landing, Kind::Outer)?;
        let ethertype = match self.family {
            Family::V4 => ipv4::ETHERTYPE,
            Family::V6 => ipv6::ETHERTYPE,
        };
        for packet in packets {
            let (start, len) = (packet.start() - ethernet::HEADER_LEN, packet.len());
            packet.set_range(start, len + ethernet::HEADER_LEN).map_err(|_| "no headroom")?;
            let octets = packet.octets_mut().get_mut(start..).unwrap_or_default();
            ethernet::emit(octets, PORT_LINK, GATEWAY_LINK, None, ethertype)
                .map_err(|_| "no room")?;
        }
        Ok(())
    }
}

/// Walks packets that all become `wanted`; their buffers' ranges are then those of the frames.
fn walk(
    packets: &mut Batch<Mbuf>,
    notes: &mut [Note],
    state: &mut State,
    wanted: Kind,
) -> Result<Laps, Failure> {
    let State { site, counters, owner, fleet, filter, .. } = state;
    let home = Home::new(site, fleet, filter.rules());
    let mut burst = Burst::lend(packets, notes, Entry::Wire(0));
    let prompts = &mut state.prompts;
    let mut steering = Steering { owner, fleet, prompts, site, counters };
    let limiter = &mut state.too_big;
    let mut forwarding = Forwarding { fleet, listen_port: site.listen_port, limiter, counters };

    let start = cycles();
    burst.pass(|frame| parse::locate(frame, &home));
    let located = cycles();
    steer::claim(&mut burst, &mut steering, START);
    let claimed = cycles();
    steer::pass_on(&mut burst, &mut forwarding, START);
    let passed_on = cycles();

    let mut frames = burst.frames().iter();
    if let Some(other) =
        frames.find(|frame| frame.fate != Fate::Undecided || frame.note.kind != wanted)
    {
        let (fate, kind) = (other.fate, other.note.kind);
        return Err(format!("a frame was {kind:?} with fate {fate:?}, not {wanted:?}").into());
    }
    let outcomes = burst.finish();
    drop(burst);
    for (packet, outcome) in packets.iter_mut().zip(outcomes) {
        packet.set_range(outcome.start, outcome.len).map_err(|_| "a frame left its buffer")?;
    }
    Ok([located - start, claimed - located, passed_on - claimed])
}
