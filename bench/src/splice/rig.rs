//! The ways under measurement, and the rig that makes packets for them.

use std::ops::RangeInclusive;

use dataplane::port::Batch;
use dpdk::{Mbuf, Pool};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wire::ethernet;

use super::ends::Role;
use super::opening::Manner;
use super::servers::Splicing;
use crate::Failure;
use crate::among::Among;
use crate::service::server::End;
use crate::turns::{self, Landing, Setting, Whose};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// At an exit that was asked in the SYN, from the data centre to the origin.
    ExitOn,
    /// The other way.
    ExitBack,
    /// At an exit that was asked behind the SYN, whose numbers are shifted, from the data centre to the origin.
    ShiftedOn,
    /// The other way.
    ShiftedBack,
    /// At an ingress, from this machine to the data centre.
    IngressOn,
    /// The other way.
    IngressBack,
}

impl turns::Way for Way {
    const ALL: &'static [Self] = &[
        Self::Forward,
        Self::ExitOn,
        Self::ExitBack,
        Self::ShiftedOn,
        Self::ShiftedBack,
        Self::IngressOn,
        Self::IngressBack,
    ];
    const FORWARD: Self = Self::Forward;

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::ExitOn => "exit (M0), onward",
            Self::ExitBack => "exit (M0), back",
            Self::ShiftedOn => "exit (M2), onward",
            Self::ShiftedBack => "exit (M2), back",
            Self::IngressOn => "ingress, onward",
            Self::IngressBack => "ingress, back",
        }
    }

    fn ends(self) -> (End, End) {
        match self {
            Self::Forward => (End::Wire, End::Kernel),
            Self::ExitOn | Self::ExitBack | Self::ShiftedOn | Self::ShiftedBack => {
                (End::Wire, End::Wire)
            }
            Self::IngressOn => (End::Local, End::Wire),
            Self::IngressBack => (End::Wire, End::Local),
        }
    }
}

/// Servers with connections, and what feeds them.
pub(super) struct Rig {
    exit: Splicing,
    shifted: Splicing,
    ingress: Splicing,
    pool: Pool,
    random: ChaCha8Rng,
    size: usize,
}

/// What one client, which this machine is, can have: it has one address.
const INGRESS_FLOWS_MAX: u32 = 50_000;

impl Among for Rig {
    /// As many as there are origins and ports; an ingress has as many as one client can have.
    const FLOWS: RangeInclusive<u32> = 1..=1_500_000;

    fn start(setting: &Setting, (flows, size): (u32, usize)) -> Result<Self, Failure> {
        let start = |kind, flows| Splicing::start(setting, kind, (flows, size));
        Ok(Self {
            exit: start((Role::Exit, Manner::Borne), flows)?,
            shifted: start((Role::Exit, Manner::Plain), flows)?,
            ingress: start((Role::Ingress, Manner::Borne), flows.min(INGRESS_FLOWS_MAX))?,
            pool: setting.pool.clone(),
            random: ChaCha8Rng::seed_from_u64(5),
            size,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        [&self.exit, &self.shifted, &self.ingress].into_iter().try_for_each(Splicing::check)
    }
}

impl Rig {
    fn frame(&self, way: Way, number: u32, whose: Whose) -> Result<Vec<u8>, Failure> {
        match way {
            Way::ExitOn => self.exit.onward(number, whose),
            Way::Forward | Way::ExitBack => self.exit.back(number, whose),
            Way::ShiftedOn => self.shifted.onward(number, whose),
            Way::ShiftedBack => self.shifted.back(number, whose),
            Way::IngressOn => self.ingress.onward(number, whose),
            Way::IngressBack => self.ingress.back(number, whose),
        }
    }
}

impl turns::Rig for Rig {
    type Way = Way;

    /// Each packet is of a random connection.
    fn burst(&mut self, way: Way, whose: Whose, count: usize) -> Result<Batch<Mbuf>, Failure> {
        let mut packets = Batch::new();
        for _ in 0..count {
            let number = self.random.next_u32();
            packets.push(turns::filled(&self.pool, &self.frame(way, number, whose)?)?);
        }
        Ok(packets)
    }

    fn frame_len(&self, _: Way) -> usize {
        ethernet::HEADER_LEN + self.size
    }

    fn landing(&mut self, way: Way) -> &mut Landing {
        match way {
            Way::Forward | Way::ExitOn | Way::ExitBack => &mut self.exit.landing,
            Way::ShiftedOn | Way::ShiftedBack => &mut self.shifted.landing,
            Way::IngressOn | Way::IngressBack => &mut self.ingress.landing,
        }
    }
}
