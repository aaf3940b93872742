//! A look at the machine that a run is made on, and at what disturbs it.

use std::fs;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use dpdk::clock::{Clock, cycles};
pub(crate) use results::Conditions;
use results::Probe;
use serde::{Deserialize, Serialize};

use crate::sample::{median, p10};

/// What does not change during a run, as it was found.
#[derive(Debug)]
pub(crate) struct Machine(results::Machine);

/// What may disturb a run, at one moment.
#[derive(Debug)]
pub(crate) struct Weather(results::Weather);

impl From<Machine> for results::Machine {
    fn from(machine: Machine) -> Self {
        machine.0
    }
}

impl From<Weather> for results::Weather {
    fn from(weather: Weather) -> Self {
        weather.0
    }
}

impl Machine {
    pub(crate) fn observe(clock: &Clock, dpdk: String, hugepages: bool, core: usize) -> Self {
        Self(results::Machine {
            cpu: value_of("/proc/cpuinfo", "model name"),
            vectors: vectors(),
            cores: cores(),
            hypervisor: hypervisor(),
            tsc_hz: clock.hz(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            kernel: line("/proc/sys/kernel/osrelease"),
            command_line: line("/proc/cmdline"),
            mitigations: mitigations(),
            hugepages: set_aside(),
            dpdk,
            rustc: said(Command::new("rustc").arg("--version")),
            git: git(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            memory: if hugepages { "hugepages" } else { "ordinary pages" }.to_owned(),
            core,
        })
    }
}

impl Weather {
    pub(crate) fn observe() -> Self {
        Self(results::Weather {
            load: line("/proc/loadavg"),
            steal_ticks: steal_ticks(),
            involuntary_switches: value_of("/proc/self/status", "nonvoluntary_ctxt_switches")
                .parse()
                .unwrap_or(0),
            probe: probe(),
        })
    }
}

/// Steps of one chain: about 40 us, shorter than a time slice.
const STEPS: u32 = 30_000;
const CHAINS: usize = 400;

fn probe() -> Probe {
    let chains: Vec<f64> = (0..CHAINS)
        .map(|_| {
            let start = cycles();
            let mut value = black_box(1_u64);
            for _ in 0..STEPS {
                // Each step waits for the one before; the constant is odd, so no step is known ahead.
                value = black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            }
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
            let taken = (cycles() - start) as f64;
            taken / f64::from(STEPS)
        })
        .collect();
    Probe { p10: p10(&chains), median: median(&chains) }
}

/// Vector units that the AEAD or DPDK could use.
fn vectors() -> Vec<String> {
    let flags = value_of("/proc/cpuinfo", "flags");
    ["avx2", "avx512f", "avx512ifma", "avx512vl", "vaes"]
        .into_iter()
        .filter(|wanted| flags.split_whitespace().any(|flag| flag == *wanted))
        .map(str::to_owned)
        .collect()
}

/// Cores of the machine; of those that this process may run on, DPDK has already left one.
fn cores() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// Who made the virtual machine; empty on bare metal, where the processor does not say that it is one.
fn hypervisor() -> String {
    let flags = value_of("/proc/cpuinfo", "flags");
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return String::new();
    }
    let made =
        ["sys_vendor", "product_name"].map(|name| line(&format!("/sys/class/dmi/id/{name}")));
    let made = made.join(" ").trim().to_owned();
    if made.is_empty() { "by whom it does not say".to_owned() } else { made }
}

/// How many hugepages there are, and of what size.
fn set_aside() -> String {
    let [count, size] =
        ["HugePages_Total", "Hugepagesize"].map(|key| value_of("/proc/meminfo", key));
    format!("{count} of {size}")
}

fn mitigations() -> String {
    let folder = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten();
    let mut active: Vec<String> = folder
        .flatten()
        .filter_map(|entry| {
            let state = fs::read_to_string(entry.path()).ok()?;
            let active = state.starts_with("Mitigation");
            active.then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    active.sort();
    active.join(" ")
}

fn git() -> String {
    let hash = said(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    let changed = said(Command::new("git").args(["status", "--porcelain", "--untracked-files=no"]));
    if changed.is_empty() { hash } else { format!("{hash} and changes") }
}

/// How often the kernel has given this thread a core: whether it was taken away between two looks.
pub(crate) struct Slices(fs::File);

impl Slices {
    /// This thread's.
    pub(crate) fn open() -> io::Result<Self> {
        fs::File::open("/proc/thread-self/schedstat").map(Self)
    }

    pub(crate) fn count(&self) -> Option<u64> {
        let mut text = [0; 80];
        let len = self.0.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        text.split_whitespace().nth(2)?.parse().ok()
    }
}

/// Octets that programs may still take.
pub(crate) fn available() -> f64 {
    let text = value_of("/proc/meminfo", "MemAvailable");
    let kibibytes = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1024.0
}

/// What a program says; empty when it is not there.
fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The first `key : value` of a file; empty when there is none.
fn value_of(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found =
        text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key);
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// What other work has taken from a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// How often it lost its core.
    pub(crate) switches: u64,
    /// Nanoseconds in which it could have run and did not. Kernels without schedstat leave them 0.
    pub(crate) waited: u64,
}

impl Taken {
    /// From the calling thread, since it began.
    pub(crate) fn so_far() -> Self {
        let status = value_of("/proc/thread-self/status", "nonvoluntary_ctxt_switches");
        let waited = line("/proc/thread-self/schedstat");
        let waited = waited.split_whitespace().nth(1).and_then(|text| text.parse().ok());
        Self { switches: status.parse().unwrap_or(0), waited: waited.unwrap_or(0) }
    }

    /// From the calling thread, since this was taken down.
    pub(crate) fn since(self) -> Self {
        let Self { switches, waited } = Self::so_far();
        Self { switches: switches - self.switches, waited: waited - self.waited }
    }
}

/// The eighth figure of the first line of /proc/stat.
pub(crate) fn steal_ticks() -> u64 {
    let text = line("/proc/stat");
    let field = text.lines().next().and_then(|line| line.split_whitespace().nth(8));
    field.and_then(|text| text.parse().ok()).unwrap_or(0)
}
