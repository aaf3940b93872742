//! How quick the generator is when a thread between its rings only moves packets from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dataplane::port::Batch;
use dpdk::lcore;
use dpdk::{Mbuf, mbuf};

use super::frames::Frames;
use super::generator::Run;
use super::trial::{Pair, mark};
use crate::Failure;
use crate::load::Size;
use crate::load::way::Way;
use crate::service::server::End;

/// A load that no generator reaches, and of how many seconds the frames are: it sends them as quickly as it can. In a short run
/// there are fewer.
const ANY_LOAD: f64 = 1e9;
const SECONDS: f64 = 1e-4;
const QUICK_SECONDS: f64 = 5e-6;
/// Runs, of which the middle one counts.
const RUNS: usize = 5;

impl Pair<'_> {
    /// Packets per second that it sends and takes back, with frames of these sizes.
    pub(crate) fn ceiling(&mut self, size: &Size, is_quick: bool) -> Result<f64, Failure> {
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            let seconds = if is_quick { QUICK_SECONDS } else { SECONDS };
            rates.push(self.unhindered(size, seconds)?);
        }
        Ok(crate::sample::median(&rates))
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    fn unhindered(&mut self, size: &Size, seconds: f64) -> Result<f64, Failure> {
        let mut lane = self.take_lane()?;
        let mark = mark(lane.server.now());
        let frames = Frames::make(&mut lane, (Way::Pass, size), (ANY_LOAD, seconds), mark)?;
        let (now, pool) = (lane.server.now(), lane.pool.clone());
        let (mut worker, mut rest) = lane.part();
        let (stop, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (Arc::clone(&stop), Arc::clone(&runs));
        let [_, core] = self.cores;
        let thread = lcore::spawn(self.eal, "mover", Some(core), move || {
            let wire = worker.queues_mut().wires.first_mut();
            let ends = wire.and_then(|wire| wire.queue.as_mut().zip(wire.kernel.as_mut()));
            flags.1.store(true, Ordering::Release);
            if let Some((from, to)) = ends {
                let mut packets = Batch::<Mbuf>::new();
                while !flags.0.load(Ordering::Acquire) {
                    from.receive(&mut packets);
                    to.transmit(&mut packets);
                    mbuf::free_bulk(&mut packets);
                }
            }
            worker
        })?;
        while !runs.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let start = self.clock.now_ns();
        let ends = (End::Wire, End::Kernel);
        let run = Run::new((&mut rest.outside, &pool), &frames, (ends, false), mark);
        let seen = run.go(self.clock);
        let taken = self.clock.now_ns() - start;
        stop.store(true, Ordering::Release);
        let worker = thread.join().map_err(|_| "the mover has panicked")?;
        let mut lane = rest.join(worker, now);
        lane.clear();
        self.give_back(lane);
        Ok(seen?.received as f64 / taken as f64 * 1e9)
    }
}
