//! The ways under measurement: each is fed one burst, timed over it, and emptied again.

use std::collections::HashMap;

use dataplane::port::Batch;
use dpdk::{Mbuf, Pool};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wire::{ethernet, gre, ipv4};

use super::frames::{self, Inside};
use super::servers;
use crate::Failure;
use crate::service::server::End;
use crate::turns::{self, Landing, Setting, Whose};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// To a tenant without rules, into GRE.
    Encap,
    /// From a tenant's router, out of GRE.
    Decap,
    /// To a tenant with rules, of which the last holds the packet, into GRE.
    TransitLast,
    /// The same with packets that any of the rules holds.
    TransitAny,
}

impl turns::Way for Way {
    const ALL: &'static [Self] =
        &[Self::Forward, Self::Encap, Self::Decap, Self::TransitLast, Self::TransitAny];
    const FORWARD: Self = Self::Forward;

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Encap => "GRE encap, no rules",
            Self::Decap => "GRE decap",
            Self::TransitLast => "transit, last rule",
            Self::TransitAny => "transit, any rule",
        }
    }

    fn ends(self) -> (End, End) {
        (End::Wire, End::Wire)
    }
}

/// Frames, and how many of them have gone.
type Made = (Vec<Vec<u8>>, usize);

/// A server whose tenant has no rules, and one whose tenant has some.
pub(super) struct Rig {
    open: Landing,
    ruled: Landing,
    rules: u32,
    /// Octets of the inner packets.
    pub(super) len: usize,
    pool: Pool,
    random: ChaCha8Rng,
    /// The frames of each kind with so many octets inside, and how many of them have gone.
    made: HashMap<(Inside, usize), Made>,
}

impl Rig {
    pub(super) fn new(setting: &Setting, rules: u32) -> Result<Self, Failure> {
        Ok(Self {
            open: Landing::start(setting, "open", || servers::keeper(0))?,
            ruled: Landing::start(setting, "ruled", || servers::keeper(rules))?,
            rules,
            len: 0,
            pool: setting.pool.clone(),
            random: ChaCha8Rng::seed_from_u64(5),
            made: HashMap::new(),
        })
    }

    /// Figures of a run that allocated, lost or dropped something are of no use.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.open.check()?;
        self.ruled.check()
    }
}

impl turns::Rig for Rig {
    type Way = Way;

    fn burst(&mut self, way: Way, _: Whose, count: usize) -> Result<Batch<Mbuf>, Failure> {
        let inside = match way {
            Way::Forward | Way::Encap | Way::TransitLast => Inside::Last(self.rules),
            Way::TransitAny => Inside::Any(self.rules),
            Way::Decap => Inside::Reply,
        };
        let (random, pool, len) = (&mut self.random, &self.pool, self.len);
        let new = || (frames::made(inside, len, random), 0);
        let (frames, gone) = self.made.entry((inside, len)).or_insert_with(new);
        let next = frames.iter().cycle().skip(*gone % frames::FRAMES);
        *gone += count;
        next.take(count).map(|frame| turns::filled(pool, frame)).collect()
    }

    fn frame_len(&self, way: Way) -> usize {
        let gre = match way {
            Way::Encap | Way::TransitLast | Way::TransitAny => ipv4::HEADER_LEN + gre::HEADER_LEN,
            Way::Forward | Way::Decap => 0,
        };
        ethernet::HEADER_LEN + gre + self.len
    }

    fn landing(&mut self, way: Way) -> &mut Landing {
        match way {
            Way::Forward | Way::Encap | Way::Decap => &mut self.open,
            Way::TransitLast | Way::TransitAny => &mut self.ruled,
        }
    }
}
