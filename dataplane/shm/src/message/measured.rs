//! What is measured between data centres and of destinations, as it is told: several to a message.

use std::net::IpAddr;
use std::time::Duration;

use zerocopy::transmute;

use super::Malformed;
use super::address::Address;
use super::choice::DialFailure;
use super::event::{DIALS, EVENT_WORDS, Event, PATHS, PROBED};
use crate::layout::{self, wire};

/// Dials of one event.
pub const DIALS_PER_EVENT: usize = 4;

/// Paths of one event.
pub const PATHS_PER_EVENT: usize = 13;

/// What stands for the time of a path through which nothing comes.
const NO_RTT: u32 = u32::MAX;

wire! {
    /// How one dial went.
    struct DialWire {
        to: Address,
        failure: u8,
        exit: [u8; 2],
        relay: [u8; 2],
        time_us: [u8; 4],
    }

    /// How dials went.
    struct DialsWire {
        kind: u16,
        count: u8,
        reserved: [u8; 5],
        dials: [DialWire; DIALS_PER_EVENT],
    }

    /// How a probe went.
    struct ProbedWire {
        kind: u16,
        centre: u16,
        is_answered: u8,
        reserved: [u8; 3],
        rtt_us: u64,
        machine: Address,
        rest: [u8; 79],
    }

    /// How one centre stands from another.
    struct PathWire {
        to: u16,
        lost: u8,
        reserved: u8,
        rtt_us: u32,
    }

    /// How centres stand from one.
    struct PathsWire {
        kind: u16,
        from: u16,
        count: u8,
        reserved: [u8; 3],
        paths: [PathWire; PATHS_PER_EVENT],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, DialWire::SHAPE);
    let hash = layout::number(hash, DialsWire::SHAPE);
    let hash = layout::number(hash, ProbedWire::SHAPE);
    let hash = layout::number(hash, PathWire::SHAPE);
    layout::number(hash, PathsWire::SHAPE)
};

/// How a connection to a destination came about, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Whom the client wanted to reach.
    pub to: IpAddr,
    /// The number of the centre by which it went out; 0 for straight from here.
    pub exit: u16,
    /// The number of the centre through which it went there; 0 for none.
    pub relay: u16,
    /// From here to the destination and back, in whole microseconds up to 71 minutes: from the SYN to the SYN-ACK, or from
    /// the CONNECT request to the first octet of the answer.
    pub answer: Result<Duration, DialFailure>,
}

impl DialFailure {
    /// Whether the destination itself has answered, so that no way there is to blame.
    pub const fn is_of_destination(self) -> bool {
        matches!(self, Self::Refused)
    }
}

/// How a centre stands from another one, as that says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The number of the centre.
    pub to: u16,
    /// The round trip, in whole microseconds up to 71 minutes; none when nothing comes through.
    pub rtt: Option<Duration>,
    /// Probes of the last hundred that were lost.
    pub lost: u8,
}

/// Up to `N` of one kind, front-packed.
pub type Run<T, const N: usize> = [Option<T>; N];

/// As many as find room, from the front.
pub fn run<T: Copy, const N: usize>(all: &[T]) -> Run<T, N> {
    std::array::from_fn(|at| all.get(at).copied())
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(NO_RTT).min(NO_RTT - 1)
}

/// How many stand at the front.
fn count<T, const N: usize>(run: &Run<T, N>) -> u8 {
    u8::try_from(run.iter().take_while(|one| one.is_some()).count()).unwrap_or(u8::MAX)
}

impl DialsWire {
    /// The words of an [`Event::Dials`].
    pub(crate) fn encode(dials: &Run<Dial, DIALS_PER_EVENT>) -> [u64; EVENT_WORDS] {
        let count = count(dials);
        let dials = dials.map(|dial| dial.map_or(DialWire::NONE, |dial| DialWire::new(&dial)));
        transmute!(Self { kind: DIALS, count, reserved: [0; 5], dials })
    }

    /// The event; the caller compares what it does not name with zero.
    pub(crate) fn read(&self) -> Result<Event, Malformed> {
        let mut dials = [None; DIALS_PER_EVENT];
        let used = self.dials.get(..self.count.into()).filter(|used| !used.is_empty());
        let used = used.ok_or(Malformed::AddressCount(self.count))?;
        for (place, dial) in dials.iter_mut().zip(used) {
            *place = Some(dial.read()?);
        }
        Ok(Event::Dials(dials))
    }
}

impl DialWire {
    const NONE: Self =
        Self { to: Address::NONE, failure: 0, exit: [0; 2], relay: [0; 2], time_us: [0; 4] };

    fn new(dial: &Dial) -> Self {
        Self {
            to: dial.to.into(),
            failure: dial.answer.err().map_or(0, DialFailure::code),
            exit: dial.exit.to_ne_bytes(),
            relay: dial.relay.to_ne_bytes(),
            time_us: dial.answer.map_or(0, micros).to_ne_bytes(),
        }
    }

    fn read(&self) -> Result<Dial, Malformed> {
        let time = Duration::from_micros(u32::from_ne_bytes(self.time_us).into());
        Ok(Dial {
            to: self.to.required()?,
            exit: u16::from_ne_bytes(self.exit),
            relay: u16::from_ne_bytes(self.relay),
            answer: match self.failure {
                0 => Ok(time),
                failure => Err(DialFailure::read(failure)?),
            },
        })
    }
}

impl ProbedWire {
    /// The words of an [`Event::Probed`].
    pub(crate) fn encode(
        centre: u16,
        machine: IpAddr,
        answer: Option<Duration>,
    ) -> [u64; EVENT_WORDS] {
        let rtt = answer.unwrap_or_default().as_micros();
        transmute!(Self {
            kind: PROBED,
            centre,
            is_answered: u8::from(answer.is_some()),
            reserved: [0; 3],
            rtt_us: u64::try_from(rtt).unwrap_or(u64::MAX),
            machine: machine.into(),
            rest: [0; 79],
        })
    }

    /// The event, likewise.
    pub(crate) fn read(&self) -> Result<Event, Malformed> {
        let rtt = Duration::from_micros(self.rtt_us);
        let answer = super::flag(self.is_answered)?.then_some(rtt);
        Ok(Event::Probed { centre: self.centre, machine: self.machine.required()?, answer })
    }
}

impl PathsWire {
    /// The words of an [`Event::Paths`].
    pub(crate) fn encode(from: u16, paths: &Run<Path, PATHS_PER_EVENT>) -> [u64; EVENT_WORDS] {
        let count = count(paths);
        let paths = paths.map(|path| {
            let none = PathWire { to: 0, lost: 0, reserved: 0, rtt_us: 0 };
            path.map_or(none, |Path { to, rtt, lost }| PathWire {
                to,
                lost,
                reserved: 0,
                rtt_us: rtt.map_or(NO_RTT, micros),
            })
        });
        transmute!(Self { kind: PATHS, from, count, reserved: [0; 3], paths })
    }

    /// The event, likewise.
    pub(crate) fn read(&self) -> Result<Event, Malformed> {
        let used = self.paths.get(..self.count.into()).filter(|used| !used.is_empty());
        let used = used.ok_or(Malformed::AddressCount(self.count))?;
        let path = |path: &PathWire| Path {
            to: path.to,
            rtt: (path.rtt_us != NO_RTT).then(|| Duration::from_micros(path.rtt_us.into())),
            lost: path.lost,
        };
        let paths = std::array::from_fn(|at| used.get(at).map(path));
        Ok(Event::Paths { from: self.from, paths })
    }
}
