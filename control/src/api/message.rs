//! What the command line and control say to each other: a request as one line of JSON, and lines of JSON in answer, the
//! last of which is `done` or `refused`.

mod argo;
mod dos;
mod tenant;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::dos::journal::Entry;
use crate::model::{Cause, Counts, Refused};
pub use argo::{ArgoRequest, ArgoShown, CentreShown, ExitShown};
pub use dos::{
    CheckShown, DetectShown, DosRequest, DosShown, HeavyShown, LimitText, RuleShown, RuleText,
    TenantShown,
};
pub use tenant::{
    Counted, Deciding, ProbeText, RuleOfTenant, RulesRequest, RulesText, RulesetShown,
    TenantListed, TenantRequest, TenantSeen, TenantText, TestShown, Traffic, Tried, TunnelShown,
    TunnelText,
};

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum Request {
    PeerAdd(PeerText),
    PeerRemove { peer: String },
    PeerList,
    PeerShow { peer: String },
    RouteAdd { prefix: String, next_hop: String },
    RouteRemove { prefix: String },
    RouteLookup { address: IpAddr },
    RouteList,
    RouteLoad { file: String, replace: bool },
    NextHopAdd(HopText),
    NextHopRemove { name: String },
    NextHopList,
    Fleet { command: FleetRequest },
    Dos { command: DosRequest },
    Tenant { command: TenantRequest },
    Rules { command: RulesRequest },
    TunnelList,
    Argo { command: ArgoRequest },
    Status,
    Counters,
    Check { directory: String },
    Diff { directory: String },
    Apply { directory: String },
}

/// What is asked of the fleet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum FleetRequest {
    List,
    /// With a deadline so many seconds from now.
    Drain {
        server: u8,
        deadline_s: Option<u64>,
    },
    Weight {
        server: u8,
        weight: u16,
    },
    Up {
        server: u8,
    },
    Down {
        server: u8,
    },
}

/// A peer as it is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a `[[peer]]`")]
pub struct PeerText {
    pub public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preshared_key: Option<Hidden>,
    #[serde(default)]
    pub allowed_ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    #[serde(default)]
    pub persistent_keepalive: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// A text that is never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// A next hop as it is asked for and told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a `[[next_hop]]`")]
pub struct HopText {
    pub name: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    #[serde(default)]
    pub checksum: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<String>,
    /// How many routes use it; in answers.
    #[serde(default)]
    pub uses: u32,
    /// Where it comes from; in answers.
    #[serde(default)]
    pub origin: String,
}

/// A line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the types say what each is")]
pub enum Answer {
    Peer(PeerShown),
    Route(RouteShown),
    NextHop(HopText),
    Fleet(FleetShown),
    Rule(RuleShown),
    Dos(Box<DosShown>),
    Heavy(HeavyShown),
    Event(Entry),
    TenantListed(TenantListed),
    Tenant(Box<TenantSeen>),
    Ruleset(RulesetShown),
    Tested(TestShown),
    Tunnel(Box<TunnelShown>),
    Argo(Box<ArgoShown>),
    Centre(Box<CentreShown>),
    Status(Box<StatusShown>),
    Counters(CountersShown),
    Difference(DifferenceShown),
    /// The end of an answer.
    Done {
        pending: bool,
    },
    /// The end of one that is none.
    Refused {
        cause: String,
        place: Option<String>,
        what: String,
    },
}

/// A peer as it is shown, with what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerShown {
    /// Its key.
    pub public_key: String,
    /// Its name.
    pub name: Option<String>,
    /// Its prefixes.
    pub allowed_ips: Vec<IpNet>,
    /// Where it is, or is expected.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives; 0 for none.
    pub persistent_keepalive: u16,
    /// Whether it has a preshared key.
    pub preshared_key: bool,
    /// Its client id, when it alone is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// When its last session began, Unix time; 0 for never.
    pub handshake: u64,
    /// Octets from it.
    pub received: u64,
    /// Octets to it.
    pub sent: u64,
    /// Where it comes from.
    pub origin: String,
}

/// A route, or what decides about an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteShown {
    /// The prefix.
    pub prefix: String,
    /// The next hop's name; none when a peer holds the prefix.
    pub next_hop: Option<String>,
    /// The peer that holds it, by name or key.
    pub peer: Option<String>,
    /// Where it comes from.
    pub origin: String,
}

/// The fleet, as it is declared and as this server's dataplane sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetShown {
    /// The generation that is declared.
    pub generation: u16,
    /// The past generations that are known, the newest first.
    pub past: Vec<u16>,
    /// This server's number, as its dataplane says.
    pub server: Option<u8>,
    /// The generation that its dataplane has in force; 0 for none.
    pub in_force: Option<u16>,
    /// The digest over its owner table, in hexadecimal: alike on all servers that see the same fleet.
    pub digest: Option<String>,
    /// Client ids that it holds, where they are counted: while it drains.
    pub held: Option<u64>,
    /// Why the dataplane does not have it.
    pub trouble: Option<String>,
    /// Where it comes from.
    pub origin: String,
    /// The servers.
    pub members: Vec<MemberShown>,
}

/// A server of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberShown {
    /// Its number.
    pub server: u8,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its weight.
    pub weight: u16,
    /// `active`, `draining` or `down`.
    pub state: String,
    /// Until when it drains, Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
}

/// How control and dataplane stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is named after what it says")]
pub struct StatusShown {
    pub version: String,
    pub instance: String,
    pub attached: bool,
    pub trouble: Option<String>,
    pub left_out: usize,
    pub source: Option<String>,
    pub source_trouble: Option<String>,
    pub public_key: Option<String>,
    pub listen_port: Option<u16>,
    pub peers_max: Option<u32>,
    pub peers: usize,
    pub peers_declared: usize,
    pub routes: usize,
    pub routes_declared: usize,
    pub next_hops: usize,
    pub next_hops_declared: usize,
    pub transaction: u64,
    pub applied: u64,
    pub refused: u64,
    pub events_lost: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated: Option<String>,
}

impl StatusShown {
    /// Puts counts in.
    pub fn count(&mut self, all: Counts, declared: Counts) {
        self.peers = all.peers;
        self.routes = all.routes;
        self.next_hops = all.next_hops;
        self.peers_declared = declared.peers;
        self.routes_declared = declared.routes;
        self.next_hops_declared = declared.next_hops;
    }
}

/// All counters, block after block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountersShown {
    /// Values of different epochs are not to be subtracted.
    pub epoch: u64,
    /// Names.
    pub counters: Vec<String>,
    /// Names of the blocks.
    pub blocks: Vec<String>,
    /// As many for each block as there are names.
    pub values: Vec<Vec<u64>>,
}

/// What a directory would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DifferenceShown {
    /// How many peers, routes and next hops it declares.
    pub declared: [usize; 3],
    /// How many rules and tenants.
    #[serde(default)]
    pub declared_rules: [usize; 2],
    /// How many tunnels of these.
    #[serde(default)]
    pub declared_tunnels: usize,
    /// A line for each change, if they were asked for: `+`, `-` or `~` and what.
    pub lines: Vec<String>,
    /// How many changes there are.
    pub changes: usize,
}

impl Answer {
    /// A refusal as the last line.
    pub fn refused(refused: &Refused) -> Self {
        let cause = match refused.cause {
            Cause::Invalid => "invalid",
            Cause::Conflict => "conflict",
            Cause::Unknown => "unknown",
            Cause::Full => "full",
            Cause::Declared => "declared",
            Cause::Dataplane => "dataplane",
            Cause::Disk => "disk",
            Cause::Ended => "ended",
        };
        let Refused { place, what, .. } = refused.clone();
        Self::Refused { cause: cause.to_owned(), place, what }
    }
}
