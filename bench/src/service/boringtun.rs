//! The same packets through boringtun, a WireGuard that nobody here wrote: its whole way from datagram to inner packet
//! and back, one packet a call, as it offers it.

use std::hint::black_box;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use dpdk::clock::cycles;
use rand_chacha::rand_core::Rng;

use super::client;
use super::server::{CLIENTS, Keys};
use super::ways::Shape;
use crate::Failure;

/// Octets of the longest datagram.
const ROOM: usize = 2048;
/// Messages until both ends have a session: initiation, response, keepalive.
const MESSAGES: usize = 3;

/// A client and its end at the server.
struct Pair {
    client: Tunn,
    server: Tunn,
}

/// All clients.
pub(super) struct Boringtun {
    pairs: Vec<Pair>,
    datagrams: Vec<Vec<u8>>,
    room: Vec<u8>,
}

impl Boringtun {
    /// As many sessions as ours has.
    pub(super) fn new(keys: &mut Keys) -> Result<Self, Failure> {
        let pairs = (0..CLIENTS).map(|number| Pair::new(number, keys)).collect::<Result<_, _>>()?;
        Ok(Self { pairs, datagrams: Vec::new(), room: vec![0; ROOM] })
    }

    /// Cycles of opening a burst of fresh packets, from all clients in turn.
    pub(super) fn open(&mut self, shape: Shape) -> Result<u64, Failure> {
        self.datagrams.clear();
        for number in 0..shape.burst {
            let place = number % self.pairs.len().max(1);
            let pair = self.pairs.get_mut(place).ok_or("there is no client")?;
            let packet = inner(shape.len)?;
            let sealed = sealed(pair.client.encapsulate(&packet, &mut self.room))?.to_vec();
            self.datagrams.push(sealed);
        }
        let start = cycles();
        for (datagram, pair) in self.datagrams.iter().zip((0..self.pairs.len()).cycle()) {
            let pair = self.pairs.get_mut(pair).ok_or("there is no client")?;
            let opened = black_box(pair.server.decapsulate(None, datagram, &mut self.room));
            if !matches!(&opened, TunnResult::WriteToTunnelV4(inner, _) if inner.len() == shape.len)
            {
                return Err(format!("boringtun did not open a packet: {opened:?}").into());
            }
        }
        Ok(cycles() - start)
    }

    /// Cycles of sealing a burst, to all clients in turn.
    pub(super) fn seal(&mut self, shape: Shape) -> Result<u64, Failure> {
        let packet = inner(shape.len)?;
        let start = cycles();
        for number in (0..self.pairs.len()).cycle().take(shape.burst) {
            let pair = self.pairs.get_mut(number).ok_or("there is no client")?;
            black_box(sealed(pair.server.encapsulate(&packet, &mut self.room))?);
        }
        Ok(cycles() - start)
    }
}

impl Pair {
    fn new(number: u32, keys: &mut Keys) -> Result<Self, Failure> {
        let mut secret = || {
            let mut octets = [0; 32];
            keys.random.fill_bytes(&mut octets);
            StaticSecret::from(octets)
        };
        let (ours, theirs) = (secret(), secret());
        let [our_public, their_public] = [&ours, &theirs].map(PublicKey::from);
        let client = Tunn::new(ours, their_public, None, None, number, None);
        let server = Tunn::new(theirs, our_public, None, None, number, None);
        let mut pair = Self { client, server };
        pair.connect()?;
        Ok(pair)
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let mut room = vec![0; ROOM];
        let mut message =
            sealed(self.client.format_handshake_initiation(&mut room, false))?.to_vec();
        for turn in 1..MESSAGES {
            let mut room = vec![0; ROOM];
            let to = if turn % 2 == 1 { &mut self.server } else { &mut self.client };
            message = sealed(to.decapsulate(None, &message, &mut room))?.to_vec();
        }
        let result = self.server.decapsulate(None, &message, &mut room);
        if matches!(result, TunnResult::Done) {
            return Ok(());
        }
        Err(format!("boringtun did not confirm its session: {result:?}").into())
    }
}

/// The datagram that it wants sent.
fn sealed(result: TunnResult<'_>) -> Result<&[u8], Failure> {
    if let TunnResult::WriteToNetwork(datagram) = result {
        return Ok(datagram);
    }
    Err(format!("boringtun sends nothing: {result:?}").into())
}

/// An inner packet as ours carries them.
fn inner(len: usize) -> Result<Vec<u8>, Failure> {
    let mut packet = vec![0; len];
    client::emit_inner(&mut packet, client::inner_address(0), client::LOCAL)
        .ok_or("an inner packet that is too short")?;
    Ok(packet)
}
