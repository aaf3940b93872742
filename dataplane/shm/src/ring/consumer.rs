//! The consuming side of a ring.

use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use zeroize::Zeroize;

use super::{CONSUMER_EPOCH, Corrupt, Faults, Geometry, HEAD, PRODUCER_EPOCH, TAIL, TooShort};
use crate::memory::{Memory, Word};

/// A message as it was found: a copy that nobody else can change, unchecked.
#[derive(Clone, Copy)]
pub struct Taken<'a, const N: usize> {
    /// The epoch of the producer who wrote it, as it says.
    pub epoch: u64,
    /// What it wrote.
    pub message: &'a [u64; N],
}

impl<const N: usize> fmt::Debug for Taken<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The one consumer of a ring of messages of `N` words. That there is one only is the caller's to see to.
pub struct Consumer<M, const N: usize> {
    memory: M,
    geometry: Geometry<N>,
    /// The producer's index when it was last looked at.
    head: u64,
    /// Messages consumed, of all epochs.
    tail: u64,
    epoch: u64,
    producer_epoch: u64,
    fault: Option<Corrupt>,
    /// After a fault the slots of its epoch are not to be trusted: they are passed over.
    recovering: bool,
    faults: Faults,
}

impl<M, const N: usize> fmt::Debug for Consumer<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .field("epoch", &self.epoch)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl<M: Memory, const N: usize> Consumer<M, N> {
    /// Becomes the consumer of the ring in `memory`, in a new epoch, from the producer's present index on.
    pub fn attach(memory: M, geometry: Geometry<N>) -> Result<Self, TooShort> {
        if memory.words().len() < geometry.words() {
            return Err(TooShort);
        }
        let mut consumer = Self {
            memory,
            geometry,
            head: 0,
            tail: 0,
            epoch: 0,
            producer_epoch: 0,
            fault: None,
            recovering: false,
            faults: Faults::default(),
        };
        consumer.restart();
        Ok(consumer)
    }

    /// Begins a new epoch at the producer's present index: the remedy when either side has found the ring
    /// corrupt. What was published and not yet taken is lost.
    pub fn restart(&mut self) {
        self.producer_epoch = self.memory.load(PRODUCER_EPOCH, Acquire);
        self.head = self.memory.load(HEAD, Acquire);
        self.tail = self.head;
        self.fault = None;
        self.recovering = false;
        self.epoch = self.memory.load(CONSUMER_EPOCH, Relaxed).wrapping_add(1);
        self.memory.store(TAIL, self.tail, Release);
        self.memory.store(CONSUMER_EPOCH, self.epoch, Release);
    }

    /// Takes up to `max` messages, copies each out, wipes its slot and gives the copy to `each`. Their slots
    /// are free for the producer when this returns. Tells how many there were.
    #[inline]
    pub fn take(
        &mut self,
        max: usize,
        mut each: impl FnMut(Taken<'_, N>),
    ) -> Result<usize, Corrupt> {
        if self.head == self.tail {
            self.look()?;
        }
        let waiting = usize::try_from(self.head.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        let (mut message, mut taken) = ([0; N], 0);
        for _ in 0..waiting {
            if taken == max {
                break;
            }
            let (index, epoch) = self.copy(&mut message);
            if self.recovering && (index != self.tail || epoch != self.producer_epoch) {
                self.tail = self.tail.wrapping_add(1);
                continue;
            }
            self.recovering = false;
            if index != self.tail {
                message.zeroize();
                let fault = self.stand(Corrupt::Stale);
                return if taken == 0 { Err(fault) } else { Ok(taken) };
            }
            each(Taken { epoch, message: &message });
            self.tail = self.tail.wrapping_add(1);
            taken += 1;
        }
        message.zeroize();
        if waiting > 0 {
            self.memory.store(TAIL, self.tail, Release);
        }
        Ok(taken)
    }

    /// The epoch that this consumer has begun.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The producer's epoch when its index was last looked at: with nothing left to take, another one than
    /// that of the last message means that whoever wrote it has started anew since.
    pub fn producer_epoch(&self) -> u64 {
        self.producer_epoch
    }

    /// What was wrong so far.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Copies the next message and wipes its slot, for it may hold keys. Gives the index and the epoch that
    /// the slot bears.
    #[inline]
    fn copy(&self, message: &mut [u64; N]) -> (u64, u64) {
        let slot = self.memory.run(self.geometry.slot(self.tail), Geometry::<N>::STRIDE);
        let mut header = [0; 2];
        for (word, value) in slot.iter().zip(header.iter_mut().chain(message)) {
            *value = word.load(Relaxed);
            word.store(0, Relaxed);
        }
        let [index, epoch] = header;
        (!index, epoch)
    }

    /// Takes the producer's index from shared memory, if it can be one.
    fn look(&mut self) -> Result<(), Corrupt> {
        let epoch = self.memory.load(PRODUCER_EPOCH, Acquire);
        if epoch != self.producer_epoch {
            self.producer_epoch = epoch;
            self.recovering |= self.fault.take().is_some();
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let head = self.memory.load(HEAD, Acquire);
        let waiting = head.wrapping_sub(self.tail);
        if waiting > u64::MAX / 2 {
            return Err(self.stand(Corrupt::Backwards));
        }
        if waiting > self.geometry.capacity() {
            return Err(self.stand(Corrupt::Beyond));
        }
        self.head = head;
        Ok(())
    }

    fn stand(&mut self, fault: Corrupt) -> Corrupt {
        self.fault = Some(fault);
        self.faults.count(fault);
        // Nothing is taken in this state: nothing waits.
        self.head = self.tail;
        self.memory.store(TAIL, self.tail, Release);
        fault
    }
}
