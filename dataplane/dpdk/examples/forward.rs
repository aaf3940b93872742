//! Forwards between two virtual devices on one core and prints the rate: what the safe layer itself
//! costs.
//!
//! `forward [net_null|net_ring] [ordinary|hugepages] [seconds]`; needs root. Rates add both
//! directions. With `net_ring` the packets circle between a pair of connected ports, each hop being
//! one receive and one transmit.

use std::error::Error;
use std::io::Write;

use arrayvec::ArrayVec;
use dpdk::clock::{self, Clock};
use dpdk::eal::{Eal, Memory, Options};
use dpdk::port::Settings;
use dpdk::{Pool, Port, Queue, vdev};

const BURST: usize = 32;
/// Bursts between two looks at the clock.
const ROUNDS: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = arguments.first().map_or("net_null", String::as_str);
    let memory = match arguments.get(1).map(String::as_str) {
        Some("hugepages") => Memory::Hugepages { megabytes: None },
        _ => Memory::Ordinary { megabytes: 256 },
    };
    let seconds: u64 = arguments.get(2).map_or(Ok(5), |text| text.parse())?;
    let eal = Eal::start(&Options { memory, main_core: Some(0), ..Options::default() })?;
    let pool = Pool::new(&eal, "forward", 16_383, 2048)?;
    let (a, b) = ports(&eal, device, &pool)?;
    let queues = a.take_queue(0).zip(b.take_queue(0));
    let (mut a_queue, mut b_queue) = queues.ok_or("a port has no queue")?;
    if device == "net_ring" {
        let mut packets = ArrayVec::<_, 512>::new();
        pool.allocate_bulk(&mut packets, 512);
        a_queue.transmit(&mut packets);
    }
    let mut rates = measure(&mut a_queue, &mut b_queue, seconds);
    rates.sort_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    let best = rates.last().copied().unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "{device}: median {median:.1} Mpps, best {best:.1} Mpps, {} chunks",
        rates.len()
    )?;
    Ok(())
}

fn ports(eal: &Eal, device: &str, pool: &Pool) -> Result<(Port, Port), dpdk::Error> {
    if device == "net_ring" {
        return vdev::ring_pair(eal, "forward", 1, 1024, pool);
    }
    let open =
        |index: u32| Port::open(eal, &format!("{device}{index}"), &Settings::default(), &[pool]);
    Ok((open(0)?, open(1)?))
}

/// Mpps of each chunk of about 50 ms.
fn measure(a: &mut Queue, b: &mut Queue, seconds: u64) -> Vec<f64> {
    let clock = Clock::calibrate();
    let end = clock.now_ns() + seconds * 1_000_000_000;
    let mut rates = Vec::new();
    let mut burst = ArrayVec::<_, BURST>::new();
    while clock.now_ns() < end {
        let (start, mut packets) = (clock::cycles(), 0_u32);
        for _ in 0..ROUNDS {
            packets += forward(a, b, &mut burst) + forward(b, a, &mut burst);
        }
        let cycles = clock::cycles() - start;
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
        rates.push(f64::from(packets) * clock.hz() as f64 / cycles as f64 / 1e6);
    }
    rates
}

fn forward(from: &mut Queue, to: &mut Queue, burst: &mut ArrayVec<dpdk::Mbuf, BURST>) -> u32 {
    from.receive(burst);
    let sent = to.transmit(burst);
    dpdk::mbuf::free_bulk(burst);
    u32::try_from(sent).unwrap_or(0)
}
