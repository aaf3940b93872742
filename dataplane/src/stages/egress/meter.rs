//! How far other data centres are: a datagram to the CONNECT port of one of their machines, which its worker turns around on its
//! turn, so that its load is in the time. Both are sealed with a key that only our data centres have, for both addresses: what
//! was sent by one to another proves nothing between others. A request is as long as its answer, so that nobody gains by
//! asking in another's name. The answer also tells how its sender sees others.

mod rows;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shm::message::{PATHS_PER_EVENT, Path};
use wire::{NoRoom, ipv6, udp};
use wireguard::time::Instant;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::exchange::Exchange;
use crate::fate::{DropReason, Fate};
use crate::fleet::sip::Sip;
use crate::frame::{Endpoint, Frame, Kind, Note};
use crate::packet::{Address, own};
use crate::site::Site;
use crate::stages::egress::probe::microseconds;
use crate::stages::route::{NextHop, leave};

pub use rows::Rows;

/// What one worker asks and answers with.
#[derive(Debug)]
pub struct Meter {
    seal: Option<Seal>,
    exchange: Arc<Exchange>,
    rows: Arc<Rows>,
}

/// A machine of another data centre is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The data centre's number.
    pub centre: u16,
    /// The machine, by its CONNECT port.
    pub machine: SocketAddr,
    /// Which of the questions.
    pub sequence: u32,
    /// With which of its rows the answer shall begin. Who asks says it, for there are others that ask: so each hears of all.
    pub row: usize,
}

/// What one has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The data centre's number.
    pub centre: u16,
    /// Which question.
    pub sequence: u32,
    /// From the question's leaving to the answer's coming, by the worker's clock.
    pub round_trip: Duration,
    /// How it sees others.
    pub paths: [Option<Path>; PATHS_PER_EVENT],
}

/// What makes and checks the seals.
#[derive(Clone)]
struct Seal(Sip<2, 4>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
/// The first and so far only version of the format.
const VERSION: u8 = 1;

/// How one data centre stands from another.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PathField {
    to: U16,
    lost: u8,
    is_up: u8,
    rtt_us: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Payload {
    version: u8,
    kind: u8,
    /// The data centre that sends this, and the one that it is sent to.
    from: U16,
    to: U16,
    count: u8,
    reserved: u8,
    sequence: U32,
    row: U16,
    also_reserved: U16,
    /// The question's time, by the clock of who asked.
    sent_us: U64,
    paths: [PathField; PATHS_PER_EVENT],
    seal: U64,
}

/// Octets of the datagram's payload, and words of it under the seal.
const PAYLOAD_LEN: usize = size_of::<Payload>();
const WORDS: usize = PAYLOAD_LEN / 8 - 1;
const _: () = assert!(PAYLOAD_LEN.is_multiple_of(8) && PAYLOAD_LEN == 136);

/// Octets of the longest packet, that of IPv6.
pub const LEN_MAX: usize = ipv6::HEADER_LEN + udp::HEADER_LEN + PAYLOAD_LEN;

/// DSCP CS6, network control (RFC 4594 3.2).
const TOS: u8 = 48 << 2;

impl Meter {
    /// With the data centres' key; without one nobody is asked and nobody answered. `rows` are what the keeper has measured.
    pub fn new(key: Option<[u8; 16]>, exchange: Arc<Exchange>, rows: Arc<Rows>) -> Self {
        Self { seal: key.map(|key| Seal(Sip::new(key))), exchange, rows }
    }

    /// How far other data centres are.
    #[inline]
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Writes a question into `out`; its note and octets. None when there is no way to the machine.
    pub fn ask(
        &self,
        ask: &Ask,
        (site, here): (&Site, Option<u16>),
        out: &mut [u8],
        now: Instant,
    ) -> Option<(Note, usize)> {
        let (seal, connect) = (self.seal.as_ref()?, site.connect.as_ref()?);
        let remote = Address::from(ask.machine.ip());
        let (port, face) = site.way_to(remote)?;
        let local = Address::from(face.source_for(remote)?);
        let mut payload = Payload::new(REQUEST, (here.unwrap_or(0), ask.centre));
        payload.sequence = ask.sequence.into();
        payload.row = u16::try_from(ask.row).unwrap_or(0).into();
        payload.sent_us = microseconds(now).into();
        payload.seal(seal, (local, remote));
        let ports = udp::Ports { source: connect.port, destination: ask.machine.port() };
        let len = write(out, (local, remote), ports, &payload).ok()?;
        let endpoint = Endpoint { remote, port, ..Endpoint::NONE };
        Some((Note::own(Kind::Outer, endpoint, NextHop::None), len))
    }

    /// A datagram to our CONNECT port: a question goes back as its answer, an answer is told to the keeper.
    pub fn judge(
        &self,
        frame: &mut Frame<'_>,
        (site, here): (&Site, Option<u16>),
        now: Instant,
    ) -> Result<(), Fate> {
        let stranger = Fate::Drop(DropReason::EgressConnectSource);
        let seal = self.seal.as_ref().ok_or(stranger)?;
        let (ends, ports, mut payload) = read(frame, seal).ok_or(stranger)?;
        if here.is_some_and(|here| here != payload.to.get()) {
            return Err(stranger);
        }
        if payload.kind == ANSWER {
            self.exchange.measured(payload.answer(now).ok_or(stranger)?);
            return Err(Fate::Consumed);
        }
        let paths = self.rows.some(payload.row.get().into());
        payload = payload.answered(&paths);
        let back = (ends.1, ends.0);
        let ports = udp::Ports { source: ports.destination, destination: ports.source };
        payload.seal(seal, back);
        write(frame.data_mut(), back, ports, &payload).map_err(|NoRoom| stranger)?;
        frame.read_ip().map_err(|_| stranger)?;
        let (port, _) = site.way_to(ends.0).ok_or(Fate::Drop(DropReason::LinkNoRoute))?;
        leave(frame, port);
        Ok(())
    }
}

/// Source and destination of a packet.
type Ends = (Address, Address);

/// A datagram of ours with a right seal.
fn read(frame: &Frame<'_>, seal: &Seal) -> Option<(Ends, udp::Ports, Payload)> {
    let ip = &frame.note.ip;
    let ends = (ip.source_in(frame.data())?, ip.destination);
    let header_len = own::header_len(ip.destination);
    // It is answered in its place, so no options.
    let datagram = frame.data().get(usize::from(ip.payload_offset)..ip.len.into())?;
    if usize::from(ip.payload_offset) != header_len {
        return None;
    }
    let located = udp::parse(datagram).ok()?;
    let payload = Payload::read_from_bytes(datagram.get(udp::HEADER_LEN..)?).ok()?;
    let is_whole = payload.version == VERSION && payload.reserved == 0;
    let is_kind = payload.kind == REQUEST || payload.kind == ANSWER;
    let is_ours = is_whole && is_kind && payload.proof(seal, ends) == payload.seal.get();
    is_ours.then_some((ends, located.ports, payload))
}

impl Payload {
    fn new(kind: u8, (from, to): (u16, u16)) -> Self {
        Self {
            version: VERSION,
            kind,
            from: from.into(),
            to: to.into(),
            count: 0,
            reserved: 0,
            sequence: 0.into(),
            row: 0.into(),
            also_reserved: 0.into(),
            sent_us: 0.into(),
            paths: [PathField::default(); PATHS_PER_EVENT],
            seal: 0.into(),
        }
    }

    fn proof(&self, seal: &Seal, (source, destination): Ends) -> u64 {
        let mut words = [0; WORDS + 4];
        let octets = self.as_bytes().as_chunks::<8>().0;
        for (word, octets) in words.iter_mut().zip(octets.iter().take(WORDS)) {
            *word = u64::from_le_bytes(*octets);
        }
        let [.., a, b, c, d] = &mut words;
        (*a, *b) = halves(source);
        (*c, *d) = halves(destination);
        seal.0.hash_words(words)
    }

    fn seal(&mut self, seal: &Seal, ends: Ends) {
        self.seal = self.proof(seal, ends).into();
    }

    /// The answer to this question.
    fn answered(&self, paths: &[Path]) -> Self {
        let mut answer = Self::new(ANSWER, (self.to.get(), self.from.get()));
        (answer.sequence, answer.sent_us) = (self.sequence, self.sent_us);
        answer.count = u8::try_from(paths.len()).unwrap_or(u8::MAX);
        for (field, path) in answer.paths.iter_mut().zip(paths) {
            *field = PathField::from(path);
        }
        answer
    }

    /// What an answer says; none of the future.
    fn answer(&self, now: Instant) -> Option<Answer> {
        let round_trip = microseconds(now).checked_sub(self.sent_us.get())?;
        let mut paths = [None; PATHS_PER_EVENT];
        for (path, field) in paths.iter_mut().zip(self.paths.iter().take(self.count.into())) {
            *path = field.path();
        }
        Some(Answer {
            centre: self.from.get(),
            sequence: self.sequence.get(),
            round_trip: Duration::from_micros(round_trip),
            paths,
        })
    }
}

impl From<&Path> for PathField {
    fn from(path: &Path) -> Self {
        let us = path.rtt.map_or(0, |rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        Self {
            to: path.to.into(),
            lost: path.lost,
            is_up: path.rtt.is_some().into(),
            rtt_us: us.into(),
        }
    }
}

impl PathField {
    fn path(self) -> Option<Path> {
        let rtt = Duration::from_micros(self.rtt_us.get().into());
        let rtt = (self.is_up != 0).then_some(rtt);
        (self.to.get() != 0).then(|| Path { to: self.to.get(), rtt, lost: self.lost.min(100) })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
fn halves(address: Address) -> (u64, u64) {
    ((address.bits() >> 64) as u64, address.bits() as u64)
}

/// Writes the packet at the start of `out`; its octets.
fn write(
    out: &mut [u8],
    (source, destination): Ends,
    ports: udp::Ports,
    payload: &Payload,
) -> Result<usize, NoRoom> {
    let header_len = own::header_len(destination);
    let len = header_len + udp::HEADER_LEN + PAYLOAD_LEN;
    let (header, datagram) =
        out.get_mut(..len).and_then(|out| out.split_at_mut_checked(header_len)).ok_or(NoRoom)?;
    payload.write_to(datagram.get_mut(udp::HEADER_LEN..).ok_or(NoRoom)?).map_err(|_| NoRoom)?;
    match (source.v4(), destination.v4()) {
        (Some(source), Some(destination)) => udp::emit_v4(datagram, ports, source, destination)?,
        _ => udp::emit_v6(datagram, ports, source.v6(), destination.v6())?,
    }
    own::emit(header, (source, destination), (udp::PROTOCOL, TOS), datagram.len())?;
    Ok(len)
}
