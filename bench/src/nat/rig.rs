//! The ways under measurement, and the rig that makes packets for them.

use std::ops::RangeInclusive;

use dataplane::port::Batch;
use dpdk::{Mbuf, Pool};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wire::ethernet;

use super::servers::Translator;
use crate::Failure;
use crate::among::Among;
use crate::service::server::End;
use crate::turns::{self, Landing, Setting, Whose};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// From this machine to the Internet.
    Out,
    /// An answer to it.
    Back,
}

impl turns::Way for Way {
    const ALL: &'static [Self] = &[Self::Forward, Self::Out, Self::Back];
    const FORWARD: Self = Self::Forward;

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Out => "NAT44 out",
            Self::Back => "NAT44 back",
        }
    }

    fn ends(self) -> (End, End) {
        match self {
            Self::Forward => (End::Wire, End::Kernel),
            Self::Out => (End::Local, End::Wire),
            Self::Back => (End::Wire, End::Local),
        }
    }
}

/// A server with flows, and what feeds it.
pub(super) struct Rig {
    translator: Translator,
    pool: Pool,
    random: ChaCha8Rng,
}

impl Among for Rig {
    /// What one address has ports for, with as many remote addresses as a flow's number names.
    const FLOWS: RangeInclusive<u32> = 1..=4_000_000;

    fn start(setting: &Setting, shape: (u32, usize)) -> Result<Self, Failure> {
        let translator = Translator::start(setting, shape)?;
        Ok(Self { translator, pool: setting.pool.clone(), random: ChaCha8Rng::seed_from_u64(5) })
    }

    fn check(&self) -> Result<(), Failure> {
        self.translator.landing.check()?;
        let totals = self.translator.landing.server.totals();
        let flows = u64::from(self.translator.flows);
        if (totals.flows, totals.flows_opened) != (flows, flows) {
            return Err(format!("flows were lost:\n{totals}").into());
        }
        Ok(())
    }
}

impl turns::Rig for Rig {
    type Way = Way;

    /// Each packet is of a random flow.
    fn burst(&mut self, way: Way, whose: Whose, count: usize) -> Result<Batch<Mbuf>, Failure> {
        let mut packets = Batch::new();
        for _ in 0..count {
            let number = self.random.next_u32();
            let frame = match way {
                Way::Out => self.translator.outward(number),
                Way::Forward | Way::Back => self.translator.back(number, whose)?,
            };
            packets.push(turns::filled(&self.pool, &frame)?);
        }
        Ok(packets)
    }

    fn frame_len(&self, _: Way) -> usize {
        ethernet::HEADER_LEN + self.translator.size
    }

    fn landing(&mut self, _: Way) -> &mut Landing {
        &mut self.translator.landing
    }
}
