//! What is asked of tenants, their rules and tunnels, and answered about them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::TenantShown;

/// What is asked of tenants.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum TenantRequest {
    List,
    Show { name: String },
    Add(Box<TenantText>),
    Remove { name: String },
}

/// What is asked of a tenant's rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum RulesRequest {
    Show {
        tenant: String,
    },
    Set {
        tenant: String,
        rules: RulesText,
    },
    /// Of the rules in force, or of others.
    Test {
        tenant: String,
        packet: String,
        rules: Option<RulesText>,
    },
}

/// A tenant as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a `[[tenant]]`")]
pub struct TenantText {
    pub name: String,
    pub mode: String,
    pub syn: String,
    pub syn_above: u32,
    pub flows: bool,
    pub out_of_state: u32,
    pub prefixes: Vec<String>,
    pub tunnels: Vec<TunnelText>,
    pub rules: Option<RulesText>,
}

/// A tunnel as it is asked for and told. In answers it is a part of a line, which may say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of a `[[tenant.tunnel]]`")]
pub struct TunnelText {
    pub name: String,
    pub local: IpAddr,
    pub remote: IpAddr,
    pub key: Option<u32>,
    pub checksum: bool,
    pub mtu: u16,
    pub dont_fragment: String,
    pub priority: u16,
    pub weight: u16,
    pub probe: Option<ProbeText>,
}

/// How a tunnel is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a `[[tenant.tunnel]]`")]
pub struct ProbeText {
    /// `request` or `reply`.
    pub style: String,
    pub inside_local: IpAddr,
    pub inside_remote: IpAddr,
    pub interval_ms: u64,
}

/// Rules as somebody has written them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesText {
    /// Where they were read, for messages.
    pub file: String,
    /// They themselves.
    pub text: String,
}

/// A tenant among others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantListed {
    /// Its name.
    pub name: String,
    /// `off`, `monitor` or `enforce`.
    pub mode: String,
    /// How many prefixes it has.
    pub prefixes: usize,
    /// How many tunnels.
    pub tunnels: usize,
    /// How many of them are not down, as the dataplane says.
    pub tunnels_up: usize,
    /// How many rules.
    pub rules: usize,
    /// What its rules were asked about.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Where it comes from.
    pub origin: String,
}

/// Packets to a tenant, since the dataplane has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets that its rules have let pass.
    pub passed: u64,
    /// Packets that they have not.
    pub dropped: u64,
    /// Octets of both.
    pub octets: u64,
}

/// A tenant with all that is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSeen {
    /// Its prefixes, and how they are guarded.
    #[serde(flatten)]
    pub tenant: TenantShown,
    /// What its rules were asked about.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Its tunnels.
    pub tunnels: Vec<TunnelShown>,
    /// Its rules; none when everything is accepted.
    pub ruleset: Option<RulesetShown>,
}

/// A tunnel with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelShown {
    /// What was asked for.
    #[serde(flatten)]
    pub tunnel: TunnelText,
    /// Whose it is.
    pub tenant: String,
    /// `unprobed`, `up`, `degraded` or `down`; none as long as the dataplane has not told.
    pub state: Option<String>,
    /// Since when, Unix time.
    pub since: Option<u64>,
    /// Microseconds from a probe to its answer.
    pub rtt_us: Option<u64>,
    /// Probes.
    pub probes_sent: u64,
    /// How many of them were answered.
    pub probes_answered: u64,
    /// Packets to its other end.
    pub sent_packets: u64,
    /// Their octets.
    pub sent_octets: u64,
    /// Packets from there.
    pub received_packets: u64,
    /// Their octets.
    pub received_octets: u64,
    /// Where it comes from.
    pub origin: String,
}

/// The rules of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesetShown {
    /// Whose they are.
    pub tenant: String,
    /// What becomes of packets that no rule decides: `accept` or `drop`.
    pub policy: String,
    /// The rules, in order.
    pub rules: Vec<RuleOfTenant>,
    /// Where they come from.
    pub origin: String,
}

/// A rule of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleOfTenant {
    /// Its place among the rules, from 1.
    pub number: usize,
    /// The rule, in the syntax in which it is written, with what it has counted.
    pub text: String,
    /// What it has matched; none when it is not counted.
    pub counted: Option<Counted>,
}

/// What a counted rule has matched since the tenant's rules are these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// How many of the packets were dropped for it.
    pub dropped: u64,
}

/// What rules make of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestShown {
    /// The tenant.
    pub tenant: String,
    /// The packet's destination.
    pub destination: String,
    /// The prefix in which that is, and whose it is; with none it is no packet of a tenant's.
    pub owner: Option<(String, String)>,
    /// Whether these rules are in force.
    pub in_force: bool,
    /// The rules up to the one that decides whatever its limit says.
    pub tried: Vec<Tried>,
    /// What becomes of packets that no rule decides: `accept` or `drop`.
    pub policy: String,
    /// What may decide, in order: each but the last only as its limit says.
    pub deciding: Vec<Deciding>,
}

/// A rule that was asked about a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Its place among the rules, from 1.
    pub number: usize,
    /// The first of its conditions that does not hold; none when all do.
    pub fails: Option<String>,
    /// What the packet has instead.
    pub found: Option<String>,
    /// The rule.
    pub text: String,
}

/// What decides about a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    /// The place of the rule, from 1; none for the policy.
    pub rule: Option<usize>,
    /// `within` or `beyond` its limit, when it has one.
    pub limit: Option<String>,
    /// `accept` or `drop`.
    pub verdict: String,
}
