//! Stage 2, steer: whose packet is it. The receiver index of sealed data names server, worker and slot (D4).

use arrayvec::ArrayVec;
use wireguard::index::{Permutation, Place};
use wireguard::message::put_client_id;

use crate::burst::Burst;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::limits::BURST_LEN_MAX;

/// Who this worker is.
#[derive(Debug)]
pub struct Owner {
    /// How indices are made and read.
    pub permutation: Permutation,
    /// This server.
    pub server: u8,
    /// This worker.
    pub worker: u8,
    /// How many workers this server has.
    pub workers: usize,
}

/// Sends sealed data to the worker that its index names; what is ours gets its session slot.
pub fn claim(burst: &mut Burst<'_>, owner: &Owner) {
    let sealed = |frame: &&mut Frame<'_>| frame.note.kind == Kind::Sealed;
    let indices: ArrayVec<u32, BURST_LEN_MAX> =
        burst.undecided().filter(sealed).map(|frame| receiver_index(frame)).collect();
    if indices.is_empty() {
        return;
    }
    let mut places = [Place::default(); BURST_LEN_MAX];
    owner.permutation.places(&indices, &mut places);
    for (frame, place) in burst.undecided().filter(sealed).zip(&places) {
        if let Err(fate) = judge(frame, *place, owner) {
            frame.fate = fate;
        }
    }
}

#[inline]
fn receiver_index(frame: &Frame<'_>) -> u32 {
    // A sealed frame has at least a header; `parse` has seen to it.
    frame.data().get(4..8).and_then(|octets| octets.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[inline]
fn judge(frame: &mut Frame<'_>, place: Place, owner: &Owner) -> Result<(), Fate> {
    if place.server != u16::from(owner.server) {
        return Err(Fate::Drop(DropReason::SteerForeignServer));
    }
    if place.worker == u16::from(owner.worker) {
        frame.note.slot = place.slot;
        return Ok(());
    }
    let worker =
        u8::try_from(place.worker).ok().filter(|worker| usize::from(*worker) < owner.workers);
    let worker = worker.ok_or(Fate::Drop(DropReason::SteerForeignWorker))?;
    // The owner reads the frame from its first octet again, with the id where it was.
    let client_id = frame.note.client_id;
    put_client_id(frame.data_mut(), client_id);
    frame.rewind();
    Err(Fate::HandOver(worker))
}
