//! Tenants' rules: a text in the syntax of nft, piece after piece, and what its rules have matched.

use zerocopy::transmute;

use super::command::{COMMAND_WORDS, Item, RULESET, RULESET_TEXT, TooMany};
use super::event::{EVENT_WORDS, Event, TENANT_COUNT};
use super::{Malformed, reserved};
use crate::layout::{self, wire};
use crate::limits::{RULESET_TEXT_PER_ITEM_MAX, RULESET_TEXT_PER_MESSAGE};

/// In place of a rule's index in [`Event::TenantCount`]: all that has come to the tenant, whatever decided about it.
pub const ALL_RULES: u32 = u32::MAX;

wire! {
    /// A tenant's rules begin anew.
    struct RulesetWire {
        kind: u16,
        reserved: [u8; 2],
        tenant: u32,
        rest: [u8; 168],
    }

    /// A piece of their text.
    struct TextWire {
        kind: u16,
        len: u8,
        reserved: u8,
        tenant: u32,
        text: [u8; RULESET_TEXT_PER_MESSAGE],
    }

    /// What a rule of a tenant has matched.
    struct TenantCountWire {
        kind: u16,
        reserved: [u8; 2],
        tenant: u32,
        rule: u32,
        reserved2: [u8; 4],
        packets: u64,
        octets: u64,
        dropped: u64,
        rest: [u8; 72],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, RulesetWire::SHAPE);
    let hash = layout::number(hash, TextWire::SHAPE);
    layout::number(hash, TenantCountWire::SHAPE)
};

impl RulesetWire {
    /// The words of a beginning.
    pub(super) fn encode(tenant: u32) -> [u64; COMMAND_WORDS] {
        transmute!(Self { kind: RULESET, reserved: [0; 2], tenant, rest: [0; 168] })
    }

    /// Whose rules begin.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        reserved(&self.reserved)?;
        reserved(&self.rest).map(|()| Item::Ruleset(self.tenant))
    }
}

/// How many messages a piece takes.
pub(super) fn message_count(text: &[u8]) -> Result<usize, TooMany> {
    match text.len() {
        len if len > RULESET_TEXT_PER_ITEM_MAX => Err(TooMany::Text(len)),
        len => Ok(len.div_ceil(RULESET_TEXT_PER_MESSAGE)),
    }
}

/// Appends the messages of a piece.
pub(super) fn encode(tenant: u32, text: &[u8], into: &mut Vec<[u64; COMMAND_WORDS]>) {
    let pieces = text.chunks(RULESET_TEXT_PER_MESSAGE).map(|some| -> [u64; COMMAND_WORDS] {
        let mut wire = TextWire {
            kind: RULESET_TEXT,
            len: 0,
            reserved: 0,
            tenant,
            text: [0; RULESET_TEXT_PER_MESSAGE],
        };
        for (place, octet) in wire.text.iter_mut().zip(some) {
            *place = *octet;
            wire.len += 1;
        }
        transmute!(wire)
    });
    into.extend(pieces);
}

impl TextWire {
    /// The piece; what is not counted of it must be zero.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        reserved(&[self.reserved])?;
        let split = self.text.split_at_checked(usize::from(self.len));
        let (used, unused) =
            split.filter(|(used, _)| !used.is_empty()).ok_or(Malformed::TextLen(self.len))?;
        reserved(unused)?;
        Ok(Item::RulesetText { tenant: self.tenant, text: used.into() })
    }
}

impl TenantCountWire {
    /// The words of an [`Event::TenantCount`]: its packets, octets and dropped ones.
    pub(super) fn encode(tenant: u32, rule: u32, counts: [u64; 3]) -> [u64; EVENT_WORDS] {
        let ([packets, octets, dropped], reserved2) = (counts, [0; 4]);
        let (kind, reserved, rest) = (TENANT_COUNT, [0; 2], [0; 72]);
        transmute!(Self { kind, reserved, tenant, rule, reserved2, packets, octets, dropped, rest })
    }

    /// The event; the caller compares what it does not name with zero.
    pub(super) fn read(&self) -> Event {
        let &Self { tenant, rule, packets, octets, dropped, .. } = self;
        Event::TenantCount { tenant, rule, packets, octets, dropped }
    }
}
