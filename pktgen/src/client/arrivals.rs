//! Data messages that have come, opened together: the AEAD is fastest over a batch, each packet with its own key.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use wireguard::aead::{Job, Key, TAG_LEN, TAILROOM, open};
use wireguard::message::{self, ClientId, DATA_HEADER_LEN};
use wireguard::tunnel::{Incoming, Refused, Ticket};

use super::batch::BATCH_LEN;
use super::plan::INNER_LEN_MAX;

/// Octets of the longest text that is opened; what a server of ours has to send is no longer.
const TEXT_LEN_MAX: usize = INNER_LEN_MAX.next_multiple_of(16) + 1500 - INNER_LEN_MAX;
const SLOT_LEN: usize = TEXT_LEN_MAX + TAILROOM;

/// What is known of a data message before it is opened.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    /// The client that it is for.
    pub(super) number: u32,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// What stands in the reserved octets.
    pub(super) client_id: ClientId,
}

/// One message under way.
struct Slot {
    octets: Box<[u8]>,
    key: Key,
    /// None before the first use.
    found: Option<(Letter, Ticket)>,
    counter: u64,
    accepted: bool,
}

/// Up to [`BATCH_LEN`] messages, in the order in which they came.
pub(super) struct Arrivals {
    slots: Vec<Slot>,
    len: usize,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let slot = || Slot {
            octets: vec![0; SLOT_LEN].into_boxed_slice(),
            key: Key::zero(),
            found: None,
            counter: 0,
            accepted: false,
        };
        Self { slots: (0..BATCH_LEN).map(|_| slot()).collect(), len: 0 }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == BATCH_LEN
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a message whose session has said that it is worth opening.
    pub(super) fn push(
        &mut self,
        letter: Letter,
        incoming: &Incoming<'_>,
        datagram: &[u8],
    ) -> Result<(), Refused> {
        let slot = self.slots.get_mut(self.len).ok_or(Refused::TooLong)?;
        let sealed = datagram.get(DATA_HEADER_LEN..).ok_or(Refused::Malformed)?;
        if incoming.ticket.len() > TEXT_LEN_MAX {
            return Err(Refused::TooLong);
        }
        let place = slot.octets.get_mut(..incoming.ticket.len() + TAG_LEN);
        place
            .filter(|place| place.len() == sealed.len())
            .ok_or(Refused::Malformed)?
            .copy_from_slice(sealed);
        slot.key.copy_from(incoming.key);
        slot.counter = incoming.counter;
        slot.found = Some((letter, incoming.ticket));
        self.len += 1;
        Ok(())
    }

    /// Opens all that was pushed.
    pub(super) fn open(&mut self) {
        let slots = self.slots.get_mut(..self.len).unwrap_or_default();
        // Jobs borrow their slots, so the list of them lives only here.
        let mut verdicts: ArrayVec<&mut bool, BATCH_LEN> = ArrayVec::new();
        let mut jobs: ArrayVec<Job<'_>, BATCH_LEN> = ArrayVec::new();
        for slot in slots {
            slot.accepted = false;
            let len = slot.found.map_or(0, |(_, ticket)| ticket.len());
            if let Some(job) = Job::new(&slot.key, slot.counter, &mut slot.octets, len) {
                jobs.push(job);
                verdicts.push(&mut slot.accepted);
            }
        }
        open(&mut jobs);
        for (job, accepted) in jobs.iter().zip(verdicts) {
            *accepted = job.accepted();
        }
    }

    /// Forgets the messages.
    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }

    /// How many messages there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Message number `at` of the batch, when it was opened: who it is for, and the verdict to give to its tunnel.
    pub(super) fn opened(&self, at: usize) -> Result<(Letter, Ticket), Refused> {
        let slot = self.slots.get(at).ok_or(Refused::Malformed)?;
        slot.found.filter(|_| slot.accepted).ok_or(Refused::Tag)
    }

    /// The inner packet of an opened message, empty for a keepalive.
    pub(super) fn inner(&self, at: usize, ticket: Ticket) -> Result<&[u8], Refused> {
        let text = self.slots.get(at).and_then(|slot| slot.octets.get(..ticket.len()));
        let text = text.ok_or(Refused::Malformed)?;
        if text.is_empty() {
            return Ok(text);
        }
        message::inner_len(text).and_then(|len| text.get(..len)).ok_or(Refused::Inner)
    }
}
