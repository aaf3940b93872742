//! The frames of one turn; `pass` skips what is decided.

use arrayvec::ArrayVec;

use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame, Note};
use crate::limits::BURST_LEN_MAX;
use crate::port::Packet;

/// Up to [`BURST_LEN_MAX`] frames that walk through the stages together.
#[derive(Debug, Default)]
pub struct Burst<'a> {
    frames: ArrayVec<Frame<'a>, BURST_LEN_MAX>,
}

/// Where a frame lies in its buffer at the end of its way, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The fate; never `Undecided`.
    pub fate: Fate,
    /// What goes with the packet to another worker.
    pub tag: u64,
    /// First octet in the buffer.
    pub start: usize,
    /// Octets.
    pub len: usize,
}

impl<'a> Burst<'a> {
    /// Lends the packets' buffers as frames that all came in by `entry`.
    pub fn lend<P: Packet>(packets: &'a mut [P], entry: Entry) -> Self {
        let mut burst = Self::default();
        for packet in packets.iter_mut().take(BURST_LEN_MAX) {
            let verified = packet.verified();
            if let Some(note) = burst.push_packet(packet) {
                note.entry = entry;
                note.verified = verified;
            }
        }
        burst
    }

    /// Lends packets that another worker has handed over; each bears its entry.
    pub fn lend_handed<P: Packet>(packets: &'a mut [P]) -> Self {
        let mut burst = Self::default();
        for packet in packets.iter_mut().take(BURST_LEN_MAX) {
            let (entry, verified) = Entry::from_tag(packet.tag());
            if let Some(note) = burst.push_packet(packet) {
                note.entry = entry;
                note.verified = verified;
            }
        }
        burst
    }

    /// Adds one packet and gives its note, which says yet that the packet was made here.
    ///
    /// A blank frame is put in its place first and then filled in, field by field: one that is filled in
    /// elsewhere and then moved is read in other widths than it was written in, for which the core waits.
    ///
    /// # Panics
    /// As [`Self::push`].
    #[inline]
    pub fn push_packet<P: Packet>(&mut self, packet: &'a mut P) -> Option<&mut Note> {
        self.push(Frame::blank());
        let frame = self.frames.last_mut()?;
        let (start, len) = (packet.start(), packet.len());
        if !packet.is_whole() {
            frame.fate = Fate::Drop(DropReason::ParseSegmented);
        }
        frame.lend(packet.octets_mut(), start, len);
        Some(&mut frame.note)
    }

    /// Adds a frame.
    ///
    /// # Panics
    /// When the burst holds [`BURST_LEN_MAX`] frames: a caller's error, and a frame lost without a name.
    pub fn push(&mut self, frame: Frame<'a>) {
        assert!(
            self.frames.try_push(frame).is_ok(),
            "a burst has room for every frame of its turn"
        );
    }

    /// Runs a stage over every undecided frame; an `Err` is its fate.
    #[inline]
    pub fn pass(&mut self, mut stage: impl FnMut(&mut Frame<'a>) -> Result<(), Fate>) {
        for frame in self.undecided() {
            if let Err(fate) = stage(frame) {
                frame.fate = fate;
            }
        }
    }

    /// The frames that nothing has decided yet.
    #[inline]
    pub fn undecided(&mut self) -> impl Iterator<Item = &mut Frame<'a>> {
        self.frames.iter_mut().filter(|frame| frame.fate == Fate::Undecided)
    }

    /// Octets of all frames.
    pub fn octets(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }

    /// Every frame.
    pub fn frames(&mut self) -> &mut [Frame<'a>] {
        &mut self.frames
    }

    /// The outcome of each frame, in order.
    pub fn finish(&mut self) -> ArrayVec<Outcome, BURST_LEN_MAX> {
        self.frames
            .iter()
            .map(|frame| Outcome {
                fate: frame.fate,
                // The checksums were verified here, by the device or by us.
                tag: frame.note.entry.tag(true),
                start: frame.start(),
                len: frame.len(),
            })
            .collect()
    }
}
