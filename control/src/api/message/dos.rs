//! What is asked of the filter and answered about it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is asked of the filter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is named after the command that sends it")]
pub enum DosRequest {
    Show,
    Rules,
    AddList {
        rule: RuleText,
        kind: String,
        prefixes: Vec<String>,
        file: Option<String>,
    },
    AddSignature {
        rule: RuleText,
        expression: String,
    },
    AddLimit {
        rule: RuleText,
        limit: LimitText,
    },
    AddPrefix {
        list: String,
        prefixes: Vec<String>,
    },
    /// A rule, or prefixes of a list.
    Remove {
        name: String,
        prefixes: Vec<String>,
    },
    Top,
    /// Entries of the event log with greater numbers.
    Events {
        after: u64,
    },
}

/// What every kind of rule is asked for with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// Its name.
    pub name: String,
    /// `off`, `monitor` or `enforce`.
    pub mode: String,
    /// `all`, `own` or the name of a tenant.
    pub reach: String,
    /// In how many seconds its time is over.
    pub expires_s: Option<u64>,
}

/// A limit as it is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of a `[[dos.limit]]`")]
pub struct LimitText {
    pub per: String,
    pub class: String,
    pub packets: Option<u64>,
    pub octets: Option<u64>,
    pub burst: Option<u64>,
    pub v4_len: Option<u8>,
    pub v6_len: Option<u8>,
}

/// A rule as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleShown {
    /// Its name.
    pub name: String,
    /// `block`, `allow`, `set`, `signature`, `limit` or `check`.
    pub kind: String,
    /// `off`, `monitor` or `enforce`.
    pub mode: String,
    /// `all`, `own` or the name of a tenant.
    pub reach: String,
    /// Until when, Unix time.
    pub expires: Option<u64>,
    /// What it says.
    pub says: String,
    /// Packets that it has matched since the dataplane knows it.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// How many of them were dropped for it.
    pub dropped: u64,
    /// Where it comes from.
    pub origin: String,
}

/// How the filter stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DosShown {
    /// The built-in checks.
    pub checks: Vec<CheckShown>,
    /// How many rules there are of each kind.
    pub rules: Vec<(String, usize)>,
    /// How many of all rules detection has made.
    pub automatic: usize,
    /// Prefixes on all lists.
    pub prefixes: usize,
    /// Tenants.
    pub tenants: Vec<TenantShown>,
    /// When detection makes rules.
    pub detect: Option<DetectShown>,
    /// When the last round of what is heavy was complete, Unix time; none when there was none.
    pub round_at: Option<u64>,
    /// How much was heavy in it.
    pub heavy: usize,
    /// What the dataplane counts of the filter, all threads together; nothing while none is there.
    #[serde(default)]
    pub counters: Vec<(String, u64)>,
}

/// A built-in check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckShown {
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: String,
    /// Where that is said; none for the default.
    pub origin: Option<String>,
}

/// A tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of a `[[tenant]]`")]
pub struct TenantShown {
    pub name: String,
    pub mode: String,
    pub syn: String,
    pub syn_above: u32,
    pub flows: bool,
    pub out_of_state: u32,
    pub prefixes: Vec<IpNet>,
    pub origin: String,
}

/// When detection makes rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `[dos.detect]`")]
pub struct DetectShown {
    pub mode: String,
    pub source_packets: Option<u64>,
    pub source_octets: Option<u64>,
    pub destination_packets: Option<u64>,
    pub pattern_packets: Option<u64>,
    pub hold: u64,
    pub origin: String,
}

/// Something heavy in the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeavyShown {
    /// `source`, `destination` or `pattern`.
    pub kind: String,
    /// What it is.
    pub what: String,
    /// Its destination, unless it is a source.
    pub destination: Option<IpAddr>,
    /// Whose destination it is.
    pub tenant: Option<String>,
    /// Packets per second.
    pub packets: u64,
    /// Octets per second.
    pub octets: u64,
    /// Packets of them that are dropped, per second.
    pub dropped: u64,
}
