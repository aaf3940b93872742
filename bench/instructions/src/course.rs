//! How a way is counted: bursts that warm it up, then one that counts, lap by lap.

use std::ffi::{CStr, CString};

use dataplane::burst::{self, Burst};
use dataplane::fate::Fate;
use dataplane::frame::{Entry, Note};
use dataplane::limits::BURST_LEN_MAX;
use dataplane::pipeline::{self, AEAD_OPEN, AEAD_SEAL, LAPS};
use dataplane::port::Batch;
use dataplane::testing::memory::Buffer;
use dataplane::testing::scene::Scene;

use crate::{Failure, callgrind};

/// Bursts before those that count: tables know every flow by then.
const WARM_UP: usize = 2;
/// Bursts that count. What is done for one packet of many is in it as often as it is in truth, or nearly.
const COUNTED: usize = 2;
/// All frames of a way.
pub(crate) const FRAMES: usize = (WARM_UP + COUNTED) * BURST_LEN_MAX;

/// What callgrind is to write each lap down as: way, lap, and what it is divided by. Laps that are not named go together; the AEAD is
/// whatever the processor has instructions for, and counts nowhere.
fn names(way: &str, laps: &[&str]) -> Result<Vec<CString>, Failure> {
    let name = |(place, lap): (usize, &&'static str)| {
        let name = match *lap {
            _ if place == AEAD_OPEN || place == AEAD_SEAL => AEAD,
            lap if laps.contains(&lap) => lap,
            _ => OTHERS,
        };
        Ok(CString::new(format!("{way}|{name}|{}", COUNTED * BURST_LEN_MAX))?)
    };
    if let Some(lap) = laps.iter().find(|lap| !LAPS.contains(lap)) {
        return Err(format!("{way}: there is no stage {lap}").into());
    }
    LAPS.iter().enumerate().map(name).collect()
}

/// Laps that are written down and not counted.
const AEAD: &str = "AEAD";
const OTHERS: &str = "all other stages";

/// Walks the frames through the first worker of the scene; none may be dropped.
pub(crate) fn run(
    scene: &mut Scene,
    (way, laps): (&str, &[&str]),
    (entry, frames): (Entry, &[Vec<u8>]),
) -> Result<(), Failure> {
    let (names, mut notes) = (names(way, laps)?, burst::notes());
    for (place, frames) in frames.chunks(BURST_LEN_MAX).enumerate() {
        let octets = frames.iter().map(|frame| scene.server.outside.packet(frame));
        let mut packets: Batch<Buffer> =
            octets.collect::<Option<_>>().ok_or("no buffer is left")?;
        // As a device says that has looked at the outer checksums.
        packets.iter_mut().for_each(|packet| packet.verified = true);
        let names = if place < WARM_UP { &[][..] } else { &names };
        let walked = walk(scene, &mut packets, (entry, &mut notes), names);
        walked.map_err(|error| format!("{way}: {error}"))?;
    }
    Ok(())
}

/// Something by itself, of which there are so many.
pub(crate) fn once(what: &str, count: usize, act: impl FnOnce()) -> Result<(), Failure> {
    let name = CString::new(format!("{what}||{count}"))?;
    callgrind::start();
    act();
    callgrind::write_down(&name);
    callgrind::stop();
    Ok(())
}

/// A burst through all stages. Without names nothing is counted, by the same code.
fn walk(
    scene: &mut Scene,
    packets: &mut Batch<Buffer>,
    (entry, notes): (Entry, &mut [Note]),
    names: &[CString],
) -> Result<(), Failure> {
    let now = scene.now;
    let state = scene.server.workers.first_mut().ok_or("there is no worker")?.state_mut();
    let mut names = names.iter().map(CString::as_c_str);
    if names.len() > 0 {
        callgrind::start();
    }
    let mut lap = || write_down(names.next());
    let mut burst = Burst::lend(packets, notes, entry);
    lap();
    pipeline::walk_by(&mut burst, state, now, &mut lap);
    let outcomes = burst.finish();
    lap();
    callgrind::stop();
    match outcomes.iter().find(|outcome| matches!(outcome.fate, Fate::Drop(_) | Fate::Undecided)) {
        Some(outcome) => Err(format!("a packet's fate was {:?}", outcome.fate).into()),
        None => Ok(()),
    }
}

#[inline]
fn write_down(name: Option<&CStr>) {
    if let Some(name) = name {
        callgrind::write_down(name);
    }
}
