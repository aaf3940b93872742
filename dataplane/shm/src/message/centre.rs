//! Data centres: the machines that take our packets there, and the one through which a centre is reached.

use std::net::IpAddr;

use zerocopy::transmute;

use super::address::Address;
use super::command::{CENTRE, CENTRE_MACHINES, CENTRE_REMOVE, COMMAND_WORDS, Item, TooMany};
use super::{Malformed, flag, reserved};
use crate::layout::{self, wire};
use crate::limits::MACHINES_MAX;

/// Machines in a message.
const MACHINES: usize = 8;

wire! {
    /// A machine of a centre.
    struct MachineWire {
        address: Address,
        port: [u8; 2],
        weight: [u8; 2],
    }

    /// A centre with the first of its machines, or more machines of a centre.
    struct CentreWire {
        kind: u16,
        here: u8,
        count: u8,
        number: u16,
        relay: u16,
        machines: [MachineWire; MACHINES],
    }

    /// The end of a centre.
    struct CentreRemoveWire {
        kind: u16,
        reserved: [u8; 2],
        number: u16,
        rest: [u8; 170],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, MachineWire::SHAPE);
    let hash = layout::number(hash, CentreWire::SHAPE);
    layout::number(hash, CentreRemoveWire::SHAPE)
};

/// A machine of a data centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Where it takes our packets.
    pub address: IpAddr,
    /// Where it takes CONNECT requests.
    pub port: u16,
    /// How much of the centre's traffic it takes in proportion to the others; 0 for none.
    pub weight: u16,
}

/// A data centre.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Centre {
    /// Its number, which is not 0.
    pub number: u16,
    /// Whether it is this one.
    pub is_here: bool,
    /// The number of the centre through which it is reached; 0 when it is reached straight.
    pub relay: u16,
    /// Its machines, at most [`MACHINES_MAX`]. Those that find no room in the first message come out as
    /// [`Item::Machines`].
    pub machines: Vec<Machine>,
}

impl Centre {
    /// How many messages it takes.
    pub fn message_count(&self) -> Result<usize, TooMany> {
        match self.machines.len() {
            count if count > MACHINES_MAX => Err(TooMany::Machines(count)),
            count => Ok(count.div_ceil(MACHINES).max(1)),
        }
    }

    /// Appends its messages.
    pub(super) fn encode(&self, into: &mut Vec<[u64; COMMAND_WORDS]>) {
        let (first, rest) =
            self.machines.split_at_checked(MACHINES).unwrap_or((&self.machines, &[]));
        let head = (self.number, self.is_here, self.relay);
        into.push(message(CENTRE, head, first));
        more(self.number, rest, into);
    }
}

/// How many messages machines take that are said by themselves.
pub(super) fn message_count(machines: &[Machine]) -> Result<usize, TooMany> {
    match machines.len() {
        count if count > MACHINES_MAX => Err(TooMany::Machines(count)),
        count => Ok(count.div_ceil(MACHINES)),
    }
}

/// Appends the messages of further machines of a centre.
pub(super) fn more(number: u16, machines: &[Machine], into: &mut Vec<[u64; COMMAND_WORDS]>) {
    let runs = machines.chunks(MACHINES);
    into.extend(runs.map(|run| message(CENTRE_MACHINES, (number, false, 0), run)));
}

fn message(
    kind: u16,
    (number, is_here, relay): (u16, bool, u16),
    run: &[Machine],
) -> [u64; COMMAND_WORDS] {
    const NONE: MachineWire = MachineWire { address: Address::NONE, port: [0; 2], weight: [0; 2] };
    let (mut machines, mut count) = ([const { NONE }; MACHINES], 0);
    for (place, machine) in machines.iter_mut().zip(run) {
        place.address = machine.address.into();
        place.port = machine.port.to_ne_bytes();
        place.weight = machine.weight.to_ne_bytes();
        count += 1;
    }
    transmute!(CentreWire { kind, here: u8::from(is_here), count, number, relay, machines })
}

impl MachineWire {
    fn read(&self) -> Result<Machine, Malformed> {
        let (port, weight) = (u16::from_ne_bytes(self.port), u16::from_ne_bytes(self.weight));
        let address = self.address.required()?;
        if port == 0 { Err(Malformed::Port) } else { Ok(Machine { address, port, weight }) }
    }

    fn is_empty(&self) -> bool {
        matches!(self.address.read(), Ok(None)) && self.port == [0; 2] && self.weight == [0; 2]
    }
}

impl CentreWire {
    /// The centre, or machines that it has besides.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        let &Self { kind, number, relay, .. } = self;
        if number == 0 {
            return Err(Malformed::Centre);
        }
        let Some((used, unused)) = self.machines.split_at_checked(self.count.into()) else {
            return Err(Malformed::AddressCount(self.count));
        };
        if !unused.iter().all(MachineWire::is_empty) {
            return Err(Malformed::Reserved);
        }
        let machines: Vec<Machine> =
            used.iter().map(MachineWire::read).collect::<Result<_, _>>()?;
        let is_here = flag(self.here)?;
        if kind == CENTRE {
            return Ok(Item::Centre(Box::new(Centre { number, is_here, relay, machines })));
        }
        match (is_here, relay, machines.len()) {
            (_, _, 0) => Err(Malformed::AddressCount(0)),
            (false, 0, _) => Ok(Item::Machines { centre: number, machines }),
            _ => Err(Malformed::Reserved),
        }
    }
}

impl CentreRemoveWire {
    /// The words of the end of a centre.
    pub(super) fn encode(number: u16) -> [u64; COMMAND_WORDS] {
        let (kind, reserved) = (CENTRE_REMOVE, [0; 2]);
        transmute!(Self { kind, reserved, number, rest: [0; 170] })
    }

    /// The centre that ends.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        reserved(&self.reserved)?;
        reserved(&self.rest)?;
        if self.number == 0 { Err(Malformed::Centre) } else { Ok(Item::CentreRemove(self.number)) }
    }
}
