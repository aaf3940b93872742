//! How a tunnel stands and what it has carried, as it is told.

use std::time::Duration;

use zerocopy::transmute;

use super::super::Malformed;
use super::super::choice::TunnelState;
use super::super::event::{EVENT_WORDS, Event, TUNNEL, TUNNEL_COUNT};
use crate::layout::wire;

wire! {
    /// How a tunnel stands.
    struct TunnelStateWire {
        kind: u16,
        state: u8,
        reserved: u8,
        id: u32,
        rtt_us: u64,
        sent: u64,
        answered: u64,
        since_s: u64,
        rest: [u8; 72],
    }

    /// What a tunnel has carried.
    struct TunnelCountWire {
        kind: u16,
        reserved: [u8; 2],
        id: u32,
        sent: [u64; 2],
        received: [u64; 2],
        rest: [u8; 72],
    }
}

impl TunnelStateWire {
    /// The words of an [`Event::Tunnel`]: its probes sent and answered, the time of one, and since when.
    pub(crate) fn encode(
        (id, state): (u32, TunnelState),
        [sent, answered]: [u64; 2],
        [rtt, since]: [Duration; 2],
    ) -> [u64; EVENT_WORDS] {
        transmute!(Self {
            kind: TUNNEL,
            state: state.code(),
            reserved: 0,
            id,
            rtt_us: u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
            sent,
            answered,
            since_s: since.as_secs(),
            rest: [0; 72],
        })
    }

    /// The event; the caller compares what it does not name with zero.
    pub(crate) fn read(&self) -> Result<Event, Malformed> {
        let &Self { id, sent, answered, .. } = self;
        let (rtt, since) = (Duration::from_micros(self.rtt_us), Duration::from_secs(self.since_s));
        let state = TunnelState::read(self.state)?;
        Ok(Event::Tunnel { id, state, rtt, sent, answered, since })
    }
}

impl TunnelCountWire {
    /// The words of an [`Event::TunnelCount`].
    pub(crate) fn encode(id: u32, sent: [u64; 2], received: [u64; 2]) -> [u64; EVENT_WORDS] {
        let (kind, reserved, rest) = (TUNNEL_COUNT, [0; 2], [0; 72]);
        transmute!(Self { kind, reserved, id, sent, received, rest })
    }

    /// The event, likewise.
    pub(crate) fn read(&self) -> Event {
        let &Self { id, sent, received, .. } = self;
        Event::TunnelCount { id, sent, received }
    }
}
