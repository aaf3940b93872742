//! A whole capture in memory, ready to be replayed.

use std::io::Read;

use super::{Error, Reader};

/// Octets of packets in memory at most.
pub const OCTETS_MAX: usize = 1 << 30;
/// Packets in memory at most.
const FRAMES_MAX: usize = 1 << 25;

/// One frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured, nanoseconds after the first; never before its predecessor.
    pub at_ns: u64,
    /// Where it starts among the capture's octets.
    start: usize,
    len: usize,
    /// Whether its end was not captured and is zeros here.
    pub is_cut: bool,
}

/// The frames of a capture that a device can take.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    octets: Vec<u8>,
    frames: Vec<Frame>,
    /// Frames that were longer than asked for and are left out.
    pub too_long: u64,
    /// Frames whose ends were not captured; zeros fill them up to their lengths.
    pub cut: u64,
}

impl Capture {
    /// Reads a capture. Frames longer than `len_max` octets, as hosts with segmentation offload capture them, are left
    /// out and counted.
    ///
    /// # Errors
    /// As [`Reader`]; also for a capture of more than [`OCTETS_MAX`] octets, or without a single packet.
    pub fn read(source: impl Read, len_max: usize) -> Result<Self, Error> {
        let mut reader = Reader::new(source)?;
        let (mut capture, mut first_ns, mut last_ns) = (Self::default(), None, 0);
        let mut number = 0;
        while let Some(record) = reader.read()? {
            number += 1;
            let since = record.at_ns.saturating_sub(*first_ns.get_or_insert(record.at_ns));
            last_ns = since.max(last_ns);
            if record.original_len > len_max || record.octets.is_empty() {
                capture.too_long += 1;
            } else if !capture.push(last_ns, record.octets, record.original_len) {
                let what = format!(
                    "more than {OCTETS_MAX} octets or {FRAMES_MAX} packets do not fit into memory; cut the file, for example with `tcpdump -r FILE -c COUNT -w PART`"
                );
                return Err(reader.error_at(number, what));
            }
        }
        if capture.frames.is_empty() {
            let what = format!(
                "no packet to be sent among {number} records: the file is empty, or all are longer than {len_max} octets"
            );
            return Err(reader.error_at(number, what));
        }
        Ok(capture)
    }

    fn push(&mut self, at_ns: u64, octets: &[u8], len: usize) -> bool {
        let start = self.octets.len();
        if start + len > OCTETS_MAX || self.frames.len() == FRAMES_MAX {
            return false;
        }
        self.octets.extend_from_slice(octets);
        self.octets.resize(start + len, 0);
        let is_cut = octets.len() < len;
        self.cut += u64::from(is_cut);
        self.frames.push(Frame { at_ns, start, len, is_cut });
        true
    }

    /// The same capture with each frame as `change` leaves it. It gets the frame, and whether its end was not captured.
    #[must_use]
    pub fn map(self, mut change: impl FnMut(&mut Vec<u8>, bool)) -> Self {
        let mut changed = Self { too_long: self.too_long, ..Self::default() };
        let mut frame = Vec::new();
        for place in &self.frames {
            frame.clear();
            frame.extend_from_slice(self.octets(place));
            change(&mut frame, place.is_cut);
            let start = changed.octets.len();
            changed.octets.extend_from_slice(&frame);
            changed.frames.push(Frame { start, len: frame.len(), ..*place });
        }
        changed.cut = self.cut;
        changed
    }

    /// The frames in their order.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// What is in one of its frames.
    pub fn octets(&self, frame: &Frame) -> &[u8] {
        self.octets.get(frame.start..frame.start + frame.len).unwrap_or_default()
    }

    /// From the first frame to the last, nanoseconds.
    pub fn span_ns(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.at_ns)
    }
}
