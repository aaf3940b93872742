//! How quick the generator is when a thread between its rings only moves packets from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dataplane::port::Batch;
use dpdk::lcore;
use dpdk::{Mbuf, mbuf};

use super::frames::Frames;
use super::over::Asked;
use super::trial::{Pair, mark};
use crate::Failure;
use crate::load::Size;
use crate::load::way::Way;
use crate::service::server::End;

/// A load that no generator reaches, and of how many seconds the frames are: it sends them as quickly as it can. In a short run
/// there are fewer.
pub(super) const ANY_LOAD: f64 = 1e9;
const SECONDS: f64 = 1e-4;
const QUICK_SECONDS: f64 = 5e-6;
/// Runs, of which the middle one counts.
const RUNS: usize = 5;
const RUNS_MAX: usize = 25;

/// For how long frames of any load are made.
pub(super) const fn seconds(is_quick: bool) -> f64 {
    if is_quick { QUICK_SECONDS } else { SECONDS }
}

/// The middle one of some runs; 0 where nothing has come back in any. One in which nothing came, as a core was lost, does not count.
pub(super) fn middle(mut run: impl FnMut() -> Result<f64, Failure>) -> Result<f64, Failure> {
    let mut rates = Vec::new();
    for _ in 0..RUNS_MAX {
        let rate = run()?;
        if rate > 0.0 {
            rates.push(rate);
        }
        if rates.len() == RUNS {
            break;
        }
    }
    Ok(crate::sample::median(&rates))
}

impl Pair<'_> {
    /// Packets per second that it sends and takes back, with frames of these sizes.
    pub(crate) fn ceiling(&mut self, size: &Size, is_quick: bool) -> Result<f64, Failure> {
        middle(|| self.unhindered(size, seconds(is_quick)))
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    fn unhindered(&mut self, size: &Size, seconds: f64) -> Result<f64, Failure> {
        let mut lane = self.take_lane()?;
        let mark = mark(lane.server.now());
        let frames = Frames::make(&mut lane, (Way::Pass, size), (ANY_LOAD, seconds), mark)?;
        let asked = Asked { frames: &frames, way: (End::Wire, End::Kernel), reads: false, mark };
        self.attach(&mut lane, &asked)?;
        let now = lane.server.now();
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
                loop {
                    let is_over = flags.0.load(Ordering::Acquire);
                    // What a generator that gave up has left would be in the way of the next trial.
                    if from.receive(&mut packets) == 0 && is_over {
                        break;
                    }
                    to.transmit(&mut packets);
                    mbuf::free_bulk(&mut packets);
                }
            }
            worker
        })?;
        while !runs.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let seen = self.generate(&mut rest, &asked);
        stop.store(true, Ordering::Release);
        let worker = thread.join().map_err(|_| "the mover has panicked")?;
        let mut lane = rest.join(worker, now);
        self.detach(&mut lane)?;
        self.give_back(lane);
        let seen = seen?;
        Ok(seen.received as f64 / seen.taken as f64 * 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_a_packet_do_not_count() {
        let mut rates = [f64::NAN, 3.0, 0.0, 1.0, 2.0, 5.0, 4.0].into_iter();
        let found = middle(|| Ok(rates.next().unwrap_or(0.0))).unwrap();
        assert!((found - 3.0).abs() < 1e-9, "{found}");
        assert!(middle(|| Ok(0.0)).unwrap() <= 0.0);
    }
}
