//! The producing side of a ring.

use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{CONSUMER_EPOCH, Corrupt, Faults, Geometry, HEAD, PRODUCER_EPOCH, TAIL, TooShort};
use crate::memory::{Memory, Word};

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Every slot is in use; come again when the consumer has consumed.
    Full,
    /// The consumer's index cannot be; see [`Producer::restart`].
    Corrupt(Corrupt),
}

/// The one producer of a ring of messages of `N` words. That there is one only is the caller's to see to.
pub struct Producer<M, const N: usize> {
    memory: M,
    geometry: Geometry<N>,
    /// Messages published, of all epochs.
    head: u64,
    /// The consumer's index when it was last looked at.
    tail: u64,
    epoch: u64,
    consumer_epoch: u64,
    fault: Option<Corrupt>,
    faults: Faults,
}

impl<M, const N: usize> fmt::Debug for Producer<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .field("epoch", &self.epoch)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl<M: Memory, const N: usize> Producer<M, N> {
    /// Becomes the producer of the ring in `memory`, in a new epoch.
    pub fn attach(memory: M, geometry: Geometry<N>) -> Result<Self, TooShort> {
        if memory.words().len() < geometry.words() {
            return Err(TooShort);
        }
        let mut producer = Self {
            memory,
            geometry,
            head: 0,
            tail: 0,
            epoch: 0,
            consumer_epoch: 0,
            fault: None,
            faults: Faults::default(),
        };
        producer.restart();
        Ok(producer)
    }

    /// Begins a new epoch behind what is published: the remedy when either side has found the ring corrupt.
    /// Where the published index makes no sense against the consumer's, the ring is taken for empty.
    pub fn restart(&mut self) {
        self.consumer_epoch = self.memory.load(CONSUMER_EPOCH, Acquire);
        self.tail = self.memory.load(TAIL, Acquire);
        self.head = self.memory.load(HEAD, Acquire);
        if self.used() > self.geometry.capacity() {
            self.head = self.tail;
        }
        self.fault = None;
        self.wipe_free();
        self.epoch = self.memory.load(PRODUCER_EPOCH, Relaxed).wrapping_add(1);
        // The index first: who sees the new epoch sees an index of it.
        self.memory.store(HEAD, self.head, Release);
        self.memory.store(PRODUCER_EPOCH, self.epoch, Release);
    }

    /// Publishes one message.
    #[inline]
    pub fn push(&mut self, message: &[u64; N]) -> Result<(), Rejected> {
        match self.push_batch(std::slice::from_ref(message)) {
            Ok(0) => Err(Rejected::Full),
            Ok(_) => Ok(()),
            Err(corrupt) => Err(Rejected::Corrupt(corrupt)),
        }
    }

    /// Publishes as many messages as there are free slots for, all at once; tells how many.
    #[inline]
    pub fn push_batch(&mut self, messages: &[[u64; N]]) -> Result<usize, Corrupt> {
        let wanted = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        if self.geometry.capacity() - self.used() < wanted {
            self.look()?;
        }
        let count = usize::try_from(self.geometry.capacity() - self.used()).unwrap_or(usize::MAX);
        let mut pushed = 0;
        for message in messages.iter().take(count) {
            self.write(message);
            pushed += 1;
        }
        self.memory.store(HEAD, self.head, Release);
        Ok(pushed)
    }

    /// Free slots, after a look at the consumer's index.
    pub fn free(&mut self) -> Result<usize, Corrupt> {
        self.look()?;
        Ok(usize::try_from(self.geometry.capacity() - self.used()).unwrap_or(usize::MAX))
    }

    /// The epoch that this producer writes in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The consumer's epoch as it stands: another one than before means another consumer.
    pub fn consumer_epoch(&self) -> u64 {
        self.memory.load(CONSUMER_EPOCH, Acquire)
    }

    /// What was wrong so far.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Slots in use; at most the capacity, by the comparisons in `look` and `restart`.
    #[inline]
    fn used(&self) -> u64 {
        self.head.wrapping_sub(self.tail)
    }

    #[inline]
    fn write(&mut self, message: &[u64; N]) {
        let slot = self.memory.run(self.geometry.slot(self.head), Geometry::<N>::STRIDE);
        let header = [!self.head, self.epoch];
        for (word, value) in slot.iter().zip(header.iter().chain(message)) {
            word.store(*value, Relaxed);
        }
        self.head = self.head.wrapping_add(1);
    }

    /// Takes the consumer's index from shared memory, if it can be one.
    #[cold]
    fn look(&mut self) -> Result<(), Corrupt> {
        let epoch = self.memory.load(CONSUMER_EPOCH, Acquire);
        if epoch != self.consumer_epoch {
            self.consumer_epoch = epoch;
            self.fault = None;
            // A new consumer may begin anywhere among the slots.
            self.tail = self.head.wrapping_sub(self.geometry.capacity());
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let tail = self.memory.load(TAIL, Acquire);
        let used = self.head.wrapping_sub(tail);
        if used > self.geometry.capacity() {
            // Ahead of us, or far behind: an index that we have never allowed.
            return Err(self.stand(Corrupt::Beyond));
        }
        if used > self.used() {
            return Err(self.stand(Corrupt::Backwards));
        }
        self.tail = tail;
        Ok(())
    }

    fn stand(&mut self, fault: Corrupt) -> Corrupt {
        self.fault = Some(fault);
        self.faults.count(fault);
        // Nothing is pushed in this state: there is no free slot any more.
        self.tail = self.head.wrapping_sub(self.geometry.capacity());
        self.memory.store(HEAD, self.head, Release);
        fault
    }

    /// Overwrites what a killed producer may have left in slots that it did not publish.
    fn wipe_free(&self) {
        let free = self.geometry.capacity() - self.used();
        for offset in 0..free {
            let slot = self.geometry.slot(self.head.wrapping_add(offset));
            for word in self.memory.run(slot, Geometry::<N>::STRIDE) {
                word.store(0, Relaxed);
            }
        }
    }
}
