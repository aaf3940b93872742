//! The generator's own ceiling on this core: frames into devices that only count them or give them back, and the
//! clients beside the bare AEAD. All figures are taken in turn in one process, and a low percentile is told, since
//! neighbours on the machine make a block slower and never faster.

mod course;
mod far_end;
mod swarm;

use std::time::Duration;

use dpdk::Eal;
use dpdk::clock::Clock;
use serde::Serialize;

use crate::attack::{Attack, Builder, Link, ROOM, Scene};
use crate::device::{Burst, Device, Error, start};
use crate::profile;
use crate::stop::Stop;
use course::{Course, Task};

/// Octets of the frames, without check sequence: the shortest that Ethernet has.
const FRAME_LEN: usize = 60;
/// Packets of one block: the clock is read before and after.
const BLOCK: u64 = 1024;
/// What prepared frames, frames with live fields and clients should reach: packets per second, and times the AEAD.
const GOALS: [(&str, f64); 2] = [("prepared", 20e6), ("live", 10e6)];
const GOAL_OF_AEAD: f64 = 1.3;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: &'static str,
    /// Nanoseconds per packet of the fastest tenth of the blocks.
    pub p10_ns: f64,
    /// Nanoseconds per packet of the middle block.
    pub p50_ns: f64,
    /// Packets per second at the former.
    pub per_sec: f64,
    /// How many times as long as the AEAD alone, where clients seal or open.
    pub of_aead: Option<f64>,
    /// Whether the goal is reached, where there is one.
    pub is_reached: Option<bool>,
}

impl Figure {
    /// The figure for people.
    pub fn line(&self) -> String {
        let Self { what, p10_ns, p50_ns, per_sec, .. } = self;
        let ratio = self.of_aead.map_or(String::new(), |ratio| format!(", {ratio:.2} x the AEAD"));
        let goal = match self.is_reached {
            Some(true) => ", goal reached",
            Some(false) => ", goal missed",
            None => "",
        };
        let mpps = per_sec / 1e6;
        format!("{mpps:8.3} Mpps  {p10_ns:8.1} ns (middle {p50_ns:.1})  {what}{ratio}{goal}")
    }
}

/// Measures about `secs` seconds for each figure, or until `stop` is asked for, each at least once.
///
/// # Errors
/// When the devices without hardware do not open.
pub fn measure(core: Option<usize>, secs: f64, stop: &Stop) -> Result<Vec<Figure>, Error> {
    let device = |name: &str| profile::Device {
        name: name.to_owned(),
        core,
        hugepages: false,
        megabytes: 128,
        sleep: false,
    };
    let names = ["net_null0,no-rx=1", "net_ring0"];
    let eal: Eal = start(&device(names[0]), false)?;
    let clock = Clock::calibrate();
    let [null, ring] = names;
    let open = |name: &str| Device::open(&eal, name).map(std::cell::RefCell::new);
    let (null, ring) = (open(null)?, open(ring)?);
    let mut course = Course::new(&clock);
    for (device, what) in [
        (&null, ["prepared frames of 60 octets, net_null", "live fields (syn_flood), net_null"]),
        (&ring, ["prepared frames of 60 octets, net_ring", "live fields (syn_flood), net_ring"]),
    ] {
        course.add(what[0], None, Prepared(device));
        if let Some(live) = Live::new(device) {
            course.add(what[1], None, live);
        }
    }
    let sealing = course.add("AEAD alone, sealing 64 octets", None, swarm::Bare::seal());
    let opening = course.add("AEAD alone, opening 64 octets", None, swarm::Bare::open());
    for (what, device) in [
        ("clients sealing 64 octets, no device", None),
        ("clients sealing 64 octets, net_null", Some(&null)),
        ("clients sealing 64 octets, net_ring", Some(&ring)),
    ] {
        course.add(what, Some(sealing), swarm::Sending::new(device, false, &clock)?);
    }
    let pool = swarm::Sending::new(Some(&null), true, &clock)?;
    course.add("clients with a prepared pool, net_null", None, pool);
    course.add("clients opening 64 octets, no device", Some(opening), swarm::Receiving::new()?);
    let secs = secs.clamp(0.01, 60.0) * f64::from(u32::try_from(course.len()).unwrap_or(1));
    Ok(course.run(Duration::try_from_secs_f64(secs).unwrap_or_default(), stop))
}

type Shared<'d> = &'d std::cell::RefCell<Device>;

/// Takes back what a device that returns frames has, so that it has room.
fn take_back(device: &mut Device) {
    device.flush();
    let mut arrived = Burst::new();
    while device.receive(&mut arrived) > 0 {
        arrived.clear();
    }
}

/// The same frame again and again.
struct Prepared<'d>(Shared<'d>);

impl Task for Prepared<'_> {
    fn run(&mut self) -> u64 {
        let mut device = self.0.borrow_mut();
        let frame = std::hint::black_box([0x5a; FRAME_LEN]);
        let mut taken = 0;
        for _ in 0..BLOCK / 64 {
            (0..64).for_each(|_| taken += u64::from(device.put(&frame)));
            take_back(&mut device);
        }
        taken
    }
}

/// Frames that are made one by one.
struct Live<'d> {
    device: Shared<'d>,
    builder: Builder,
    room: Vec<u8>,
}

impl<'d> Live<'d> {
    fn new(device: Shared<'d>) -> Option<Self> {
        let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
        let mut scene = Scene::new(link, [9; 32], 51_820, 1);
        scene.target_v4 = Some(std::net::Ipv4Addr::new(192, 0, 2, 1));
        let builder = Builder::new(Attack::SynFlood, &scene).ok()?;
        Some(Self { device, builder, room: vec![0; ROOM] })
    }
}

impl Task for Live<'_> {
    fn run(&mut self) -> u64 {
        let mut device = self.device.borrow_mut();
        let mut taken = 0;
        for _ in 0..BLOCK / 64 {
            for _ in 0..64 {
                let len = self.builder.build(&mut self.room);
                let frame = self.room.get(..len).unwrap_or_default();
                taken += u64::from(device.put(frame));
            }
            take_back(&mut device);
        }
        taken
    }
}
