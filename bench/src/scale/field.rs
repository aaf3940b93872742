//! A server that has much of something, and packets that meet it at random.

use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::{Mbuf, Pool, mbuf};

use crate::Failure;
use crate::sample::per_packet;
use crate::service::server::{End, Rings, Server};
use crate::turns::{BURSTS, Timing, check_calls, round, until};

/// A way that packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Of a random peer, opened for this machine.
    Open,
    /// Of this machine, sealed for a random peer.
    Seal,
    /// Of a tenant in GRE to a random place of the Internet.
    Decap,
    /// Of a random flow, translated, to the Internet.
    Out,
    /// Its answer.
    Back,
    /// To a random tenant, into GRE.
    Encap,
    /// To a tenant, by a random one of its rules, into GRE.
    Transit,
}

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open, random peer",
            Self::Seal => "seal, random peer",
            Self::Decap => "GRE decap, random destination",
            Self::Out => "NAT44 out, random flow",
            Self::Back => "NAT44 back, random flow",
            Self::Encap => "GRE encap, random tenant",
            Self::Transit => "GRE encap, random rule",
        }
    }

    const fn ends(self) -> (End, End) {
        match self {
            Self::Open | Self::Back => (End::Wire, End::Local),
            Self::Seal | Self::Out => (End::Local, End::Wire),
            Self::Decap | Self::Encap | Self::Transit => (End::Wire, End::Wire),
        }
    }
}

/// Where packets come from.
pub(super) trait Source {
    /// Makes `packet` the next one of a way.
    fn next(&mut self, way: Way, packet: &mut Mbuf) -> Result<(), Failure>;
}

/// A server and what is sent to it.
pub(super) struct Field {
    pub(super) server: Server,
    pub(super) source: Box<dyn Source>,
    /// What the server holds with its keeper and its handshake thread.
    pub(super) octets: usize,
}

/// Cycles of a packet in each block: of plain forwarding, and of each way.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(super) forward: Vec<f64>,
    pub(super) ways: Vec<(Way, Vec<f64>)>,
}

impl Field {
    pub(super) fn dismantle(self) -> Rings {
        self.server.dismantle()
    }

    /// All ways, block by block in turn with plain forwarding.
    pub(super) fn measure(
        &mut self,
        ways: &[Way],
        timing: &Timing,
        least: u64,
    ) -> Result<Blocks, Failure> {
        let mut blocks = Blocks {
            forward: Vec::new(),
            ways: ways.iter().map(|way| (*way, Vec::new())).collect(),
        };
        let (warm_up, count) = timing.rounds();
        let first = *ways.first().ok_or("there is no way")?;
        for block in 0..count {
            // The first round, which finds the caches as another way has left them, does not count.
            self.forwarded(first)?;
            let forward = cycles(until(least, || self.forwarded(first))?);
            if block >= warm_up {
                blocks.forward.push(forward);
            }
            for (way, kept) in &mut blocks.ways {
                self.turned(*way)?;
                let turned = cycles(until(least, || self.turned(*way))?);
                if block >= warm_up {
                    kept.push(turned);
                }
            }
        }
        self.check()?;
        Ok(blocks)
    }

    /// Figures of a run that allocated, lost or dropped something are of no use.
    fn check(&self) -> Result<(), Failure> {
        self.server.check()?;
        check_calls(self.server.allocations)
    }

    fn burst(&mut self, way: Way) -> Result<Batch<Mbuf>, Failure> {
        let pool: &Pool = &self.server.pool;
        let mut packets = Batch::new();
        for _ in 0..BURST_LEN_MAX {
            let mut packet = pool.allocate().ok_or("the pool is empty")?;
            self.source.next(way, &mut packet)?;
            packets.push(packet);
        }
        Ok(packets)
    }

    /// Cycles of whole turns with a round of bursts, and how many bursts.
    fn turned(&mut self, way: Way) -> Result<(u64, u64), Failure> {
        let mut bursts = round(|| self.burst(way))?;
        let mut taken = 0;
        for packets in &mut bursts {
            taken += self.server.carry(packets, way.ends());
            if packets.len() != BURST_LEN_MAX {
                let (name, came, totals) = (way.name(), packets.len(), self.server.totals());
                return Err(format!("{name}: {came} packets of a burst came\n{totals}").into());
            }
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok((taken, BURSTS as u64))
    }

    /// The same of plain forwarding.
    fn forwarded(&mut self, like: Way) -> Result<(u64, u64), Failure> {
        let mut bursts = round(|| self.burst(like))?;
        let mut taken = 0;
        for packets in &mut bursts {
            taken += self.server.forward(packets)?;
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok((taken, BURSTS as u64))
    }
}

fn cycles((taken, bursts): (u64, u64)) -> f64 {
    per_packet(taken, bursts * BURST_LEN_MAX as u64)
}
