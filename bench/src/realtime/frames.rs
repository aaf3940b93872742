//! The frames of a trial, made before it: a generator that seals would be no quicker than the server that opens.

use pktgen::measure::Trailer;
use wireguard::time::Instant;

use crate::Failure;
use crate::load::Size;
use crate::load::lane::Lane;
use crate::load::way::Way;

/// Frames of a trial at most, and their octets.
const FRAMES_MAX: u64 = 400_000;
const OCTETS_MAX: usize = 192 << 20;
/// What a frame is longer than the inner packet, at most.
const OVERHEAD: usize = 100;

/// All frames, one behind the other.
pub(super) struct Frames {
    octets: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Nanoseconds between two.
    pub(super) interval: f64,
}

impl Frames {
    /// Those of a load, of as many seconds as there is room for; each bears the moment that is planned for it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of frames, and nanoseconds of a trial"
    )]
    pub(super) fn make(
        lane: &mut Lane,
        (way, size): (Way, &Size),
        (load, seconds): (f64, f64),
        mark: u32,
    ) -> Result<Self, Failure> {
        let len = size.sizes.mean() + OVERHEAD;
        let room = FRAMES_MAX.min((OCTETS_MAX / len) as u64);
        let count = ((load * seconds) as u64).clamp(1, room);
        let interval = 1e9 / load;
        let mut frames =
            Self { octets: Vec::with_capacity(count as usize * len), ends: Vec::new(), interval };
        let mut packet = lane.pool.allocate().ok_or("the pool is empty")?;
        let start = packet.start();
        for sequence in 0..count {
            let planned = Instant((sequence as f64 * interval) as u64);
            let trailer = Trailer { stream: mark, sequence, planned };
            lane.make(way, &mut packet, size.sizes.of(sequence), trailer)?;
            frames.octets.extend_from_slice(packet.frame());
            frames.ends.push(frames.octets.len());
            packet.set_range(start, 0).map_err(|_| "a buffer has no room")?;
        }
        Ok(frames)
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// The frame with this number.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.octets.get(start..*self.ends.get(number)?)
    }
}
