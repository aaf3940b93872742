//! How routes with several exits stand, as it is told.

use serde::{Deserialize, Serialize};

/// What is asked of routes with several exits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum ArgoRequest {
    Show { destination: String },
    List,
}

/// A prefix with its exits. Times are in microseconds, moments in seconds of Unix time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArgoShown {
    /// The prefix.
    pub prefix: String,
    /// The next hop that names the exits.
    pub next_hop: String,
    /// The exit that new flows take.
    pub exit: String,
    /// Since when; none when it was so from the beginning.
    pub since: Option<u32>,
    /// Until when it is held against better ones.
    pub held_until: Option<u32>,
    /// Times that it was moved of late.
    pub moves: u8,
    /// Dials a minute, on average.
    pub dials_per_minute: u32,
    /// All exits, in the order in which they are named.
    pub exits: Vec<ExitShown>,
    /// Where its route comes from.
    pub origin: String,
}

/// One exit of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExitShown {
    /// Its name.
    pub exit: String,
    /// The centre through which it is reached.
    pub relay: Option<String>,
    /// What the way there costs, if it is known.
    pub way_us: Option<u64>,
    /// Half of the dials take less from there.
    pub p50_us: Option<u64>,
    /// Nine of ten take less.
    pub p90_us: Option<u64>,
    /// Dials that were answered.
    pub dials: u16,
    /// Of the last 32, those that failed.
    pub failures: u16,
    /// The wider prefix by which it is judged.
    pub judged_by: Option<String>,
    /// What it costs in all, if that is known.
    pub cost_us: Option<u64>,
    /// Why it is taken or not.
    pub why: String,
}

/// A data centre as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CentreShown {
    /// Its name; `direct` for what goes straight out.
    pub name: String,
    /// Its number; 0 for what goes straight out.
    pub number: u16,
    /// Whether it is this one.
    pub is_here: bool,
    /// How many machines it has.
    pub machines: usize,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// The round trip straight there, if it is known.
    pub rtt_us: Option<u64>,
    /// Probes of the last hundred that were lost.
    pub lost: Option<u8>,
    /// The centre through which it is reached.
    pub relay: Option<String>,
    /// What the way costs by which it is reached.
    pub way_us: Option<u64>,
    /// Since when by that one, in seconds of Unix time.
    pub since: Option<u32>,
    /// Prefixes that are led there of those that have a choice.
    pub prefixes: u64,
    /// Dials a minute that go there.
    pub dials_per_minute: u64,
    /// Of a thousand dials, those that go there.
    pub share_per_mille: u64,
    /// New flows a second that are led there at most.
    pub headroom: Option<u32>,
    /// Where it comes from.
    pub origin: String,
}
