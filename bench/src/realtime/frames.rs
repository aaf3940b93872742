//! The frames of a trial, made before it: a generator that seals would be no quicker than the server that opens.

use std::io::{self, Read, Write};

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

    /// Octets of all of them.
    pub(super) const fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Where each ends, then all of them.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        for end in &self.ends {
            to.write_all(&(*end as u64).to_le_bytes())?;
        }
        to.write_all(&self.octets)
    }

    /// So many frames with so many octets, as [`Self::write`] has written them.
    pub(super) fn read(
        from: &mut impl Read,
        (count, octets): (usize, usize),
        interval: f64,
    ) -> io::Result<Self> {
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            let mut end = [0; 8];
            from.read_exact(&mut end)?;
            ends.push(usize::try_from(u64::from_le_bytes(end)).map_err(io::Error::other)?);
        }
        let mut frames = Self { octets: vec![0; octets], ends, interval };
        from.read_exact(&mut frames.octets)?;
        Ok(frames)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let frames = Frames { octets: vec![1, 2, 3, 4, 5], ends: vec![2, 5], interval: 7.0 };
        let mut written = Vec::new();
        frames.write(&mut written).unwrap();
        let size = (frames.len(), frames.octets());
        let read = Frames::read(&mut written.as_slice(), size, 7.0).unwrap();
        assert_eq!(
            [read.get(0), read.get(1), read.get(2)],
            [Some(&[1, 2][..]), Some(&[3, 4, 5]), None]
        );
        assert!(Frames::read(&mut &written[1..], size, 7.0).is_err());
    }
}
