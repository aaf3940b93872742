//! Packets of many clients, sealed together: the AEAD is fastest over a batch, each packet with its own key.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use wireguard::aead::{Job, Key, TAILROOM, seal};
use wireguard::message::{DATA_HEADER_LEN, DATA_LEN_MIN, padded_len};
use wireguard::tunnel::Outgoing;
use zerocopy::IntoBytes;

use super::plan::INNER_LEN_MAX;
use crate::link::{HEAD_LEN_MAX, Link};

/// Packets of a batch.
pub(super) const BATCH_LEN: usize = 64;

/// Where the message starts, so that the longest outer headers fit before it.
const MESSAGE_AT: usize = HEAD_LEN_MAX;
const TEXT_AT: usize = MESSAGE_AT + DATA_HEADER_LEN;
const SLOT_LEN: usize = TEXT_AT + INNER_LEN_MAX.next_multiple_of(16) + TAILROOM;

/// One packet under way.
struct Slot {
    octets: Box<[u8]>,
    key: Key,
    counter: u64,
    text_len: usize,
    number: u32,
    is_answer: bool,
    source: SocketAddr,
    to: SocketAddr,
}

/// Whose a frame is.
#[derive(Clone, Copy)]
pub(super) struct Parcel {
    pub(super) number: u32,
    /// An answer of the responder, not a packet of the plan.
    pub(super) is_answer: bool,
}

/// Up to [`BATCH_LEN`] packets.
pub(super) struct Batch {
    slots: Vec<Slot>,
    len: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let slot = || Slot {
            octets: vec![0; SLOT_LEN].into_boxed_slice(),
            key: Key::zero(),
            counter: 0,
            text_len: 0,
            number: 0,
            is_answer: false,
            source: nowhere,
            to: nowhere,
        };
        Self { slots: (0..BATCH_LEN).map(|_| slot()).collect(), len: 0 }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == BATCH_LEN
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Takes a packet of client `number` from its place: `fill` writes the inner packet of `inner_len` octets.
    pub(super) fn push(
        &mut self,
        (number, source): (u32, SocketAddr),
        outgoing: &Outgoing<'_>,
        (inner_len, mtu): (usize, u16),
        fill: impl FnOnce(&mut [u8]),
    ) {
        let Some(slot) = self.slots.get_mut(self.len) else { return };
        slot.text_len = padded_len(inner_len, usize::from(mtu));
        (slot.number, slot.source, slot.to) = (number, source, outgoing.to);
        slot.is_answer = false;
        slot.counter = outgoing.header.counter.get();
        slot.key.copy_from(outgoing.key);
        let text = slot.octets.get_mut(MESSAGE_AT..TEXT_AT + slot.text_len).unwrap_or_default();
        let Some((head, text)) = text.split_at_mut_checked(DATA_HEADER_LEN) else { return };
        head.copy_from_slice(outgoing.header.as_bytes());
        let Some((inner, padding)) = text.split_at_mut_checked(inner_len) else { return };
        fill(inner);
        padding.fill(0);
        self.len += 1;
    }

    /// Takes an answer of the responder, a whole inner packet.
    pub(super) fn push_answer(
        &mut self,
        from: (u32, SocketAddr),
        outgoing: &Outgoing<'_>,
        (inner, mtu): (&[u8], u16),
    ) {
        let at = self.len;
        self.push(from, outgoing, (inner.len(), mtu), |place| place.copy_from_slice(inner));
        if let Some(slot) = self.slots.get_mut(at) {
            slot.is_answer = true;
        }
    }

    /// Seals what is there, puts the outer headers on, and gives each frame to `send` with whose it is.
    pub(super) fn flush(&mut self, link: &Link, mut send: impl FnMut(Parcel, Option<&[u8]>)) {
        let slots = self.slots.get_mut(..self.len).unwrap_or_default();
        // Jobs borrow their slots, so the list of them lives only here.
        let mut jobs: ArrayVec<Job<'_>, BATCH_LEN> = slots
            .iter_mut()
            .filter_map(|slot| {
                let text = slot.octets.get_mut(TEXT_AT..)?;
                Job::new(&slot.key, slot.counter, text, slot.text_len)
            })
            .collect();
        seal(&mut jobs);
        drop(jobs);
        for slot in slots {
            let head = link.head_len(slot.source.ip());
            let begin = MESSAGE_AT - head;
            let end = MESSAGE_AT + DATA_LEN_MIN + slot.text_len;
            let frame = slot.octets.get_mut(begin..end).unwrap_or_default();
            let is_whole = link.enclose(frame, slot.source, slot.to);
            let parcel = Parcel { number: slot.number, is_answer: slot.is_answer };
            send(parcel, is_whole.then_some(&*frame));
        }
        self.len = 0;
    }
}
