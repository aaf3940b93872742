//! A worker's judgement of initiations: `dos::admit` alone, over bursts from 64 sources.

use std::net::SocketAddr;
use std::time::Duration;

use arrayvec::ArrayVec;
use dataplane::burst::{self, Burst};
use dataplane::fate::{DropReason, Fate};
use dataplane::frame::{Entry, Kind, Note};
use dataplane::limits::{BURST_LEN_MAX, COOKIES_BURST, STRANGER_BURST, STRANGER_INTERVAL};
use dataplane::pipeline::State;
use dataplane::stages::dos;
use dataplane::stages::parse::{self, Home};
use dataplane::testing::memory::{Buffer, Buffers};
use dataplane::testing::server::{Options, Server};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::{START, packets};
use dpdk::clock::cycles;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wireguard::cookie::{Checker, Jar};
use wireguard::message::CookieReply;
use wireguard::time::Instant;
use zerocopy::FromBytes;

use super::letters::{self, Letter};
use crate::Failure;
use crate::sample::per_packet;

/// What becomes of the initiations of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Mac1,
    Quiet,
    Cookie,
    NoCookie,
    Forged,
    Proven,
    Limited,
}

impl Way {
    pub(super) const ALL: [Self; 7] = [
        Self::Mac1,
        Self::Quiet,
        Self::Cookie,
        Self::NoCookie,
        Self::Forged,
        Self::Proven,
        Self::Limited,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mac1 => "refused: first MAC wrong",
            Self::Quiet => "let through: no load",
            Self::Cookie => "answered with a cookie",
            Self::NoCookie => "refused: without a second MAC, and no cookie left",
            Self::Forged => "refused: second MAC wrong, and no cookie left",
            Self::Proven => "let through: under load, with a cookie",
            Self::Limited => "refused: with a cookie, over its source's limit",
        }
    }

    fn is_so(self, fate: Fate, kind: Kind) -> bool {
        match self {
            Self::Mac1 => fate == Fate::Drop(DropReason::DosMac1),
            Self::Quiet | Self::Proven => fate == Fate::Undecided && kind == Kind::Handshake,
            Self::Cookie => kind == Kind::Datagram,
            Self::NoCookie | Self::Forged => fate == Fate::Drop(DropReason::DosHandshakeBudget),
            Self::Limited => fate == Fate::Drop(DropReason::DosHandshakeLimit),
        }
    }
}

/// A worker without load, and one under load.
pub(super) struct Judge {
    quiet: State,
    busy: State,
    notes: Box<[Note]>,
    buffers: Buffers,
    random: ChaCha8Rng,
    /// The sources' cookies.
    jars: Vec<Jar>,
    now: Instant,
}

fn source(number: usize) -> SocketAddr {
    site::outer_v4(u32::try_from(number).unwrap_or(0))
}

impl Judge {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut server = Server::with(&Plan::new(1).text(), Options::default());
        let quiet = server.keeper.state(0);
        let mut busy = server.keeper.state(0);
        server.exchange.set_over_budget(0, true);
        busy.filter.advance(START);
        let mut judge = Self {
            quiet,
            busy,
            notes: burst::notes(),
            buffers: Buffers::new(2 * BURST_LEN_MAX),
            random: ChaCha8Rng::seed_from_u64(13),
            jars: (0..BURST_LEN_MAX).map(|_| Jar::new()).collect(),
            now: START,
        };
        judge.burst(Way::Cookie)?;
        Ok(judge)
    }

    /// Lets one burst be judged; gives cycles per message.
    pub(super) fn burst(&mut self, way: Way) -> Result<f64, Failure> {
        let (drained, again) = match way {
            Way::NoCookie | Way::Forged => {
                (Way::Cookie, COOKIES_BURST as usize / BURST_LEN_MAX + 1)
            }
            Way::Limited => (Way::Proven, STRANGER_BURST as usize),
            Way::Mac1 | Way::Quiet | Way::Cookie | Way::Proven => (way, 0),
        };
        // All buckets are full again, and as empty as they have to be.
        self.now = self.now + STRANGER_INTERVAL * STRANGER_BURST + Duration::from_secs(1);
        for _ in 0..again {
            self.judge(drained, None)?;
        }
        let taken = self.judge(way, Some(way))?;
        Ok(per_packet(taken, BURST_LEN_MAX as u64))
    }

    fn judge(&mut self, way: Way, wanted: Option<Way>) -> Result<u64, Failure> {
        let mut packets = ArrayVec::<Buffer, BURST_LEN_MAX>::new();
        for number in 0..BURST_LEN_MAX {
            let letter = self.letter(way, number);
            let from = source(number);
            let frame = packets::datagram(from, site::server(from.ip()), &letter);
            packets.push(self.buffers.packet(&frame).ok_or("the pool is empty")?);
        }
        let state = if way == Way::Quiet { &mut self.quiet } else { &mut self.busy };
        let State { site, counters, fleet, filter, .. } = state;
        let mut burst = Burst::lend(&mut packets, &mut self.notes, Entry::Wire(0));
        let home = Home::new(site, fleet, filter.rules());
        burst.pass(|frame| parse::locate(frame, &home));
        let start = cycles();
        dos::admit(&mut burst, filter, site, counters, self.now);
        let taken = cycles() - start;
        for (frame, jar) in burst.frames().iter().zip(&mut self.jars) {
            if let Some(way) = wanted.filter(|way| !way.is_so(frame.fate, frame.note.kind)) {
                return Err(
                    format!("{}: {:?}, {:?}", way.name(), frame.fate, frame.note.kind).into()
                );
            }
            if let Ok(reply) = CookieReply::ref_from_bytes(frame.data())
                && frame.note.kind == Kind::Datagram
            {
                // The cookies of one epoch are all the same.
                let _ = jar.receive(&Checker::new(&site::server_public()), reply, self.now);
            }
        }
        Ok(taken)
    }

    fn letter(&mut self, way: Way, number: usize) -> Letter {
        let mut letter = letters::garbage(&mut self.random);
        let checker = Checker::new(&site::server_public());
        match way {
            Way::Mac1 => letters::spoil_mac1(&mut letter),
            Way::Proven | Way::Limited | Way::Cookie => {
                if let Some(jar) = self.jars.get_mut(number) {
                    // A jar keeps its cookie for two minutes of its own time, which stands still.
                    jar.stamp(&checker, &mut letter, START);
                }
            }
            Way::Quiet | Way::NoCookie | Way::Forged => {}
        }
        if matches!(way, Way::Cookie | Way::NoCookie) {
            letters::take_mac2(&mut letter);
        }
        letter
    }
}
