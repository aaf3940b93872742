//! What the MACs of a burst's messages prove, computed for all of them at once.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use wireguard::cookie::{Checker, Secrets};
use wireguard::message::{self, Kind as MessageKind};

use crate::burst::Burst;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::limits::BURST_LEN_MAX;

/// Initiations and responses have MACs, cookie replies have none.
fn has_macs(frame: &Frame<'_>) -> bool {
    let is_open = frame.fate == Fate::Undecided && frame.note.kind == Kind::Handshake;
    is_open
        && matches!(
            message::kind(frame.data()),
            Ok(MessageKind::Initiation | MessageKind::Response)
        )
}

/// Drops the messages whose senders do not know our key.
pub(super) fn know_us(burst: &mut Burst<'_>, checker: &Checker) {
    let mut valid = [false; BURST_LEN_MAX];
    {
        let frames = burst.frames().iter().filter(|frame| has_macs(frame));
        let messages: ArrayVec<&[u8], BURST_LEN_MAX> = frames.map(Frame::data).collect();
        checker.mac1_valid_each(&messages, &mut valid);
    }
    for (frame, valid) in burst.undecided().filter(|frame| has_macs(frame)).zip(valid) {
        if !valid {
            frame.fate = Fate::Drop(DropReason::DosMac1);
        }
    }
}

/// Octets of a second MAC, all zeros where there is none (5.4.4).
const MAC2_LEN: usize = 16;

/// Which of the frames prove by a cookie that their senders receive at their addresses.
pub(super) fn cookies(
    burst: &mut Burst<'_>,
    checker: &Checker,
    secrets: &Secrets,
) -> [bool; BURST_LEN_MAX] {
    // Two cookies and two MACs are no small thing to compute for every message of a flood.
    let has_mac2 = |frame: &Frame<'_>| has_macs(frame) && !frame.data().ends_with(&[0; MAC2_LEN]);
    let (mut valid, mut proven) = ([false; BURST_LEN_MAX], [false; BURST_LEN_MAX]);
    let frames = burst.frames();
    let letters: ArrayVec<(&[u8], SocketAddr), BURST_LEN_MAX> = frames
        .iter()
        .filter(|frame| has_mac2(frame))
        .map(|frame| (frame.data(), frame.note.endpoint.remote_socket()))
        .collect();
    checker.mac2_valid_each(&letters, secrets, &mut valid);
    let places = frames.iter().zip(&mut proven).filter(|(frame, _)| has_mac2(frame));
    for ((_, proven), valid) in places.zip(valid) {
        *proven = valid;
    }
    proven
}
