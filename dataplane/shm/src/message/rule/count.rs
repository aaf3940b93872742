//! What a rule has matched, as it is told.

use zerocopy::transmute;

use super::super::event::{EVENT_WORDS, Event, RULE_COUNT};
use super::super::{Malformed, flag};
use crate::layout::wire;

wire! {
    /// What a rule has matched.
    struct CountWire {
        kind: u16,
        expired: u8,
        reserved: u8,
        rule: u32,
        packets: u64,
        octets: u64,
        dropped: u64,
        rest: [u8; 80],
    }
}

impl CountWire {
    /// The words of an [`Event::RuleCount`]: its packets, octets and dropped ones.
    pub(crate) fn encode(rule: u32, counts: [u64; 3], expired: bool) -> [u64; EVENT_WORDS] {
        let [packets, octets, dropped] = counts;
        let (kind, reserved, rest) = (RULE_COUNT, 0, [0; 80]);
        let expired = u8::from(expired);
        transmute!(Self { kind, expired, reserved, rule, packets, octets, dropped, rest })
    }

    /// The event; the caller compares what it does not name with zero.
    pub(crate) fn read(&self) -> Result<Event, Malformed> {
        let &Self { rule, packets, octets, dropped, .. } = self;
        Ok(Event::RuleCount { rule, packets, octets, dropped, expired: flag(self.expired)? })
    }
}
