//! The generator as a process of its own: it does what the one that started it tells it, until that one is gone.

use std::io::{BufRead, Read as _, Write as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Pool, Port};
use serde::Serialize;

use super::frames::Frames;
use super::generator::Run;
use super::process::{Meeting, Order};
use crate::Failure;
use crate::service::server::End;

/// MiB for pools and rings in ordinary memory.
const MEGABYTES: u32 = 64;

/// What is loaded for the next trial.
struct Loaded {
    frames: Frames,
    way: (End, End),
    mark: u32,
}

/// Comes to the meeting, and obeys.
pub(crate) fn run(meeting: &Meeting) -> Result<(), Failure> {
    let memory = if meeting.hugepages {
        Memory::Hugepages { megabytes: None }
    } else {
        Memory::Ordinary { megabytes: MEGABYTES }
    };
    let main_core = Some(meeting.core);
    let eal = Eal::start(&Options { main_core, memory, ..Options::default() })?;
    let clock = Clock::calibrate();
    let room = u16::try_from(dataplane::limits::DATA_ROOM)?;
    let count = u32::try_from(3 * meeting.ring + 2047)?;
    let pool = Pool::new(&eal, "generator", count, room)?;
    let (mut ends, ports) = meeting.open((&eal, &pool), "client")?;
    let (mut orders, mut loaded) = (std::io::stdin().lock(), None);
    let mut line = String::new();
    while orders.read_line(&mut line)? > 0 {
        match serde_json::from_str(&line)? {
            Order::Load { size, interval, way, mark } => {
                let frames = Frames::read(&mut orders.by_ref(), size, interval)?;
                loaded = Some(Loaded { frames, way, mark });
                answer(&())?;
            }
            Order::Go => {
                let Loaded { frames, way, mark } = loaded.take().ok_or("nothing is loaded")?;
                let run = Run::new((&mut ends, &pool), &frames, (way, false), mark);
                answer(&run.go(&clock)?)?;
            }
            Order::Drain => answer(&ends.drain())?,
        }
        line.clear();
    }
    settle(&ports);
    Ok(())
}

/// How long the other end's farewell may take, and what the driver does after it says that it came.
const FAREWELL: Duration = Duration::from_secs(1);
const AFTERWARDS: Duration = Duration::from_millis(20);

/// Waits until the driver's own thread has taken the other end's farewell: it must not do so while devices are closed.
fn settle(ports: &[Port]) {
    let start = Instant::now();
    while ports.iter().any(Port::link_up) && start.elapsed() < FAREWELL {
        sleep(Duration::from_millis(1));
    }
    sleep(AFTERWARDS);
}

fn answer(what: &impl Serialize) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, what)?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}
