//! How connections are begun: both ends' part of it, segment for segment.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use connect::head::CONNECTED;
use wire::tcp::Flags;

use super::ends::{Numbers, Role, Segment, frame, request};
use crate::Failure;
use crate::service::server::End;

/// How a request reaches the next machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// In the SYN (M0).
    Borne,
    /// Behind the SYN (M1; at an exit M2, whose numbers are shifted).
    Plain,
}

/// What a connection's segments bear once it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// The server's port at the far side.
    pub(super) ours: SocketAddrV4,
    pub(super) near: Numbers,
    pub(super) far: Numbers,
}

/// A frame, and the end of the server by which it comes in.
pub(super) type Arriving = (End, Vec<u8>);

/// Connections that are begun together.
pub(super) struct Opening {
    role: Role,
    manner: Manner,
    first: u32,
    /// By the server's ports at the far side, which it takes in the order of the SYNs.
    dialled: HashMap<SocketAddrV4, u32>,
    far: Vec<(SocketAddrV4, Numbers)>,
    near: Vec<Option<Numbers>>,
}

/// An initial sequence number that has nothing to do with the neighbour's.
const fn initial(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9)
}

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const PUSHED: Flags = Flags(Flags::ACK.0 | Flags::PSH.0);

impl Opening {
    /// So many, numbered from `first`, with their SYNs.
    pub(super) fn begin(
        (role, manner): (Role, Manner),
        (first, count): (u32, u32),
    ) -> Result<(Self, Vec<Arriving>), Failure> {
        let syn = |number| -> Result<Arriving, Failure> {
            let bears = (role, manner) == (Role::Exit, Manner::Borne);
            let payload = if bears { request(number)? } else { Vec::new() };
            let numbers = Numbers { sequence: initial(number), acknowledgment: 0 };
            let end = role.near_end();
            Ok((end, frame(end, role.near(number), (Flags::SYN, numbers), &payload)))
        };
        let syns = (first..first + count).map(syn).collect::<Result<_, _>>()?;
        let near = vec![None; count as usize];
        let (dialled, far) = (HashMap::new(), Vec::new());
        Ok((Self { role, manner, first, dialled, far, near }, syns))
    }

    /// What the ends say to a packet that has come out, if anything.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Result<Option<Arriving>, Failure> {
        let segment = Segment::of(packet).ok_or("what came out is no segment")?;
        let [near, server] = self.role.near(self.first);
        let is_near = match self.role {
            Role::Ingress => segment.to.ip() == near.ip(),
            Role::Exit => segment.from == server,
        };
        if segment.flags.has(Flags::RST) {
            return Err(format!("a connection was reset: {segment:?}").into());
        }
        if is_near { self.answer_near(&segment) } else { self.answer_far(&segment) }
    }

    fn answer_near(&mut self, segment: &Segment) -> Result<Option<Arriving>, Failure> {
        let number = self.role.number(segment.to);
        let numbers =
            Numbers { sequence: segment.numbers.acknowledgment, acknowledgment: segment.end() };
        let end = self.role.near_end();
        let ends = self.role.near(number);
        let asks = segment.flags.has(Flags::SYN)
            && (self.role, self.manner) == (Role::Exit, Manner::Plain);
        if asks {
            let text = request(number)?;
            return Ok(Some((end, frame(end, ends, (PUSHED, numbers), &text))));
        }
        if segment.payload.is_empty() && !segment.flags.has(Flags::SYN) {
            return Ok(None);
        }
        let place = self.near.get_mut((number - self.first) as usize);
        *place.ok_or("an answer to nobody")? = Some(numbers);
        Ok(Some((end, frame(end, ends, (Flags::ACK, numbers), &[]))))
    }

    fn answer_far(&mut self, segment: &Segment) -> Result<Option<Arriving>, Failure> {
        let is_syn = segment.flags.has(Flags::SYN);
        if is_syn {
            let number = self.first + u32::try_from(self.far.len())?;
            self.dialled.insert(segment.from, number);
            self.far.push((segment.from, Numbers::default()));
        } else if segment.payload.is_empty() {
            return Ok(None);
        }
        let number = *self.dialled.get(&segment.from).ok_or("a segment of nobody's")?;
        let ingress = self.role == Role::Ingress;
        let connects = ingress && (self.manner == Manner::Borne || !is_syn);
        let payload = if connects { CONNECTED } else { &[] };
        let isn = initial(number) ^ 0x5555_5555;
        let sequence = if is_syn { isn } else { isn.wrapping_add(1) };
        let numbers = Numbers { sequence, acknowledgment: segment.end() };
        let flags = if is_syn { SYN_ACK } else { PUSHED };
        let sent = u32::try_from(payload.len())?.wrapping_add(is_syn.into());
        if let Some((_, far)) = self.far.get_mut((number - self.first) as usize) {
            *far = Numbers { sequence: sequence.wrapping_add(sent), ..numbers };
        }
        let ends = [self.role.far(number), segment.from];
        Ok(Some((End::Wire, frame(End::Wire, ends, (flags, numbers), payload))))
    }

    /// All of them, once they are there.
    pub(super) fn opened(self) -> Result<Vec<Opened>, Failure> {
        if self.far.len() < self.near.len() {
            return Err(format!("{} of {} were dialled", self.far.len(), self.near.len()).into());
        }
        let both = self.near.into_iter().zip(self.far);
        both.map(|(near, (ours, far))| {
            let near = near.ok_or("a connection was not answered")?;
            Ok(Opened { ours, near, far })
        })
        .collect()
    }
}
