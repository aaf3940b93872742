//! Room for what comes in pieces or too early: heads that are split, and payload before the client is connected.

use crate::limits::HEAD_LEN_MAX;

/// One buffer of the pool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    index: u32,
    len: usize,
}

impl Buffer {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn room(&self) -> usize {
        HEAD_LEN_MAX - self.len
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Buffers {
    octets: Vec<[u8; HEAD_LEN_MAX]>,
    free: Vec<u32>,
}

impl Buffers {
    pub(crate) fn new(count: u32) -> Self {
        Self { octets: vec![[0; HEAD_LEN_MAX]; count as usize], free: (0..count).rev().collect() }
    }

    /// An empty one, if any is left.
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        self.free.pop().map(|index| Buffer { index, len: 0 })
    }

    pub(crate) fn give(&mut self, buffer: Option<Buffer>) {
        self.free.extend(buffer.map(|buffer| buffer.index));
    }

    /// Those in use.
    pub(crate) fn used(&self) -> usize {
        self.octets.len() - self.free.len()
    }

    pub(crate) fn text(&self, buffer: &Buffer) -> &[u8] {
        let octets = self.octets.get(buffer.index as usize);
        octets.and_then(|octets| octets.get(..buffer.len)).unwrap_or_default()
    }

    /// Appends as much as there is room for, and says how much that is.
    pub(crate) fn append(&mut self, buffer: &mut Buffer, octets: &[u8]) -> usize {
        let len = octets.len().min(buffer.room());
        let Some(place) = self.octets.get_mut(buffer.index as usize) else { return 0 };
        if let (Some(to), Some(from)) =
            (place.get_mut(buffer.len..buffer.len + len), octets.get(..len))
        {
            to.copy_from_slice(from);
        }
        buffer.len += len;
        len
    }

    /// Takes octets off the front.
    pub(crate) fn consume(&mut self, buffer: &mut Buffer, len: usize) {
        let len = len.min(buffer.len);
        if let Some(place) = self.octets.get_mut(buffer.index as usize) {
            place.copy_within(len..buffer.len, 0);
        }
        buffer.len -= len;
    }
}
