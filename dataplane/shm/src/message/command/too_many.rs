//! What is not written, because it has more parts than the other side takes.

use std::fmt;

use crate::limits::{
    ADDRESSES_PER_PEER_MAX, LISTED_PER_ITEM_MAX, MACHINES_MAX, MEMBERS_MAX, PAST_MAX, PROGRAM_MAX,
    RULESET_TEXT_PER_ITEM_MAX, TENANT_PREFIXES_MAX,
};

/// An item has more parts than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// A peer has more prefixes than [`ADDRESSES_PER_PEER_MAX`].
    Addresses(usize),
    /// A fleet, or one of its past generations, has more members than [`MEMBERS_MAX`].
    Members(usize),
    /// A fleet has more past generations than [`PAST_MAX`].
    Past(usize),
    /// A tenant has more prefixes than [`TENANT_PREFIXES_MAX`].
    Prefixes(usize),
    /// A signature has more instructions than [`PROGRAM_MAX`].
    Instructions(usize),
    /// More prefixes go into a list at once than [`LISTED_PER_ITEM_MAX`].
    Listed(usize),
    /// A data centre has more machines than [`MACHINES_MAX`].
    Machines(usize),
    /// More text of rules goes at once than [`RULESET_TEXT_PER_ITEM_MAX`].
    Text(usize),
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(count) => write!(
                f,
                "a peer has {count} inner prefixes, and at most {ADDRESSES_PER_PEER_MAX} are \
                 taken; merge some of them"
            ),
            Self::Members(count) => write!(
                f,
                "a fleet has {count} members, and at most {MEMBERS_MAX} are taken; split it"
            ),
            Self::Past(count) => write!(
                f,
                "a fleet has {count} past generations, and at most {PAST_MAX} are taken; leave \
                 out the oldest"
            ),
            Self::Prefixes(count) => write!(
                f,
                "a tenant has {count} prefixes, and at most {TENANT_PREFIXES_MAX} are taken; \
                 merge some of them"
            ),
            Self::Instructions(count) => write!(
                f,
                "a signature has {count} instructions, and at most {PROGRAM_MAX} are taken; make \
                 it simpler, or two of it"
            ),
            Self::Listed(count) => write!(
                f,
                "{count} prefixes go into a list at once, and at most {LISTED_PER_ITEM_MAX} are \
                 taken; split them"
            ),
            Self::Machines(count) => write!(
                f,
                "a data centre has {count} machines, and at most {MACHINES_MAX} are taken; leave \
                 some of them out"
            ),
            Self::Text(len) => write!(
                f,
                "{len} octets of rules go at once, and at most {RULESET_TEXT_PER_ITEM_MAX} are \
                 taken; split them"
            ),
        }
    }
}

impl std::error::Error for TooMany {}
