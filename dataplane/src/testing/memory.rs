//! Devices in memory: packets in boxed buffers that are counted, queues whose other end the test holds.
//!
//! Everything belongs to one thread. Once the pool has made its buffers, nothing here allocates.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::limits::{DATA_ROOM, HEADROOM};
use crate::port::{Batch, Io, Packet, Pool, Queue};

/// The kind of device that lives in memory.
#[derive(Debug)]
pub struct Memory;

impl Io for Memory {
    type Packet = Buffer;
    type Queue = End;
    type Ring = End;
    type Pool = Buffers;
}

/// One packet in its buffer; dropping it gives the buffer back to its pool.
#[derive(Debug)]
pub struct Buffer {
    octets: Box<[u8]>,
    start: usize,
    len: usize,
    tag: u64,
    home: Buffers,
    /// Whether the device vouches for the outer checksums.
    pub verified: bool,
    /// Whether the packet lies in one buffer.
    pub whole: bool,
}

impl Buffer {
    /// The packet.
    pub fn data(&self) -> &[u8] {
        self.octets.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl Packet for Buffer {
    fn octets_mut(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    fn start(&self) -> usize {
        self.start
    }

    fn len(&self) -> usize {
        self.len
    }

    fn set_range(&mut self, start: usize, len: usize) {
        assert!(start + len <= self.octets.len(), "a packet lies within its buffer");
        (self.start, self.len) = (start, len);
    }

    fn tag(&self) -> u64 {
        self.tag
    }

    fn set_tag(&mut self, tag: u64) {
        self.tag = tag;
    }

    fn verified(&self) -> bool {
        self.verified
    }

    fn is_whole(&self) -> bool {
        self.whole
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let octets = std::mem::take(&mut self.octets);
        self.home.0.free.borrow_mut().push(octets);
        self.home.0.in_use.set(self.home.0.in_use.get() - 1);
    }
}

#[derive(Debug)]
struct Shelf {
    free: RefCell<Vec<Box<[u8]>>>,
    capacity: Cell<usize>,
    in_use: Cell<usize>,
}

/// A pool of buffers. Clones are handles to the same pool.
#[derive(Clone, Debug)]
pub struct Buffers(Rc<Shelf>);

impl Buffers {
    /// A pool that gives out up to `capacity` buffers at a time; each is made when it is first needed.
    pub fn new(capacity: usize) -> Self {
        Self(Rc::new(Shelf {
            free: RefCell::new(Vec::with_capacity(capacity)),
            capacity: Cell::new(capacity),
            in_use: Cell::new(0),
        }))
    }

    /// Buffers that are not home.
    pub fn in_use(&self) -> usize {
        self.0.in_use.get()
    }

    /// Lets no more than `capacity` buffers be out from now on.
    pub fn limit(&self, capacity: usize) {
        self.0.capacity.set(capacity);
    }

    /// A packet of these octets; none when the pool is empty or they do not fit.
    pub fn packet(&self, octets: &[u8]) -> Option<Buffer> {
        let mut packet = self.clone().allocate()?;
        packet.octets.get_mut(HEADROOM..HEADROOM + octets.len())?.copy_from_slice(octets);
        packet.len = octets.len();
        Some(packet)
    }
}

impl Pool for Buffers {
    type Packet = Buffer;

    fn allocate(&mut self) -> Option<Buffer> {
        if self.in_use() >= self.0.capacity.get() {
            return None;
        }
        let octets = self.0.free.borrow_mut().pop();
        let octets = octets.unwrap_or_else(|| vec![0; HEADROOM + DATA_ROOM].into_boxed_slice());
        self.0.in_use.set(self.in_use() + 1);
        let home = self.clone();
        Some(Buffer { octets, start: HEADROOM, len: 0, tag: 0, home, verified: false, whole: true })
    }
}

#[derive(Debug)]
struct Pipe {
    packets: RefCell<VecDeque<Buffer>>,
    capacity: Cell<usize>,
}

impl Pipe {
    fn new(capacity: usize) -> Rc<Self> {
        let packets = RefCell::new(VecDeque::with_capacity(capacity));
        Rc::new(Self { packets, capacity: Cell::new(capacity) })
    }
}

/// One end of two pipes. What one end transmits, the other receives.
#[derive(Debug)]
pub struct End {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

impl End {
    /// Both ends of two pipes that hold `capacity` packets each.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (one, two) = (Pipe::new(capacity), Pipe::new(capacity));
        let other = Self { incoming: Rc::clone(&two), outgoing: Rc::clone(&one) };
        (Self { incoming: one, outgoing: two }, other)
    }

    /// Puts one packet in; gives it back when the pipe is full.
    pub fn put(&self, packet: Buffer) -> Result<(), Buffer> {
        let mut packets = self.outgoing.packets.borrow_mut();
        if packets.len() >= self.outgoing.capacity.get() {
            return Err(packet);
        }
        packets.push_back(packet);
        Ok(())
    }

    /// Takes one packet out.
    pub fn take(&self) -> Option<Buffer> {
        self.incoming.packets.borrow_mut().pop_front()
    }

    /// Packets that wait to be taken at this end.
    pub fn waiting(&self) -> usize {
        self.incoming.packets.borrow().len()
    }

    /// Lets the other end put no more than this many packets in before they are taken.
    pub fn limit(&self, capacity: usize) {
        self.incoming.capacity.set(capacity);
    }
}

impl Queue for End {
    type Packet = Buffer;

    fn receive(&mut self, into: &mut Batch<Buffer>) {
        while !into.is_full()
            && let Some(packet) = self.take()
        {
            into.push(packet);
        }
    }

    fn transmit(&mut self, from: &mut Batch<Buffer>) {
        let mut packets = self.outgoing.packets.borrow_mut();
        let room = self.outgoing.capacity.get().saturating_sub(packets.len());
        let count = room.min(from.len());
        packets.extend(from.drain(..count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_packet_is_home_again() {
        let pool = Buffers::new(2);
        let packets: Vec<_> = (0..3).map(|n| pool.packet(&[n; 3])).collect();
        assert_eq!((pool.in_use(), packets.iter().flatten().count()), (2, 2));
        assert_eq!(packets[1].as_ref().unwrap().data(), [1; 3]);
        drop(packets);
        assert_eq!(pool.in_use(), 0);
        assert!(
            pool.packet(&[0; DATA_ROOM]).is_some() && pool.packet(&[0; DATA_ROOM + 1]).is_none()
        );
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn a_full_pipe_leaves_the_rest_with_the_sender_in_order() {
        let pool = Buffers::new(10);
        let (mut one, two) = End::pair(2);
        let mut batch: Batch<_> = (0..3).filter_map(|n| pool.packet(&[n])).collect();
        one.transmit(&mut batch);
        assert_eq!((batch.len(), batch[0].data(), two.waiting()), (1, &[2][..], 2));
        assert_eq!(two.take().unwrap().data(), [0]);
        assert!(two.put(pool.packet(&[9]).unwrap()).is_ok());
        let mut received = Batch::new();
        one.receive(&mut received);
        assert_eq!(received[0].data(), [9]);
    }
}
