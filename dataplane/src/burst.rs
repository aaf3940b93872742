//! The frames of one turn; `pass` skips what is decided.

use arrayvec::ArrayVec;

use crate::fate::{DropReason, Fate, Waiting};
use crate::frame::{Entry, Frame, Kind, Note};
use crate::limits::BURST_LEN_MAX;
use crate::port::Packet;

/// Up to [`BURST_LEN_MAX`] frames that walk through the stages together.
#[derive(Debug, Default)]
pub struct Burst<'a> {
    frames: ArrayVec<Frame<'a>, BURST_LEN_MAX>,
    /// They come from another worker, which has counted what came in with them.
    is_handed: bool,
    /// What they are, as far as stock was taken.
    kinds: Kinds,
}

/// Kinds of frames, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// These.
    pub const fn of<const N: usize>(kinds: [Kind; N]) -> Self {
        let mut bits = 0;
        let mut rest = kinds.as_slice();
        while let [kind, others @ ..] = rest {
            bits |= 1 << *kind as u32;
            rest = others;
        }
        Self(bits)
    }

    /// Whether this is one of them.
    #[inline]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u32 & 1 != 0
    }
}

impl Default for Kinds {
    /// All of them: nothing is known yet.
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// Where a frame lies in its buffer at the end of its way, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The fate; never `Undecided`.
    pub fate: Fate,
    /// What goes with the packet to another worker, or waits with it.
    pub tag: u64,
    /// First octet in the buffer.
    pub start: usize,
    /// Octets.
    pub len: usize,
}

/// Room for the notes of one burst, to be used again for the next: a note is written where it lies. One that
/// was made elsewhere and moved would be read in other widths than it was written in, for which the core waits.
pub fn notes() -> Box<[Note]> {
    vec![Note::new(Entry::Own); BURST_LEN_MAX].into_boxed_slice()
}

impl<'a> Burst<'a> {
    /// Lends the packets' buffers as frames that all came in by `entry`. As many as there are notes; callers
    /// bring [`notes`].
    pub fn lend<P: Packet>(packets: &'a mut [P], notes: &'a mut [Note], entry: Entry) -> Self {
        Self::noted(packets, notes, |note, packet| note.begin(entry, packet.verified()))
    }

    /// Lends packets that another worker has handed over; each bears its entry.
    pub fn lend_handed<P: Packet>(packets: &'a mut [P], notes: &'a mut [Note]) -> Self {
        let burst = Self::noted(packets, notes, |note, packet| {
            note.begin_handed(packet.tag());
        });
        Self { is_handed: true, ..burst }
    }

    /// Lends pieces of a datagram that have waited here for each other; each bears how it came.
    pub fn lend_pieces<P: Packet>(packets: &'a mut [P], notes: &'a mut [Note]) -> Self {
        Self::noted(packets, notes, |note, packet| note.begin_handed(packet.tag()))
    }

    /// Lends packets of which the same is known.
    pub fn lend_known<P: Packet>(packets: &'a mut [P], notes: &'a mut [Note], known: Note) -> Self {
        Self::noted(packets, notes, |note, _| *note = known)
    }

    #[inline]
    fn noted<P: Packet>(
        packets: &'a mut [P],
        notes: &'a mut [Note],
        mut set: impl FnMut(&mut Note, &P),
    ) -> Self {
        let mut burst = Self::default();
        for (packet, note) in packets.iter_mut().zip(notes).take(BURST_LEN_MAX) {
            set(note, packet);
            let (start, len) = (packet.start(), packet.len());
            let whole = packet.is_whole();
            let mut frame = Frame::new(packet.octets_mut(), start, len, note);
            if !whole {
                frame.fate = Fate::Drop(DropReason::ParseSegmented);
            }
            burst.push(frame);
        }
        burst
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

    /// Finds out of what kinds the undecided frames are, so that stages that concern none of them are passed at once. What
    /// a stage makes of a frame later is not known until stock is taken again: only kinds that nothing in between makes may
    /// be asked for.
    #[inline]
    pub fn take_stock(&mut self) {
        self.kinds =
            Kinds(self.undecided().fold(0, |bits, frame| bits | 1 << frame.note.kind as u32));
    }

    /// Whether one of these kinds was there when stock was taken.
    #[inline]
    pub const fn has_any(&self, kinds: Kinds) -> bool {
        self.kinds.0 & kinds.0 != 0
    }

    /// Whether nothing but outer packets was there then: they only wait for their link headers.
    #[inline]
    pub const fn is_outer(&self) -> bool {
        self.kinds.0 & !Kinds::of([Kind::Outer]).0 == 0
    }

    /// Whether another worker has seen these frames before.
    pub const fn is_handed(&self) -> bool {
        self.is_handed
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
                tag: match frame.fate {
                    Fate::Hold(Waiting::Datagram(_)) => frame.note.tag_to_wait(),
                    Fate::Hold(_) | Fate::HandOver(_) | Fate::Cut(_) => frame.note.tag(),
                    Fate::Undecided
                    | Fate::Transmit(_)
                    | Fate::Kernel(_)
                    | Fate::Local
                    | Fate::Handshake
                    | Fate::Split(_)
                    | Fate::Pieces(_)
                    | Fate::Consumed
                    | Fate::Drop(_) => 0,
                },
                start: frame.start(),
                len: frame.len(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Pool;
    use crate::testing::memory::{Buffer, Buffers};

    #[test]
    fn a_burst_concerns_every_stage_until_stock_is_taken() {
        let burst = Burst::default();
        assert!(burst.has_any(Kinds::of([Kind::Question])) && !burst.is_outer());
    }

    #[test]
    fn stock_is_of_what_nothing_has_decided_yet() {
        let mut pool = Buffers::new(3);
        let mut packets: Vec<Buffer> = std::iter::from_fn(|| pool.allocate()).take(3).collect();
        let mut notes = notes();
        let mut burst = Burst::lend(&mut packets, &mut notes, Entry::Wire(0));
        for (frame, kind) in burst.frames().iter_mut().zip([Kind::Outer, Kind::Sealed, Kind::Reply])
        {
            frame.note.kind = kind;
        }
        burst.take_stock();
        assert!(burst.has_any(Kinds::of([Kind::Arp, Kind::Sealed])));
        assert!(!burst.has_any(Kinds::of([Kind::Arp, Kind::Inner])) && !burst.is_outer());
        burst.frames()[1].fate = Fate::Consumed;
        burst.frames()[2].note.kind = Kind::Outer;
        burst.take_stock();
        assert!(burst.is_outer() && !burst.has_any(Kinds::of([Kind::Sealed, Kind::Reply])));
    }
}
