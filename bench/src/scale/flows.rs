//! Translated flows of this machine's to the Internet, as `nat` has them.

use dataplane::port::Batch;
use dpdk::{Mbuf, mbuf};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::LEN;
use super::field::{Field, Source, Way};
use super::routes::fill;
use crate::nat::servers::{Flow, PORTS, keeper, port_outside};
use crate::service::server::{End, Rings, Server};
use crate::{Failure, allocator};

/// A server with so many flows.
pub(super) fn field(rings: Rings, count: u32) -> Result<Field, Failure> {
    let before = allocator::octets();
    let mut keeper = keeper(count)?;
    let state = keeper.state(0);
    let mut server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before;
    let mut mapped = Vec::new();
    for number in 0..count {
        let port = open(&mut server, number)?;
        if number < PORTS {
            mapped.push(port);
        }
    }
    let opened = server.totals().flows_opened;
    if opened != u64::from(count) {
        return Err(format!("{opened} flows are open, and not {count}").into());
    }
    // What opening has called the allocator for, while no packet was timed.
    server.allocations = 0;
    let source = Box::new(Flows { mapped, count, random: ChaCha8Rng::seed_from_u64(5) });
    Ok(Field { server, source, octets })
}

/// Sends the first packet of a flow; gives the port outside.
fn open(server: &mut Server, number: u32) -> Result<u16, Failure> {
    let mut packet = server.pool.allocate().ok_or("the pool is empty")?;
    fill(&mut packet, &Flow::of(number).outward(LEN))?;
    let mut packets = Batch::new();
    packets.push(packet);
    server.carry(&mut packets, (End::Local, End::Wire));
    let sent = packets.first().ok_or("a flow was not opened")?;
    let port = port_outside(sent).ok_or("no datagram has left")?;
    mbuf::free_bulk(&mut packets);
    Ok(port)
}

struct Flows {
    /// The port outside of each port inside.
    mapped: Vec<u16>,
    count: u32,
    random: ChaCha8Rng,
}

impl Source for Flows {
    fn next(&mut self, way: Way, packet: &mut Mbuf) -> Result<(), Failure> {
        let number = self.random.next_u32() % self.count;
        let flow = Flow::of(number);
        if way == Way::Out {
            return fill(packet, &flow.outward(LEN));
        }
        let port = self.mapped.get((number % PORTS) as usize).ok_or("a flow has no port")?;
        fill(packet, &flow.back(*port, LEN))
    }
}
