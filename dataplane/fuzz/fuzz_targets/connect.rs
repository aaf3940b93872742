//! Connections being opened while segments of any kind come from both sides: nothing breaks, and every set-up ends and gives back
//! what it has taken.
#![no_main]

use std::net::SocketAddr;

use connect::head::{Request, Status, parse_answer, parse_request};
use connect::limits::Limits;
use connect::time::Instant;
use connect::{
    Accepting, Arrived, Connect, Counts, Decision, Ended, Leg, NO_CLIENT, NextHop, Opening,
    Segment, Splice, Verdict, World,
};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use wire::tcp::{Flags, Located};

/// The last numbers of each leg, so that an input need not guess them.
#[derive(Default)]
struct Seen {
    near: (u32, u32),
    far: (u32, u32),
    dialled: Option<Leg>,
    next_port: u16,
}

fn hop(last: u8) -> NextHop {
    NextHop {
        address: ([192, 0, 2, last], 3128).into(),
        rtt: Duration::from_millis(10),
        takes_syn_payload: last == 3,
        mss_max: 1400,
        hops: Some(1),
        site: None,
    }
}

impl World for Seen {
    fn send(&mut self, segment: &Segment<'_>) {
        let flags = segment.flags;
        let control = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let len = u32::try_from(segment.payload.len()).expect("short") + control;
        let numbers = (segment.acknowledgment_number, segment.sequence_number.wrapping_add(len));
        if Some(segment.leg) == self.dialled || segment.flags.0 & 0x17 == Flags::SYN.0 {
            self.dialled = Some(segment.leg);
            self.far = numbers;
        } else {
            self.near = numbers;
        }
        assert!(segment.options.len() <= 40 && segment.options.len().is_multiple_of(4));
    }

    fn take_port(&mut self, _tag: u64, _remote: SocketAddr) -> Option<SocketAddr> {
        self.next_port = self.next_port.wrapping_add(1);
        (!self.next_port.is_multiple_of(16)).then_some(([192, 0, 2, 1], self.next_port).into())
    }

    fn return_port(&mut self, _local: SocketAddr, _remote: SocketAddr) {}

    fn admit(&mut self, _near: &Leg, _tag: u64, request: &Request<'_>) -> Decision {
        let origin = ([198, 51, 100, 1], request.target.port).into();
        match request.target.port % 4 {
            0 => Decision::Refuse(Status::Forbidden),
            1 => Decision::Relay(hop(3)),
            _ => Decision::Dial { origin, rtt: None, mss_max: 1460 },
        }
    }

    fn random(&mut self) -> u32 {
        0xffff_fff0
    }

    /// Now and then there is no room.
    fn splice(&mut self, splice: &Splice) -> bool {
        !splice.far.ours.port().is_multiple_of(8)
    }

    fn ended(&mut self, _ended: &Ended) {}
}

/// One step: a side, flags, offsets to the numbers that fit, a window, how long the next pause is, and a payload.
fn step(octets: &[u8]) -> Option<([u8; 6], &[u8], &[u8])> {
    let (head, rest) = octets.split_first_chunk::<6>()?;
    let len = usize::from(head[5] & 0x7f).min(rest.len());
    let (payload, rest) = rest.split_at(len);
    Some((*head, payload, rest))
}

fuzz_target!(|octets: &[u8]| {
    let _ = parse_request(octets).map(|_| ());
    let _ = parse_answer(octets).map(|_| ());
    let Some((&kind, mut rest)) = octets.split_first() else { return };
    let limits = Limits { setups: 3, buffers: 2, ..Limits::default() };
    let (mut setups, mut seen) = (Connect::new(limits, 1), Seen::default());
    let mut now = Instant(1 << 40);
    let near = match kind % 2 {
        0 => ([10, 0, 0, 1], 40_000, [198, 51, 100, 1], 80, 7),
        _ => ([192, 0, 2, 9], 40_000, [192, 0, 2, 1], 3128, NO_CLIENT),
    };
    let leg = |port: u16| Leg {
        client: near.4,
        ours: (near.2, near.3).into(),
        theirs: (near.0, port).into(),
    };
    while let Some(([side, flags, sequence, acknowledgment, window, pause], payload, left)) =
        step(rest)
    {
        rest = left;
        let (leg, numbers) = match (side % 4, seen.dialled) {
            (0 | 1, Some(leg)) => (leg, seen.far),
            (2, _) => (leg(40_001), seen.near),
            _ => (leg(40_000), seen.near),
        };
        // The first octets of a payload may be options.
        let (options, payload) = payload.split_at(if side & 0x80 == 0 {
            0
        } else {
            payload.len().min(usize::from(window & 0x24)) & !3
        });
        let arrived = Arrived {
            leg,
            header: Located {
                source_port: leg.theirs.port(),
                destination_port: leg.ours.port(),
                sequence_number: numbers.0.wrapping_add_signed(i32::from(sequence.cast_signed())),
                acknowledgment_number: numbers
                    .1
                    .wrapping_add_signed(i32::from(acknowledgment.cast_signed())),
                flags: Flags(flags),
                window: u16::from(window) << 8,
                checksum: 0,
                payload_offset: 20 + options.len(),
                payload_len: payload.len(),
            },
            options,
            payload,
        };
        if setups.segment(&arrived, &mut seen, now) == Verdict::Unknown && kind % 2 == 0 {
            let routes = [hop(3), hop(4)];
            let opening = Opening {
                syn: &arrived,
                tag: 0,
                routes: &routes,
                mss_max: 1380,
                keepalive_secs: 15,
            };
            let _ = setups.open(&opening, &mut seen, now);
        } else if !setups.knows(&arrived.leg) {
            let is_ours = kind & 2 == 0;
            let accepting = Accepting { syn: &arrived, tag: 0, is_ours, mss_max: 1400 };
            let _ = setups.accept(&accepting, &mut seen, now);
        }
        now = now + Duration::from_millis(u64::from(pause >> 7) * 70);
        setups.expire(&mut seen, now, 64);
    }
    for _ in 0..80 {
        now = now + Duration::from_secs(1);
        setups.expire(&mut seen, now, 64);
    }
    assert_eq!(setups.counts(), Counts::default());
});
