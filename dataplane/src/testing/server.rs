//! A whole server in memory: workers, handshake threads and links, run turn by turn at a given time.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test's world stops at its first broken assumption"
)]

use std::sync::Arc;
use std::time::Duration;

use shm::message::Item;
use wireguard::time::Instant;

use super::control::{Private, Regions};
use super::memory::{Buffer, Buffers, End, Memory};
use super::{START, roll, site, unix};
use crate::config::Config;
use crate::counters::{Counters, Totals};
use crate::exchange::Exchange;
use crate::handshake::Handshaker;
use crate::keeper::{Border, Keeper, Start};
use crate::limits::HAND_OVER_LEN;
use crate::site::Site;
use crate::worker::{Queues, Wire, Worker};

/// A queue of the server, as the world outside sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A port's queue of one worker.
    Wire {
        /// The port.
        port: usize,
        /// The worker.
        worker: usize,
    },
    /// The kernel's face of a port, one worker's queue.
    Kernel {
        /// The port.
        port: usize,
        /// The worker.
        worker: usize,
    },
    /// The kernel's interface for inner packets, one worker's queue.
    Local {
        /// The worker.
        worker: usize,
    },
}

/// The first port's queue of the first worker.
pub const WIRE: Place = Place::Wire { port: 0, worker: 0 };
/// The kernel's face of it.
pub const PORT_KERNEL: Place = Place::Kernel { port: 0, worker: 0 };
/// The first worker's queue of the interface for inner packets.
pub const LOCAL: Place = Place::Local { worker: 0 };

/// What a server in memory is like beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seed of all its randomness.
    pub seed: u64,
    /// When it starts.
    pub now: Instant,
    /// Queues of each port; workers beyond them relay.
    pub queues: usize,
    /// Packets that each queue to and from the world holds.
    pub queue_len: usize,
    /// Whether the interface for inner packets exists.
    pub local: bool,
    /// What each job takes a handshake thread.
    pub job_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            now: START,
            queues: usize::MAX,
            queue_len: 4096,
            local: true,
            job_time: Duration::ZERO,
        }
    }
}

/// The server and the far ends of all its queues.
#[derive(Debug)]
pub struct Server {
    /// The keeper of all tables.
    pub keeper: Keeper,
    /// Its border to a control, once [`Self::open_border`] has made one.
    pub border: Option<Border<Private>>,
    /// The workers, by number.
    pub workers: Vec<Worker<Memory>>,
    /// The handshake threads, by number.
    pub handshakers: Vec<Handshaker>,
    /// Until when each of them is busy with its last job, and what each job takes.
    busy: (Vec<Instant>, Duration),
    /// The rings between them.
    pub exchange: Arc<Exchange>,
    /// Buffers of the frames that come from outside, as a device would take them.
    pub outside: Buffers,
    /// The workers' own pools.
    pub pools: Vec<Buffers>,
    /// Session slots of each worker.
    pub slots: usize,
    counters: Vec<Arc<Counters>>,
    ends: Vec<(Place, End)>,
}

/// Jobs that a handshake thread does in one turn; as many as the real one does.
const JOBS_PER_TURN: usize = 16;

/// Turns after which a server that does not come to rest never will.
const TURNS_MAX: usize = 10_000;

impl Server {
    /// A server with the configuration `text`, started at [`START`].
    pub fn new(text: &str, seed: u64) -> Self {
        Self::with(text, Options { seed, ..Options::default() })
    }

    /// A server with the configuration and peers of `text`, see [`roll`]. Panics where a real one would not start.
    pub fn with(text: &str, options: Options) -> Self {
        let mut seed = [0; 32];
        if let Some(place) = seed.first_chunk_mut() {
            *place = options.seed.to_le_bytes();
        }
        let start = Start { seed, now: options.now, unix: unix(options.now) };
        let site = |config: &Config| {
            let links: Vec<_> = (0..).take(config.ports.len()).map(site::port_link).collect();
            Site::new(config, &links, options.local.then_some(site::KERNEL))
        };
        let (config, mut keeper) = roll::keeper(text, site, start);
        let mut links = Links::new(&config, options);
        let exchange = keeper.exchange();
        let counters = keeper.counters().to_vec();
        let slots = keeper.slots() as usize;
        let pools = links.queues.iter().map(|queues| queues.pool.clone()).collect();
        let handshakers =
            (0..config.handshake_threads).map(|thread| keeper.handshaker(thread)).collect();
        let busy = (vec![options.now; config.handshake_threads], options.job_time);
        let workers = std::mem::take(&mut links.queues)
            .into_iter()
            .enumerate()
            .map(|(number, queues)| {
                let seed = keeper.seed();
                Worker::new(keeper.state(number), queues, Arc::clone(&exchange), seed)
            })
            .collect();
        let outside = Buffers::new(16 * options.queue_len);
        let ends = links.ends;
        Self {
            keeper,
            border: None,
            workers,
            handshakers,
            busy,
            exchange,
            outside,
            pools,
            slots,
            counters,
            ends,
        }
    }

    /// The far end of a queue. Panics when there is none.
    pub fn end(&self, place: Place) -> &End {
        let found = self.ends.iter().find(|(other, _)| *other == place);
        found.map(|(_, end)| end).expect("the server has this queue")
    }

    /// Whether there is such a queue.
    pub fn has(&self, place: Place) -> bool {
        self.ends.iter().any(|(other, _)| *other == place)
    }

    /// Lays a frame into a queue. Panics when it does not fit: a test sees to it that the world outside
    /// loses nothing.
    pub fn put(&self, place: Place, octets: &[u8]) {
        self.put_as(place, octets, |_| ());
    }

    /// As [`Self::put`], with what the device says about the frame.
    pub fn put_as(&self, place: Place, octets: &[u8], mark: impl FnOnce(&mut Buffer)) {
        let mut packet = self.outside.packet(octets).expect("there is a buffer outside");
        mark(&mut packet);
        self.end(place).put(packet).expect("the queue has room");
    }

    /// Takes everything that has left, queue by queue.
    pub fn take(&self) -> Vec<(Place, Vec<u8>)> {
        let mut taken = Vec::new();
        for (place, end) in &self.ends {
            while let Some(packet) = end.take() {
                taken.push((*place, packet.data().to_vec()));
            }
        }
        taken
    }

    /// The keeper's turn, every worker's, then every handshake thread's; gives how much was done.
    pub fn turn(&mut self, now: Instant) -> usize {
        match &mut self.border {
            Some(border) => _ = border.turn(&mut self.keeper, now),
            None => _ = self.keeper.turn(),
        }
        let moved: usize = self.workers.iter_mut().map(|worker| worker.turn(now)).sum();
        moved + self.handshake(now)
    }

    /// The turns of the handshake threads: one, or as many as there was time for when jobs take time.
    fn handshake(&mut self, now: Instant) -> usize {
        let (busy, job_time) = &mut self.busy;
        if job_time.is_zero() {
            let threads = self.handshakers.iter_mut();
            return threads.map(|thread| thread.turn(now, JOBS_PER_TURN)).sum();
        }
        let mut done = 0;
        for (thread, busy) in self.handshakers.iter_mut().zip(busy) {
            // What has come since the last look may have come right after it.
            while *busy <= now && thread.turn(*busy, 1) == 1 {
                done += 1;
                *busy = *busy + *job_time;
                thread.spend(*job_time, *busy);
            }
            *busy = now.max(*busy);
        }
        done
    }

    /// Makes the border to a control; gives the memory that one attaches to.
    pub fn open_border(&mut self) -> Regions {
        let (regions, border) = Regions::new(self.workers.len(), self.handshakers.len());
        self.border = Some(border);
        regions
    }

    /// Changes what control has told, and waits until everybody has taken it. Panics when it is refused.
    pub fn change(&mut self, items: Vec<Item>, now: Instant) {
        let begun = self.keeper.begin(roll::delta(items), now);
        begun.unwrap_or_else(|refused| panic!("{refused:?}"));
        self.settle(now);
    }

    /// Turns until nothing moves any more, so that no ring holds anything.
    pub fn settle(&mut self, now: Instant) {
        for _ in 0..TURNS_MAX {
            if self.turn(now) == 0 && self.keeper.is_idle() {
                return;
            }
        }
        panic!("the server does not come to rest at {now:?}");
    }

    /// Ends all threads as a real server does, workers first.
    pub fn close(&mut self) {
        self.workers.iter_mut().for_each(Worker::close);
        self.handshakers.iter_mut().for_each(Handshaker::close);
    }

    /// The counters of all threads, added up.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }

    /// Buffers that are neither home nor waiting in a queue to the world: what the server itself has.
    pub fn buffers_held(&self) -> usize {
        let in_use: usize = self.pools.iter().map(Buffers::in_use).sum();
        let waiting: usize = self.ends.iter().map(|(_, end)| end.waiting()).sum();
        (in_use + self.outside.in_use()).saturating_sub(waiting)
    }

    /// Session slots that are free, and sessions that live, over all workers.
    pub fn slots_free_and_live(&self) -> (usize, usize) {
        let free = (0..self.workers.len()).map(|worker| self.exchange.slots_free(worker)).sum();
        let live = self.workers.iter().map(|worker| worker.state().sessions.live()).sum();
        (free, live)
    }
}

/// The queues of all workers and their far ends.
struct Links {
    queues: Vec<Queues<Memory>>,
    ends: Vec<(Place, End)>,
}

impl Links {
    fn new(config: &Config, options: Options) -> Self {
        let workers = config.workers.len();
        let mut links = Self { queues: Vec::new(), ends: Vec::new() };
        for worker in 0..workers {
            let queues = links.of(worker, config, options);
            links.queues.push(queues);
        }
        links.rings(workers);
        links
    }

    fn of(&mut self, worker: usize, config: &Config, options: Options) -> Queues<Memory> {
        let width = options.queues.min(config.workers.len());
        let mut open = |place| {
            let (near, far) = End::pair(options.queue_len);
            self.ends.push((place, far));
            near
        };
        let wires = config.ports.iter().enumerate().map(|(port, of)| Wire {
            queue: (worker < width).then(|| open(Place::Wire { port, worker })),
            relay: worker % width,
            kernel: of.kernel.as_ref().map(|_| open(Place::Kernel { port, worker })),
        });
        let wires = wires.collect();
        let local =
            (options.local && config.local.is_some()).then(|| open(Place::Local { worker }));
        let pool = Buffers::new(config.memory.buffers as usize);
        Queues { wires, local, inbound: Vec::new(), outbound: Vec::new(), pool }
    }

    fn rings(&mut self, workers: usize) {
        for from in 0..workers {
            for to in 0..workers {
                let (near, far) = End::pair(HAND_OVER_LEN as usize);
                let is_other = from != to;
                if let Some(queues) = self.queues.get_mut(from) {
                    queues.outbound.push(is_other.then_some(near));
                }
                if let Some(queues) = self.queues.get_mut(to).filter(|_| is_other) {
                    queues.inbound.push(far);
                }
            }
        }
    }
}
