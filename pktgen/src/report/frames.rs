//! The books of the whole device: every frame that it gave or took is in the count of clients, responder or streams.

use serde::Serialize;

use super::Report;
use crate::barrage;

/// Frames between the generator and its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frames {
    /// Fetched from the device.
    pub received: u64,
    /// Put into its queue.
    pub taken: u64,
    /// Of them still in front of it at the end, so that they never left.
    pub held: u64,
    /// Lost by the device because they were not fetched in time, or because no buffer was free.
    pub missed: u64,
    /// Taken by the device that could not send them.
    pub failed: u64,
}

impl Report {
    /// Frames and planned packets that are in no count; always zero.
    pub fn unaccounted(&self) -> u64 {
        let responder = self.responder.as_ref().map_or(0, super::responder::Responder::unaccounted);
        let streams: u64 = self.tallies().map(barrage::Tally::unaccounted).sum();
        self.tally.unaccounted() + responder + streams + self.unaccounted_frames()
    }

    /// Frames of the device that nobody has counted.
    pub(super) fn unaccounted_frames(&self) -> u64 {
        let (beside, behind) = (&self.beside_streams, self.responder.as_ref().map(|r| &r.tally));
        let received = self.tally.frames_received
            + beside.returned
            + behind.map_or(0, |tally| tally.frames_received);
        let taken = self.tally.frames_sent
            + beside.neighbour
            + self.tallies().map(|tally| tally.sent).sum::<u64>()
            + behind.map_or(0, |tally| tally.frames_sent);
        self.frames.received.abs_diff(received) + self.frames.taken.abs_diff(taken)
    }

    /// The counts of all attacks and streams.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &barrage::Tally> {
        let attacks = self.attacks.iter().map(|attack| &attack.tally);
        attacks.chain(self.streams.iter().map(|stream| &stream.tally))
    }
}
