//! The counts of one stream.

use serde::Serialize;

/// What a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An attack.
    Attack,
    /// Synthetic packets.
    Synth,
    /// A capture.
    Replay,
}

impl Kind {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Synth => "synth",
            Self::Replay => "replay",
        }
    }
}

/// What became of a stream's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Frames whose time came.
    pub planned: u64,
    /// Given to the device.
    pub sent: u64,
    /// Due, but the device took no more.
    pub without_room: u64,
    /// Due, but nothing was left to build.
    pub unbuilt: u64,
    /// Due, but the generator did not get to them.
    pub owed: u64,
    /// Measured packets that came back, as often as they came.
    pub returned: u64,
}

impl Tally {
    /// Whether every frame is where it can be.
    pub const fn adds_up(&self) -> bool {
        self.planned == self.sent + self.without_room + self.unbuilt
    }
}
