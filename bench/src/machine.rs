//! The machine that a run was made on, and whether it was calm meanwhile.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::process::Command;

use dpdk::clock::{Clock, cycles};
use serde::Serialize;

use crate::sample::{median, p10};

/// What does not change during a run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    vectors: Vec<&'static str>,
    tsc_hz: u64,
    kernel: String,
    command_line: String,
    mitigations: String,
    dpdk: String,
    rustc: String,
    git: String,
    profile: &'static str,
    memory: &'static str,
    core: usize,
    arguments: Vec<String>,
}

/// Counts of the kernel's that tell of disturbance, and the probe.
#[derive(Debug, Serialize)]
pub(crate) struct Weather {
    load: String,
    steal_ticks: u64,
    involuntary_switches: u64,
    probe: Probe,
}

/// Cycles per step of a chain of dependent multiplications: a constant of the machine unless somebody
/// takes the core away or changes its pace.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Probe {
    p10: f64,
    median: f64,
}

impl Machine {
    pub(crate) fn observe(clock: &Clock, dpdk: String, hugepages: bool, core: usize) -> Self {
        Self {
            cpu: value_of("/proc/cpuinfo", "model name"),
            vectors: vectors(),
            tsc_hz: clock.hz(),
            kernel: line("/proc/sys/kernel/osrelease"),
            command_line: line("/proc/cmdline"),
            mitigations: mitigations(),
            dpdk,
            rustc: said(Command::new("rustc").arg("--version")),
            git: git(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            memory: if hugepages { "hugepages" } else { "ordinary pages" },
            core,
            arguments: std::env::args().collect(),
        }
    }
}

impl Weather {
    pub(crate) fn observe() -> Self {
        Self {
            load: line("/proc/loadavg"),
            steal_ticks: steal_ticks(),
            involuntary_switches: value_of("/proc/self/status", "nonvoluntary_ctxt_switches")
                .parse()
                .unwrap_or(0),
            probe: probe(),
        }
    }

    /// What disturbed the time since `before`, in words; empty when nothing did.
    fn disturbances(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let steal = self.steal_ticks.saturating_sub(before.steal_ticks);
        if steal > 0 {
            found.push(format!("the host took {steal} ticks (10 ms each) from the cores"));
        }
        let switches = self.involuntary_switches.saturating_sub(before.involuntary_switches);
        if switches > 0 {
            found.push(format!("the core was taken away {switches} times by other work"));
        }
        for (name, probe) in [("before", before.probe), ("after", self.probe)] {
            if probe.median > 1.05 * probe.p10 {
                let Probe { p10, median } = probe;
                found.push(format!(
                    "the probe {name} the run was uneven: p10 {p10:.2}, median {median:.2}"
                ));
            }
        }
        let (one, other) = (before.probe.p10, self.probe.p10);
        if (one - other).abs() > 0.03 * one {
            found.push(format!(
                "the core's pace changed: {one:.2} and then {other:.2} cycles a step"
            ));
        }
        found
    }
}

/// What a figure means nothing without: on which machine it was measured, and what disturbed it.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    machine: Machine,
    before: Weather,
    after: Weather,
    /// What disturbed the run; empty when it was calm.
    disturbances: Vec<String>,
}

impl Conditions {
    /// Of a run between two looks at the weather.
    pub(crate) fn new(machine: Machine, (before, after): (Weather, Weather)) -> Self {
        let disturbances = after.disturbances(&before);
        Self { machine, before, after, disturbances }
    }

    /// Nanoseconds of so many cycles.
    #[expect(clippy::cast_precision_loss, reason = "a rate below 2^52")]
    pub(crate) fn ns(&self, cycles: f64) -> f64 {
        cycles * 1e9 / self.machine.tsc_hz as f64
    }
}

/// The head of a report: a list whose lines all end.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, before, after, disturbances } = self;
        writeln!(f, "{machine}- before: {before}\n- after: {after}")?;
        disturbances.iter().try_for_each(|found| writeln!(f, "- **disturbed:** {found}"))
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
fn vectors() -> Vec<&'static str> {
    let flags = value_of("/proc/cpuinfo", "flags");
    ["avx2", "avx512f", "avx512ifma", "avx512vl", "vaes"]
        .into_iter()
        .filter(|wanted| flags.split_whitespace().any(|flag| flag == *wanted))
        .collect()
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

/// The eighth figure of the first line of /proc/stat.
fn steal_ticks() -> u64 {
    let text = line("/proc/stat");
    let field = text.lines().next().and_then(|line| line.split_whitespace().nth(8));
    field.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- CPU: {} ({}), core {}", self.cpu, self.vectors.join(" "), self.core)?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
        let ghz = self.tsc_hz as f64 / 1e9;
        writeln!(f, "- TSC: {ghz:.4} GHz; memory: {}", self.memory)?;
        writeln!(f, "- kernel {}, {}, {}", self.kernel, self.dpdk, self.rustc)?;
        writeln!(f, "- commit {}, {} build", self.git, self.profile)?;
        writeln!(f, "- mitigations: {}", self.mitigations)?;
        writeln!(f, "- command: `{}`", self.arguments.join(" "))
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Probe { p10, median } = self.probe;
        write!(
            f,
            "load {}, steal {}, switches {}, probe {p10:.2} (median {median:.2})",
            self.load, self.steal_ticks, self.involuntary_switches
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather(steal_ticks: u64, p10: f64, median: f64) -> Weather {
        let probe = Probe { p10, median };
        Weather { load: String::new(), steal_ticks, involuntary_switches: 0, probe }
    }

    #[test]
    fn calm_weather_is_not_called_disturbed() {
        assert!(weather(5, 4.0, 4.1).disturbances(&weather(5, 4.0, 4.0)).is_empty());
    }

    #[test]
    fn names_steal_uneven_probes_and_a_changed_pace() {
        let found = weather(9, 4.4, 5.0).disturbances(&weather(5, 4.0, 4.0));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|text| text.contains("4 ticks")));
    }
}
