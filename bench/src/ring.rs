//! The commands ring between two threads that map it from both sides, and transactions through it on one.

mod report;

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::yield_now;

use clap::Args;
use core_affinity::{CoreId, set_for_current};
use dpdk::clock::{Clock, cycles};
use results::Record;
use serde::Serialize;
use shm::attach::Sizes;
use shm::limits::ITEMS_MAX;
use shm::mapping::Mapping;
use shm::message::{COMMAND_WORDS, Item, Scope};
use shm::ring::{Consumer, Corrupt, Producer};
use shm::transaction::{Reader, Received, WriteError, Writer};
use shm::{Control, Dataplane, Place};

use crate::machine::{Conditions, Machine, Weather};
use crate::{Failure, pin};

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Runs of 131,072 messages, each way of passing them.
    #[arg(long, default_value_t = 40)]
    runs: usize,
    /// The reader's core.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The writer's core; another one, as it comes.
    #[arg(long)]
    second_core: Option<usize>,
    /// Few runs, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

type Sides = (Producer<Arc<Mapping>, COMMAND_WORDS>, Consumer<Arc<Mapping>, COMMAND_WORDS>);

/// Messages that are put in and taken out at a time.
const BATCH: usize = 32;
/// Messages of a run.
const MESSAGES: usize = 1 << 17;
/// Routes of a snapshot: about the Internet's.
const ROUTES: u32 = 1_100_000;
const ROUTES_QUICK: u32 = 10_000;
/// Snapshots.
const SNAPSHOTS: u64 = 5;
/// A cache line there and back so often, in so many runs.
const TRIPS: u64 = 5_000;
const TRIP_RUNS: usize = 20;

/// Everything that was measured.
#[derive(Debug, Default)]
struct Figures {
    /// Nanoseconds of a cache line there and back, run by run, before and after.
    trips: [Vec<f64>; 2],
    /// Millions of messages a second, run by run.
    single: Vec<f64>,
    batches: Vec<f64>,
    alone: Vec<f64>,
    /// Milliseconds of a snapshot of so many routes.
    snapshots: Vec<f64>,
    routes: u32,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.runs = plan.runs.min(3);
        }
        if plan.runs == 0 {
            return Err("--runs takes 1 and more".into());
        }
        let second = plan.second_core.or_else(|| crate::all::second_core(plan.core));
        let is_here = |core| {
            core_affinity::get_core_ids().unwrap_or_default().iter().any(|own| own.id == core)
        };
        match second {
            Some(second) if second != plan.core && is_here(second) => {
                plan.second_core = Some(second);
            }
            _ => return Err("--second-core: the writer needs a core beside the reader's, on which this process may run".into()),
        }
        Ok(plan)
    }
}

/// The two threads' places, and the clock.
struct Bench {
    clock: Clock,
    second: usize,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let place = Place::of(&format!("ring-{}", std::process::id()))?;
    let dataplane = Dataplane::create(&place, Sizes::default(), 1)?;
    let control = Control::attach(&place)?;
    let sides = (control.commands, dataplane.commands);
    let bench = Bench { clock, second: plan.second_core.unwrap_or_default() };
    let figures = bench.measure(&plan, sides);
    drop(dataplane.owner);
    drop(control.attachment);
    std::fs::remove_dir_all(place.path())?;
    let conditions = Conditions::new(machine, (before, Weather::observe()));
    Ok(report::record(&plan, conditions, figures?))
}

impl Bench {
    fn measure(&self, plan: &Plan, mut sides: Sides) -> Result<Figures, Failure> {
        let mut figures = Figures {
            routes: if plan.quick { ROUTES_QUICK } else { ROUTES },
            ..Figures::default()
        };
        let [trips, again] = &mut figures.trips;
        trips.extend((0..TRIP_RUNS).map(|_| self.round_trip()));
        // In turn, so that what disturbs one disturbs the others.
        for _ in 0..plan.runs {
            figures.single.push(self.threads(&mut sides, 1)?);
            figures.batches.push(self.threads(&mut sides, BATCH)?);
            figures.alone.push(self.alternate(&mut sides)?);
        }
        again.extend((0..TRIP_RUNS).map(|_| self.round_trip()));
        figures.snapshots = self.snapshots(sides, figures.routes)?;
        Ok(figures)
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn seconds(&self, since: u64) -> f64 {
        (cycles() - since) as f64 / self.clock.hz() as f64
    }

    /// Runs this on the other core, and the rest here meanwhile.
    fn beside<T>(&self, there: impl FnOnce() + Send, here: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The thread has come with this one's core only, so the list of its cores would not name the other.
                set_for_current(CoreId { id: self.second });
                there();
            });
            here()
        })
    }

    /// Nanoseconds for a word to the other core and back.
    #[expect(clippy::cast_precision_loss, reason = "a count of trips")]
    fn round_trip(&self) -> f64 {
        let word = AtomicU64::new(0);
        let wait = |value| {
            while word.load(Ordering::Acquire) != value {
                spin_loop();
            }
        };
        let there = || {
            for trip in 0..=TRIPS {
                wait(2 * trip + 1);
                word.store(2 * trip + 2, Ordering::Release);
            }
        };
        let trip = |number| {
            word.store(2 * number + 1, Ordering::Release);
            wait(2 * number + 2);
        };
        self.beside(there, || {
            // The other thread is there after the first.
            trip(0);
            let start = cycles();
            (1..=TRIPS).for_each(trip);
            self.seconds(start) * 1e9 / TRIPS as f64
        })
    }

    /// Millions of messages a second from one thread to the other. A side that has to wait gives its core away, as the keeper does.
    fn threads(&self, (producer, consumer): &mut Sides, batch: usize) -> Result<f64, Corrupt> {
        let messages = vec![[7; COMMAND_WORDS]; batch];
        let there = || {
            let mut sent = 0;
            while sent < MESSAGES {
                match producer.push_batch(&messages) {
                    Ok(0) => yield_now(),
                    Ok(count) => sent += count,
                    Err(_) => return,
                }
            }
        };
        self.beside(there, || {
            let (mut received, mut start) = (0, 0);
            while received < MESSAGES {
                match consumer.take(batch, |taken| _ = black_box(taken.message))? {
                    0 => yield_now(),
                    count => {
                        if received == 0 {
                            start = cycles();
                        }
                        received += count;
                    }
                }
            }
            Ok(per_second(MESSAGES, self.seconds(start)))
        })
    }

    /// Millions of messages a second when one thread writes and reads in turn.
    fn alternate(&self, (producer, consumer): &mut Sides) -> Result<f64, Corrupt> {
        let messages = [[7; COMMAND_WORDS]; BATCH];
        let start = cycles();
        for _ in 0..MESSAGES / BATCH {
            producer.push_batch(&messages)?;
            consumer.take(BATCH, |taken| _ = black_box(taken.message))?;
        }
        Ok(per_second(MESSAGES, self.seconds(start)))
    }

    /// Milliseconds for a whole table of routes through writer, ring and reader.
    fn snapshots(&self, (producer, consumer): Sides, routes: u32) -> Result<Vec<f64>, Failure> {
        let (mut writer, mut reader) = (Writer::new(producer), Reader::new(consumer, ITEMS_MAX));
        // What the runs before have left is no transaction.
        while reader.poll(usize::MAX).is_some() {}
        let mut all = Vec::new();
        for id in 0..SNAPSHOTS {
            let start = cycles();
            writer.begin(id, Scope::Snapshot)?;
            for number in 0..routes {
                let prefix = ipnet::Ipv4Net::new((number << 8).into(), 24)?.into();
                let item = Item::Route { prefix, next_hop: number & 0xff };
                while writer.item(&item) == Err(WriteError::Full) {
                    if reader.poll(usize::MAX).is_some() {
                        return Err("a transaction was complete before its end".into());
                    }
                }
            }
            while writer.commit() == Err(WriteError::Full) {
                drop(reader.poll(usize::MAX));
            }
            let received = reader.poll(usize::MAX);
            all.push(self.seconds(start) * 1e3);
            let is_whole = matches!(&received, Some(Received::Transaction(whole)) if whole.items.len() == routes as usize);
            if !is_whole {
                return Err(format!("a snapshot of {routes} routes did not arrive whole").into());
            }
        }
        Ok(all)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of messages")]
fn per_second(messages: usize, seconds: f64) -> f64 {
    messages as f64 / seconds.max(f64::MIN_POSITIVE) / 1e6
}
