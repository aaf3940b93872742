//! `DoS` filtering in the book: rules, the prefixes of lists, tenants, and when detection makes rules by itself.

mod firewall;
mod prefixes;
mod tenant;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use shm::limits::{BURST_OCTETS_MIN, DEPTH_MAX_S};
use shm::message;
pub use shm::message::{Check, Class, Instruction, Mode, Per, SynGuard, Unit};

use super::{Book, Origin};
pub(super) use firewall::is_of_name;
pub use firewall::{Firewall, Told, Wrong};
pub use prefixes::Prefixes;
pub use tenant::{OUT_OF_STATE, Tenant};
pub use tunnel::{
    DONT_FRAGMENT, DontFragment, PROBE_INTERVAL_MS, PROBE_STYLE, PROBE_STYLES, Probe, ProbeStyle,
    TUNNEL_NAME_LEN_MAX, TUNNEL_STATES, Tunnel, TunnelState,
};

/// Octets of a rule's name: those of automatic rules have whole addresses in them.
pub const RULE_NAME_LEN_MAX: usize = 128;

/// The built-in checks and their names.
pub const CHECKS: [(&str, Check); 6] = [
    ("fragment", Check::Fragment),
    ("flags", Check::Flags),
    ("transport", Check::Transport),
    ("land", Check::Land),
    ("bogon", Check::Bogon),
    ("reflection", Check::Reflection),
];

/// Words that files and commands write for values.
pub const MODES: [(&str, Mode); 3] =
    [("off", Mode::Off), ("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];

/// See [`MODES`].
pub const CLASSES: [(&str, Class); 9] = [
    ("any", Class::Any),
    ("syn", Class::Syn),
    ("tcp", Class::Tcp),
    ("udp", Class::Udp),
    ("icmp", Class::Icmp),
    ("fragment", Class::Fragment),
    ("handshake", Class::Handshake),
    ("data", Class::Data),
    ("other", Class::Other),
];

/// See [`MODES`].
pub const SYN_GUARDS: [(&str, SynGuard); 3] = [
    ("off", SynGuard::Off),
    ("cookie-reset", SynGuard::CookieReset),
    ("first-drop", SynGuard::FirstDrop),
];

/// The value of a word.
pub fn value<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// The word of a value.
pub fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

/// All words, for messages.
pub fn words<T>(words: &[(&str, T)]) -> String {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
    format!("{} or {last}", others.join(", "))
}

/// Whose packets a rule judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those to this server's own addresses.
    Own,
    /// Those to a tenant's prefixes, by its name.
    Tenant(Arc<str>),
}

impl Reach {
    /// What files and commands write: `all`, `own`, or the name of a tenant.
    pub fn read(text: &str) -> Self {
        match text {
            "all" => Self::All,
            "own" => Self::Own,
            name => Self::Tenant(name.into()),
        }
    }

    /// The same the other way.
    pub fn text(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Own => "own",
            Self::Tenant(name) => name,
        }
    }
}

/// Anything of control's that judges packets: as it is asked for, and as the book has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What people call it; unique.
    pub name: Arc<str>,
    /// What the dataplane calls it. The book gives it, and never twice; 0 in what is asked for.
    pub id: u32,
    /// What becomes of packets that match.
    pub mode: Mode,
    /// Whose packets it judges.
    pub reach: Reach,
    /// Until when, in seconds of Unix time; none is for ever.
    pub expires: Option<u64>,
    /// What it is.
    pub matter: Matter,
    /// Who has put it into the book.
    pub origin: Origin,
}

/// What a rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matter {
    /// A list of sources.
    List(ListKind, Prefixes),
    /// What a packet looks like.
    Signature {
        /// In the syntax of `tcpdump`.
        expression: Arc<str>,
        /// The same, compiled.
        program: Arc<[Instruction]>,
    },
    /// How much may come.
    Limit(Limit),
    /// One of the built-in checks in another mode.
    Check(Check),
}

/// What becomes of packets of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// They are dropped.
    Block,
    /// No list, signature or limit drops them.
    Allow,
    /// What becomes of them is for the rules of tenants to say, which name the list.
    Set,
}

/// See [`MODES`].
pub const LIST_KINDS: [(&str, ListKind); 3] =
    [("block", ListKind::Block), ("allow", ListKind::Allow), ("set", ListKind::Set)];

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What shares it.
    pub per: Per,
    /// Which packets it counts.
    pub class: Class,
    /// What of them.
    pub unit: Unit,
    /// How much of it per second.
    pub per_second: u64,
    /// How much of it at once.
    pub burst: u64,
}

/// What shares a limit, as files and commands write it; else the field that is wrong, and what is.
pub fn per(
    word: &str,
    v4_len: Option<i64>,
    v6_len: Option<i64>,
) -> Result<Per, (&'static str, String)> {
    let bounded = |field, len: Option<i64>, unsaid: u8, most: u8| match len {
        None => Ok(unsaid),
        Some(len) => {
            let fits = u8::try_from(len).ok().filter(|len| *len <= most);
            fits.ok_or_else(|| (field, format!("{field} {len} is beyond 0 to {most}")))
        }
    };
    let v4 = || bounded("v4_len", v4_len, 32, 32);
    let v6 = |unsaid| bounded("v6_len", v6_len, unsaid, 128);
    match (word, v4_len, v6_len) {
        // The least that one site has is one of these.
        ("source", ..) => Ok(Per::Source { v4_len: v4()?, v6_len: v6(64)? }),
        ("destination", ..) => Ok(Per::Destination { v4_len: v4()?, v6_len: v6(128)? }),
        ("whole", None, None) => Ok(Per::Whole),
        ("whole", v4_len, _) => {
            let field = if v4_len.is_some() { "v4_len" } else { "v6_len" };
            let what = "v4_len and v6_len have no meaning for per = \"whole\"; leave them out";
            Err((field, what.to_owned()))
        }
        (other, ..) => {
            let what = format!("\"{other}\" is none; take source, destination or whole");
            Err(("per", what))
        }
    }
}

impl Limit {
    /// The burst of a limit that names none: what comes in a second, and of octets at least 4096 if these come in the
    /// longest time that a bucket may take, but never less than a bucket must hold.
    pub fn burst_of(per_second: u64, unit: Unit) -> u64 {
        match unit {
            Unit::Packets => per_second,
            Unit::Octets => {
                let most = per_second.saturating_mul(DEPTH_MAX_S);
                per_second.max(4096).min(most).max(BURST_OCTETS_MIN)
            }
        }
    }
}

impl Rule {
    /// What kind of rule it is, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.matter {
            Matter::List(kind, _) => word(&LIST_KINDS, kind),
            Matter::Signature { .. } => "signature",
            Matter::Limit(_) => "limit",
            Matter::Check(_) => "check",
        }
    }

    /// Its prefixes, if it is a list.
    pub fn prefixes(&self) -> Option<&Prefixes> {
        match &self.matter {
            Matter::List(_, prefixes) => Some(prefixes),
            Matter::Signature { .. } | Matter::Limit(_) | Matter::Check(_) => None,
        }
    }

    /// Whether it is a list that the rules of tenants name.
    pub fn is_set(&self) -> bool {
        matches!(self.matter, Matter::List(ListKind::Set, _))
    }

    /// Whether detection has made it.
    pub fn is_automatic(&self) -> bool {
        self.origin == Origin::Detection
    }

    /// Whether the rule itself says the same, whoever says it and whatever prefixes a list has.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let matter = match (&self.matter, &other.matter) {
            (Matter::List(one, _), Matter::List(two, _)) => one == two,
            (one, two) => one == two,
        };
        matter
            && self.name == other.name
            && self.mode == other.mode
            && self.reach == other.reach
            && self.expires == other.expires
    }

    /// How many messages it takes, with its prefixes.
    pub(super) fn messages(&self) -> u64 {
        // Its tenant's number takes no more than another's.
        messages_of(&self.told(message::Reach::All)) + self.prefixes().map_or(0, Prefixes::messages)
    }

    /// As the dataplane is told, without prefixes; none when its tenant is not in the book.
    pub fn message(&self, book: &Book) -> Option<message::Rule> {
        let reach = match &self.reach {
            Reach::All => message::Reach::All,
            Reach::Own => message::Reach::Own,
            Reach::Tenant(name) => message::Reach::Tenant(book.tenant_named(name)?.id),
        };
        Some(self.told(reach))
    }

    fn told(&self, reach: message::Reach) -> message::Rule {
        let matter = match &self.matter {
            Matter::List(ListKind::Block, _) => message::Matter::Block,
            Matter::List(ListKind::Allow, _) => message::Matter::Allow,
            Matter::List(ListKind::Set, _) => message::Matter::Set,
            Matter::Signature { program, .. } => message::Matter::Signature(program.to_vec()),
            Matter::Limit(Limit { per, class, unit, per_second, burst }) => {
                let (per, class, unit) = (*per, *class, *unit);
                message::Matter::Limit { per, class, unit, per_second: *per_second, burst: *burst }
            }
            Matter::Check(check) => message::Matter::Check(*check),
        };
        let expires = self.expires.map(Duration::from_secs);
        message::Rule { id: self.id, mode: self.mode, reach, expires, matter }
    }
}

/// How many messages a rule takes by itself.
pub(super) fn messages_of(rule: &message::Rule) -> u64 {
    let item = message::Item::Rule(Box::new(rule.clone()));
    item.message_count().unwrap_or(1) as u64
}

/// From which rates on detection makes rules by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detect {
    /// The mode of such rules.
    pub mode: Mode,
    /// Packets per second of a source.
    pub source_packets: Option<u64>,
    /// Octets per second of a source.
    pub source_octets: Option<u64>,
    /// Packets per second to a destination.
    pub destination_packets: Option<u64>,
    /// Packets per second that look alike.
    pub pattern_packets: Option<u64>,
    /// Seconds for which such a rule is in force after its reason was seen last.
    pub hold: u64,
    /// Who has put it into the book.
    pub origin: Origin,
}

/// How long an automatic rule holds where it is not said.
pub const HOLD: u64 = 60;

/// The longest and the shortest time that an automatic rule may hold: rounds come several times a second, and a rule
/// that nobody has looked at for a day is a mistake.
pub const HOLD_BOUNDS: (u64, u64) = (2, 86_400);

#[cfg(test)]
mod tests;
