//! The generator's own ceiling on this core: frames into a device that only counts them.

use std::time::{Duration, Instant as Wall};

use dpdk::Eal;
use wireguard::aead::{Job, Key, TAILROOM, seal};
use wireguard::secret::Secret;

use crate::attack::{Attack, Builder, Link, ROOM, Scene};
use crate::device::{Device, Error, start};
use crate::profile;
use crate::report::share;

/// Frames between two looks at the clock.
const BLOCK: u64 = 4096;
/// Octets of the frames, without check sequence: the shortest that Ethernet has.
const FRAME_LEN: usize = 60;
/// Packets sealed together.
const BATCH_LEN: usize = 64;
/// Octets of the text that is sealed.
const TEXT_LEN: usize = 64;

/// Measures for `secs` seconds each and gives a line per figure.
///
/// # Errors
/// When the device without hardware does not open.
pub fn measure(core: Option<usize>, secs: f64) -> Result<Vec<String>, Error> {
    let name = "net_null0,no-rx=1".to_owned();
    let device = profile::Device { name, core, hugepages: false, megabytes: 64, sleep: false };
    let eal: Eal = start(&device, false)?;
    let mut port = Device::open(&eal, &device.name)?;
    let time = Duration::from_secs_f64(secs.clamp(0.01, 60.0));
    let frame = [0x5a; FRAME_LEN];
    let prepared = rate(time, || port.put(&frame));
    let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
    let mut scene = Scene::new(link, [9; 32], 51_820, 1);
    scene.target_v4 = Some(std::net::Ipv4Addr::new(192, 0, 2, 1));
    let mut lines = vec![line("prepared frames of 60 octets, net_null", prepared)];
    if let Ok(mut builder) = Builder::new(Attack::SynFlood, &scene) {
        let mut room = vec![0; ROOM];
        let live = rate(time, || {
            let len = builder.build(&mut room);
            room.get(..len).is_some_and(|frame| port.put(frame))
        });
        lines.push(line("live fields (syn_flood), net_null", live));
    }
    lines.push(line("AEAD alone, texts of 64 octets in batches of 64", sealed(time)));
    Ok(lines)
}

/// Frames per second that `send` takes.
fn rate(time: Duration, mut send: impl FnMut() -> bool) -> f64 {
    let (begin, mut taken) = (Wall::now(), 0);
    loop {
        for _ in 0..BLOCK {
            taken += u64::from(send());
        }
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return share(taken, 1) / elapsed.as_secs_f64();
        }
    }
}

fn sealed(time: Duration) -> f64 {
    let key = Key::new(Secret::new([7; 32]));
    let mut texts = vec![[0; TEXT_LEN + TAILROOM]; BATCH_LEN];
    let (begin, mut counter) = (Wall::now(), 0);
    loop {
        let mut jobs: Vec<Job<'_>> = texts
            .iter_mut()
            .zip(counter..)
            .filter_map(|(text, counter)| Job::new(&key, counter, text, TEXT_LEN))
            .collect();
        seal(&mut jobs);
        counter += BATCH_LEN as u64;
        let elapsed = begin.elapsed();
        if elapsed >= time {
            return share(counter, 1) / elapsed.as_secs_f64();
        }
    }
}

fn line(what: &str, per_sec: f64) -> String {
    format!("{:8.3} Mpps  {what}", per_sec / 1e6)
}
