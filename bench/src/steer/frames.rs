//! Frames of clients, straight into packet buffers: each with another receiver index or client id, at random.

use dataplane::fleet::Fleet;
use dataplane::pipeline::State;
use dataplane::port::Batch;
use dpdk::{Mbuf, Pool};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::aead::TAG_LEN;
use wireguard::index::{Permutation, Place};
use wireguard::message::{
    ClientId, DATA_HEADER_LEN, DataHeader, INITIATION, INITIATION_LEN, put_client_id,
};
use zerocopy::IntoBytes;

use super::servers::{LANDING, OWNER};
use crate::Failure;
use crate::service::client::{self, Checksum, MESSAGE_AT};
use crate::turns::{self, Round};

/// Octets of the inner packets.
const TEXT_LEN: usize = 64;
const DATA_LEN: usize = DATA_HEADER_LEN + TEXT_LEN + TAG_LEN;

/// Makes the frames.
pub(super) struct Frames {
    pool: Pool,
    permutation: Permutation,
    fleet: Fleet,
    random: ChaCha8Rng,
}

impl Frames {
    /// As they come to a server of this state, or to another of its fleet.
    pub(super) fn new(pool: &Pool, state: &State) -> Result<Self, Failure> {
        state.fleet.view().ok_or("the server was told of no fleet")?;
        Ok(Self {
            pool: pool.clone(),
            permutation: state.owner.permutation.clone(),
            fleet: state.fleet.clone(),
            random: ChaCha8Rng::seed_from_u64(11),
        })
    }

    /// Bursts of frames that `make` writes.
    pub(super) fn round(
        &mut self,
        burst: usize,
        make: fn(&mut Self, &mut Mbuf) -> Result<(), Failure>,
    ) -> Result<Round, Failure> {
        turns::round(|| {
            let mut packets = Batch::new();
            if self.pool.allocate_bulk(&mut packets, burst) != burst {
                return Err("the pool is empty".into());
            }
            for packet in &mut packets {
                make(self, packet)?;
            }
            Ok(packets)
        })
    }

    /// Sealed data of a session on any server but the one where it lands: one of 7 x 16 x 2^20 indices.
    pub(super) fn sealed_elsewhere(&mut self, packet: &mut Mbuf) -> Result<(), Failure> {
        let server = LANDING + 1 + u8::try_from(self.random.next_u32() % 7)?;
        let worker = u8::try_from(self.random.next_u32() % 16)?;
        self.sealed(packet, server, worker)
    }

    /// Sealed data of the owner's only worker: one of 2^20 indices.
    pub(super) fn sealed_of_owner(&mut self, packet: &mut Mbuf) -> Result<(), Failure> {
        self.sealed(packet, OWNER, 0)
    }

    fn sealed(&mut self, packet: &mut Mbuf, server: u8, worker: u8) -> Result<(), Failure> {
        let slot = self.random.next_u32() >> 12;
        let (server, worker) = (server.into(), worker.into());
        let index = self.permutation.index(Place { server, worker, slot });
        let header = DataHeader::new(ClientId::ZERO, index, self.random.next_u32().into());
        self.message(packet, header.as_bytes(), DATA_LEN)
    }

    /// The initiation of a client that another server has: one of 2^24 ids but those that are the landing server's own.
    pub(super) fn initiation(&mut self, packet: &mut Mbuf) -> Result<(), Failure> {
        let view = self.fleet.view().ok_or("the server was told of no fleet")?;
        let id = loop {
            let [a, b, c, _] = self.random.next_u32().to_le_bytes();
            let id = ClientId([a, b, c]);
            if id != ClientId::ZERO && view.owner(view.row(id)) != LANDING {
                break id;
            }
        };
        let mut message = [0; 4];
        if let Some(kind) = message.first_mut() {
            *kind = INITIATION;
        }
        put_client_id(&mut message, id);
        self.message(packet, &message, INITIATION_LEN)
    }

    /// A frame with a message of `len` octets that begins with these.
    fn message(&mut self, packet: &mut Mbuf, begin: &[u8], len: usize) -> Result<(), Failure> {
        let client = self.random.next_u32() >> 15;
        client::write(packet, |octets| {
            octets.get_mut(MESSAGE_AT..MESSAGE_AT + begin.len())?.copy_from_slice(begin);
            client::emit_outer(octets, client, len, Checksum::None)
        })
    }
}
