//! millrace-dataplane: reads its configuration, opens the devices, runs one worker per core, the handshake
//! threads and the keeper until it is told to stop.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the clock and the idle policy are the binary's")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use dataplane::config::{Config, Idle};
use dataplane::counters::{Counters, Totals};
use dataplane::device::{self, Devices, Dpdk};
use dataplane::handshake::Handshaker;
use dataplane::keeper::{Border, Keeper, Start};
use dataplane::large_pages;
use dataplane::limits::{IDLE_SLEEP, IDLE_TURNS, KEEPER_HASTE, KEEPER_REST, STANDING_INTERVAL};
use dataplane::site::Site;
use dataplane::wall::WallClock;
use dataplane::worker::Worker;
use dpdk::clock::Clock;
use dpdk::{Eal, lcore};
use shm::mapping::Mapping;
use shm::region::Standing;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use wireguard::aead::Implementation;
use wireguard::time::Instant;

/// millrace's dataplane: WireGuard for many clients, on DPDK.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and end; prints what is wrong, where, and the remedy.
    #[arg(long)]
    check: bool,
    /// Let DPDK log to standard error.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    if let Err(error) = large_pages::ask() {
        log::warn!("tables lie in small pages, as the program could not be begun anew: {error}");
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn run(options: &Options) -> Result<(), Failure> {
    let config = Config::read(&options.config)?;
    if let Some(refused) = Implementation::refused() {
        return Err(refused.into());
    }
    if options.check {
        // The tables are built as well: addresses that do not fit them show here.
        let links = vec![[0; 6]; config.ports.len()];
        Keeper::new(&config, Site::new(&config, &links, Some([0; 6])), start_now(Instant::ZERO)?)?;
        say(&format!("{}: ok", options.config.display()));
        return Ok(());
    }
    // Before any thread is made, so that none misses them.
    let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let eal = device::start(&config, options.verbose)?;
    let devices = Devices::open(&eal, &config)?;
    let clock = Arc::new(Clock::calibrate());
    let start = start_now(Instant(clock.now_ns()))?;
    let mut keeper = Keeper::new(&config, devices.site(&config), start)?;
    let border = Shared::open(&config, start)?;
    let counters = keeper.counters().to_vec();
    let mut server = Server::start(&eal, &config, &devices, &mut keeper, &clock)?;
    server.keep(keeper, border, &eal, &clock)?;
    let (workers, aead, instance) =
        (config.workers.len(), Implementation::chosen(), &config.instance);
    log::info!("forwarding with {workers} workers, AEAD {aead}; control attaches to {instance}");
    say("ready");
    attend(signals, &devices, &counters);
    server.stop()?;
    let table = Totals::of(counters.iter().map(Arc::as_ref)).to_string();
    let report = devices.report();
    let missing = devices.close();
    say(&format!("{table}{report}buffers_missing {missing}"));
    Ok(())
}

/// Waits for the signal to stop; prints the counters when asked.
fn attend(mut signals: Signals, devices: &Devices, counters: &[Arc<Counters>]) {
    for signal in signals.forever() {
        if signal != SIGUSR1 {
            log::info!("stopping");
            return;
        }
        let totals = Totals::of(counters.iter().map(Arc::as_ref));
        say(&format!("{totals}{}buffers_in_use {}", devices.report(), devices.buffers_in_use()));
    }
}

fn start_now(now: Instant) -> Result<Start, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(Start { seed, now, unix: unix_now() })
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The shared memory through which control speaks to us.
struct Shared {
    border: Border<Arc<Mapping>>,
    // Last: whoever is attached sees the regions given up when this goes.
    owner: shm::attach::Owner,
}

impl Shared {
    fn open(config: &Config, start: Start) -> Result<Self, Failure> {
        let place = shm::Place::of(&config.instance)?;
        let generation = u64::try_from(start.unix.as_nanos()).unwrap_or(u64::MAX);
        let shm::Dataplane { owner, commands, events, mut counters } =
            shm::Dataplane::create(&place, shm::attach::Sizes::default(), generation)?;
        let threads = (config.workers.len(), config.handshake_threads);
        let border = Border::new((commands, events), &mut counters, threads)?;
        Ok(Self { border, owner })
    }
}

/// The running threads.
struct Server {
    stop: Arc<AtomicBool>,
    workers: Vec<lcore::JoinHandle<()>>,
    handshakers: Vec<std::thread::JoinHandle<Handshaker>>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(
        eal: &Eal,
        config: &Config,
        devices: &Devices,
        keeper: &mut Keeper,
        clock: &Arc<Clock>,
    ) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let barrier = Arc::new(Barrier::new(config.workers.len()));
        let mut server = Self { stop, workers: Vec::new(), handshakers: Vec::new(), keeper: None };
        for thread in 0..config.handshake_threads {
            let handshaker = keeper.handshaker(thread);
            let (stop, clock, wall) = (Arc::clone(&server.stop), Arc::clone(clock), keeper.wall());
            let eal = eal.clone();
            let handle = std::thread::Builder::new()
                .name(format!("handshake{thread}"))
                .spawn(move || handshakes(handshaker, &eal, &stop, (&clock, &wall)))?;
            server.handshakers.push(handle);
        }
        for (number, queues) in devices.queues(eal)?.into_iter().enumerate() {
            let seed = keeper.seed();
            let worker = Worker::<Dpdk>::new(keeper.state(number), queues, keeper.exchange(), seed);
            let core = config.workers.get(number).copied();
            let (idle, clock) = (config.idle, Arc::clone(clock));
            let (stop, barrier) = (Arc::clone(&server.stop), Arc::clone(&barrier));
            let work = move || turns(worker, idle, &stop, &barrier, &clock);
            server.workers.push(lcore::spawn(eal, &format!("worker{number}"), core, work)?);
        }
        Ok(server)
    }

    /// Starts the keeper's thread.
    fn keep(
        &mut self,
        keeper: Keeper,
        shared: Shared,
        eal: &Eal,
        clock: &Arc<Clock>,
    ) -> Result<(), Failure> {
        let (stop, clock, eal) = (Arc::clone(&self.stop), Arc::clone(clock), eal.clone());
        let work = move || keep(keeper, shared, &eal, &stop, &clock);
        self.keeper = Some(std::thread::Builder::new().name("keeper".to_owned()).spawn(work)?);
        Ok(())
    }

    /// Ends all threads: workers first, so that nothing new comes to the handshake threads.
    fn stop(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().map_err(|_| "a worker has ended by a panic")?;
        }
        // All have ended before the first is closed: until then one may still hand work to another.
        let states: Result<Vec<_>, _> =
            self.handshakers.into_iter().map(std::thread::JoinHandle::join).collect();
        for mut state in states.map_err(|_| "a handshake thread has ended by a panic")? {
            state.close();
        }
        if let Some(keeper) = self.keeper {
            keeper.join().map_err(|_| "the keeper has ended by a panic")?;
        }
        Ok(())
    }
}

/// A worker's life.
fn turns(
    mut worker: Worker<Dpdk>,
    idle: Idle,
    stop: &AtomicBool,
    barrier: &Barrier,
    clock: &Clock,
) {
    let mut empty = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let moved = worker.turn(Instant(clock.now_ns()));
        empty = if moved == 0 { empty.saturating_add(1) } else { 0 };
        if empty > IDLE_TURNS {
            rest(idle);
        }
    }
    // Nobody sends to another any more: what is in the rings now is all there will be.
    barrier.wait();
    worker.close();
}

fn rest(idle: Idle) {
    match idle {
        Idle::Busy => {}
        Idle::Pause => std::hint::spin_loop(),
        Idle::Sleep => std::thread::sleep(IDLE_SLEEP),
    }
}

/// Jobs that a handshake thread does before it looks at the clock and the stop sign again.
const JOBS_PER_TURN: usize = 16;

/// How long a handshake thread without work sleeps; it adds that much at most to a handshake.
const HANDSHAKE_REST: Duration = Duration::from_micros(200);

/// A handshake thread's life. It goes wherever the scheduler sees room: handshakes come in bursts.
fn handshakes(
    mut state: Handshaker,
    eal: &Eal,
    stop: &AtomicBool,
    (clock, wall): (&Clock, &WallClock),
) -> Handshaker {
    if let Err(error) = lcore::pin(eal, None) {
        log::warn!("a handshake thread stays on the main core: {error}");
    }
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant(clock.now_ns());
        if state.turn(begun, JOBS_PER_TURN) == 0 {
            std::thread::sleep(HANDSHAKE_REST);
            // The cycle counter drifts from the wall clock, which others set right.
            wall.set(unix_now(), Instant(clock.now_ns()));
            continue;
        }
        let now = Instant(clock.now_ns());
        state.spend(now.since(begun), now);
    }
    state
}

/// The keeper's life. Without its shared memory it goes on for the transaction that is under way.
fn keep(mut keeper: Keeper, shared: Shared, eal: &Eal, stop: &AtomicBool, clock: &Clock) {
    if let Err(error) = lcore::pin(eal, None) {
        log::warn!("the keeper stays on the main core: {error}");
    }
    let mut shared = Some(shared);
    let mut look_at = Instant::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let now = Instant(clock.now_ns());
        if now >= look_at {
            look_at = now + STANDING_INTERVAL;
            if shared.as_ref().is_some_and(|shared| shared.owner.standing() == Standing::Cut) {
                log::error!(
                    "the shared memory was cut short: no control can attach any more; restart to mend it"
                );
                shared = None;
            }
        }
        let done = match &mut shared {
            Some(shared) => shared.border.turn(&mut keeper, now),
            None => usize::from(keeper.turn()),
        };
        if done == 0 {
            std::thread::sleep(if keeper.is_idle() { KEEPER_REST } else { KEEPER_HASTE });
        }
    }
}

/// A line for the person or script that started us. A closed pipe is no reason to stop forwarding.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).unwrap_or_default();
}

fn say_error(text: &str) {
    writeln!(std::io::stderr(), "millrace-dataplane: {text}").unwrap_or_default();
}
