//! What a worker needs from the world: packets that own their buffer, queues that move them, a pool that
//! makes them. DPDK is one implementation (`device`), memory another (`testing`).

use std::fmt::Debug;

use arrayvec::ArrayVec;

use crate::limits::BURST_LEN_MAX;

/// Packets on their way between queues; owned, so that each is moved or freed exactly once.
pub type Batch<P> = ArrayVec<P, BURST_LEN_MAX>;

/// A packet that owns its buffer; dropping it gives the buffer back.
pub trait Packet: Debug {
    /// The whole buffer: headroom, packet, tailroom.
    fn octets_mut(&mut self) -> &mut [u8];
    /// First octet of the packet in the buffer.
    fn start(&self) -> usize;
    /// Octets of the packet.
    fn len(&self) -> usize;
    /// Whether the packet has no octets.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Sets where the packet lies; ranges come from a [`crate::frame::Frame`] over this buffer.
    fn set_range(&mut self, start: usize, len: usize);
    /// A small word that stays with the packet from one worker to the next.
    fn tag(&self) -> u64;
    /// Sets the word.
    fn set_tag(&mut self, tag: u64);
    /// Whether the device has found the UDP checksum good.
    fn verified(&self) -> bool;
    /// Whether the packet lies in one buffer.
    fn is_whole(&self) -> bool;
}

/// One direction pair of a device, of a kernel interface, or of a ring between workers.
pub trait Queue: Debug {
    /// The packets that it moves.
    type Packet: Packet;
    /// Appends what has come, up to the batch's room; never waits.
    fn receive(&mut self, into: &mut Batch<Self::Packet>);
    /// Takes from the front as many as it can, in order; what it leaves was not sent.
    fn transmit(&mut self, from: &mut Batch<Self::Packet>);
}

/// Where a worker gets buffers for the packets that it makes itself.
pub trait Pool: Debug {
    /// The packets that it makes.
    type Packet: Packet;
    /// An empty packet with [`crate::limits::HEADROOM`] before it, or none when the pool is empty.
    fn allocate(&mut self) -> Option<Self::Packet>;
}

/// The kinds of device that a worker runs on.
pub trait Io {
    /// Their packets.
    type Packet: Packet;
    /// Ports and kernel interfaces.
    type Queue: Queue<Packet = Self::Packet>;
    /// Rings between workers.
    type Ring: Queue<Packet = Self::Packet>;
    /// The worker's pool.
    type Pool: Pool<Packet = Self::Packet>;
}
