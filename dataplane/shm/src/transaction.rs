//! Transactions: changes that are applied whole or not at all.
//!
//! A transaction is a beginning, items, and a commit that says how many messages the items took and gives a
//! digest over them. The [`Writer`] puts it into the commands ring as room comes; the [`Collector`] gathers
//! it on the other side, bounded, and gives it out only when all of it is there and agrees. Whatever else
//! happens is a [`Refusal`] with a named, counted [`Reason`]; what was gathered is forgotten, and the rest of
//! that transaction is passed over until something begins or ends.
//!
//! The digest guards against accidents (a lost, doubled or torn message), not against a control that lies:
//! that one can write a right digest under wrong items. What it writes is checked item by item anyway.

mod collector;
pub(crate) mod digest;
mod reader;
mod writer;

use std::fmt;

pub use collector::{Collector, Step};
pub use reader::{Reader, Received};
pub use writer::{WriteError, Writer};

use crate::message::{Item, Malformed, Scope};

/// A transaction that is complete and agrees with its digest.
#[derive(Debug)]
pub struct Transaction {
    /// The number that control gave it.
    pub id: u64,
    /// What its items stand for.
    pub scope: Scope,
    /// How many messages its items took.
    pub count: u64,
    /// The changes, in order.
    pub items: Vec<Item>,
}

/// A transaction that is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number; 0 when an item came without a beginning.
    pub id: u64,
    /// Why.
    pub reason: Reason,
    /// The number of the offending message among its items, from 0.
    pub item: u64,
    /// With [`Reason::Malformed`], what is wrong.
    pub malformed: Option<Malformed>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, reason, item, malformed } = self;
        write!(f, "transaction {id} is refused at item {item}: {reason}")?;
        malformed.map_or(Ok(()), |malformed| write!(f, " ({malformed})"))
    }
}

/// An enumeration each of whose values has a number in events, a name as a counter and a sentence for people.
macro_rules! reasons {
    ($(#[doc = $title:literal])+ $type:ident:
     $($(#[doc = $doc:literal])+ $name:ident = $code:literal, $counter:literal, $sentence:literal;)+) => {
        $(#[doc = $title])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum $type {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its number in an event.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The reason with a number.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name as a counter.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $counter,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $sentence,)+
                })
            }
        }
    };
}

reasons! {
    /// Why a transaction is refused.
    Reason:
    /// A message of no known kind.
    UnknownKind = 1, "unknown_kind", "a message is of no kind known here; use one version on both sides";
    /// A message of a known kind with a wrong content.
    Malformed = 2, "malformed", "a message has a wrong content; mend what control was told";
    /// The digest over the items is another one than the commit says.
    Digest = 3, "digest", "the items are not those that were committed; send it again";
    /// There were more or fewer items than the commit says.
    Count = 4, "count", "items are missing or too many; send it again";
    /// Another transaction began before this one ended.
    NestedBegin = 5, "nested_begin", "another one began before it ended; commit or abort each";
    /// A message came outside of any transaction.
    ItemOutside = 6, "item_outside", "an item, commit or abort came without a beginning; begin first";
    /// More items than the dataplane gathers.
    TooLarge = 7, "too_large", "it has more items than are taken; split it";
    /// Control has changed its mind.
    Aborted = 8, "aborted", "control has aborted it";
    /// Control ended in the middle of it.
    ProducerDied = 9, "producer_died", "control ended in the middle of it; send it again";
    /// A commit or an abort of another transaction than the one that is open.
    OtherTransaction = 10, "other_transaction", "its end names another transaction; send it again";
    /// What continues a peer, a fleet, a tenant or a rule did not follow, or followed another one.
    Continuation = 11, "continuation", "what continues a peer, fleet, tenant or rule is not where it belongs; send it again";
    /// A peer or a tenant has more addresses than are taken.
    TooManyAddresses = 12, "too_many_addresses", "a peer or a tenant has more addresses than are taken; merge them";
    /// Well-formed and complete, but no tables can be built from it.
    Unbuildable = 13, "unbuildable", "no tables can be built from it";
    /// The ring was corrupt in the middle of it.
    Desynchronised = 14, "desynchronised", "the commands ring was corrupt; attach again and send it again";
    /// A fleet has more members or past generations than are taken.
    TooManyMembers = 15, "too_many_members", "a fleet has more members or past generations than are taken; leave out the oldest";
    /// A signature has more instructions than are taken.
    ProgramTooLong = 16, "program_too_long", "a signature has more instructions than are taken; make it simpler, or two of it";
}

reasons! {
    /// Why no tables can be built from a transaction: the detail of [`Reason::Unbuildable`].
    Obstacle:
    /// More peers than there are places.
    TooManyPeers = 1, "too_many_peers", "there are more peers than places for them; raise capacity.peers of the dataplane";
    /// The server's own key as a peer's.
    OwnKey = 2, "own_key", "a peer has the server's own public key; name the client's";
    /// No port leads to an endpoint.
    Unreachable = 3, "unreachable", "no port leads to a peer's endpoint; add an address or gateway of its family";
    /// A prefix that somebody else has.
    PrefixTaken = 4, "prefix_taken", "a prefix is another peer's, another route's or this machine's own; take it from one of them";
    /// A route to a next hop that is not there.
    NoNextHop = 5, "no_next_hop", "a route leads to a next hop that is not there; add the next hop first";
    /// A next hop goes to which routes lead.
    NextHopInUse = 6, "next_hop_in_use", "routes lead to a next hop that shall go; change them first";
    /// A next hop to a peer that is not there.
    NoPeer = 7, "no_peer", "a next hop leads to a peer that is not there; add the peer, or change the next hop";
    /// A next hop of a kind that this dataplane has no egress for.
    NoEgress = 8, "no_egress", "this dataplane has no egress for a next hop of this kind; take reject, local, direct or client";
    /// A next hop to this machine, which has no interface for inner packets.
    NoLocal = 9, "no_local", "a next hop leads to this machine, whose dataplane has no [local] interface; add it";
    /// Too many different /24 with longer prefixes in them.
    TooManyLongPrefixes = 10, "too_many_long_prefixes", "more than 32768 different /24 have longer prefixes in them; merge some";
    /// Too many different next hops of prefixes wider than one address.
    TooManyNextHops = 11, "too_many_next_hops", "prefixes wider than one address lead to more than 32767 different peers and next hops; merge some";
    /// A removal of what is not there.
    NotThere = 12, "not_there", "what shall go is not there; attach again and send a snapshot";
    /// More routes than are kept.
    TooManyRoutes = 13, "too_many_routes", "there are more routes than places for them; raise capacity.routes of the dataplane, or merge some";
    /// More next hops than are kept.
    TooManyHops = 14, "too_many_hops", "there are more than 65536 next hops; remove those that no route uses";
    /// A fleet for a dataplane that is in none.
    NoFleet = 15, "no_fleet", "this dataplane has no [fleet] section; add it, or declare no fleet";
    /// This server is not in its fleet.
    NotAMember = 16, "not_a_member", "this server's number is not among the fleet's members; add it there, or mend fleet.server of the dataplane";
    /// No way between this server and a member.
    MemberAddress = 17, "member_address", "a member's address cannot be reached, or this server's own is none of its ports'; mend it, or add an address or gateway of its family";
    /// Members that are no fleet.
    Members = 18, "members", "the fleet has no member, two with one number or address, or none that is active with a weight; mend its members";
    /// Other members under a generation that is not newer.
    Generation = 19, "generation", "the fleet's members have changed, and its generation is not newer than the one in force; raise it";
    /// A rule that is not there.
    NoRule = 20, "no_rule", "a rule that is named is not there; add it first";
    /// Prefixes for a rule that is no list.
    NotAList = 21, "not_a_list", "prefixes are meant for a rule that is no list; name a block list, an allow list or a set";
    /// More rules than are kept.
    TooManyRules = 22, "too_many_rules", "there are more than 4096 rules; merge some, or remove those that match nothing";
    /// More prefixes on lists than are kept.
    TooManyPrefixes = 23, "too_many_prefixes", "there are more than 8,000,000 prefixes on the lists; merge some";
    /// A signature's program that is not safe to run.
    BadProgram = 24, "bad_program", "a signature's program is not accepted; mend what it shall match";
    /// Signatures that together cost each packet too much.
    TooManyInstructions = 25, "too_many_instructions", "all signatures together have too many instructions; make them simpler, or fewer";
    /// A limit that cannot be kept.
    BadLimit = 26, "bad_limit", "a limit's rate or burst is out of bounds; change it";
    /// More tenants than are kept.
    TooManyTenants = 27, "too_many_tenants", "there are more than 4096 tenants; remove some";
    /// A tenant's prefix that is not its own.
    TenantPrefix = 28, "tenant_prefix", "a tenant's prefix is another tenant's, or overlaps an address of this server or of its [nat]; take it from one of them";
    /// A tenant that is not there.
    NoTenant = 29, "no_tenant", "a rule, a tunnel or a text of rules is for a tenant that is not there; add the tenant first";
    /// A tenant goes that rules reach.
    TenantInUse = 30, "tenant_in_use", "rules or tunnels reach a tenant that shall go; remove them first";
    /// A tunnel between addresses between which there is none.
    TunnelEnds = 31, "tunnel_ends", "a tunnel's local address is none of this server's ports', or its remote one is this server's or of its [nat]; mend it, or add the address to a port";
    /// Two tunnels that nothing tells apart.
    TunnelTaken = 32, "tunnel_taken", "two tunnels have the same ends and key; change one of them";
    /// More tunnels than are kept.
    TooManyTunnels = 33, "too_many_tunnels", "there are more than 8192 tunnels; remove some";
    /// A tenant's rules that are none.
    BadRules = 34, "bad_rules", "a tenant's rules are not accepted, or name a set that is not there; mend them";
    /// Rules of tenants that are counted, more than there are places.
    TooManyCounters = 35, "too_many_counters", "more rules of tenants are counted than there are places; take counter from some";
    /// A longer text of rules than is kept.
    RulesTooLong = 36, "rules_too_long", "a tenant's rules have more than 4 MiB, or those of all tenants more than 128 MiB; make them shorter";
    /// More data centres than are kept.
    TooManyCentres = 37, "too_many_centres", "there are more than 512 data centres; remove some";
}

/// How often each [`Reason`] occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Reason::ALL.len()]);

impl Refusals {
    /// How often this one did.
    pub fn count(&self, reason: Reason) -> u64 {
        Self::place(reason).and_then(|place| self.0.get(place)).copied().unwrap_or(0)
    }

    /// Counts one; for refusals that the caller pronounces, such as [`Reason::Unbuildable`].
    pub fn add(&mut self, reason: Reason) {
        if let Some(place) = Self::place(reason)
            && let Some(counter) = self.0.get_mut(place)
        {
            *counter = counter.wrapping_add(1);
        }
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn place(reason: Reason) -> Option<usize> {
        Reason::ALL.iter().position(|other| *other == reason)
    }
}

#[cfg(test)]
mod tests;
