//! On which machine a run was made, and in which weather: what a figure means nothing without.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What does not change during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Vector units that the AEAD or DPDK could use.
    pub vectors: Vec<String>,
    /// Cores that this process may run on.
    pub cores: usize,
    /// Who runs the virtual machine, as far as it says; empty on bare metal.
    pub hypervisor: String,
    /// Cycles of the counter in a second.
    pub tsc_hz: u64,
    /// What governs the core's pace; empty where the kernel does not.
    pub governor: String,
    /// The kernel's version.
    pub kernel: String,
    /// What the kernel was started with.
    pub command_line: String,
    /// Weaknesses of the processor that the kernel works around.
    pub mitigations: String,
    /// Hugepages that are set aside, and their size.
    pub hugepages: String,
    /// DPDK's version, or that none took part.
    pub dpdk: String,
    /// The compiler's version.
    pub rustc: String,
    /// The commit, and whether something was changed since.
    pub git: String,
    /// How the program was built.
    pub profile: String,
    /// Where packets lie.
    pub memory: String,
    /// The core that was measured on.
    pub core: usize,
}

/// Counts of the kernel's that tell of disturbance, and the probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weather {
    /// `/proc/loadavg`.
    pub load: String,
    /// Ticks that the host took away, all cores together.
    pub steal_ticks: u64,
    /// How often another process got the core.
    pub involuntary_switches: u64,
    /// The core's pace.
    pub probe: Probe,
}

/// Cycles per step of a chain of dependent multiplications: a constant of the machine unless somebody
/// takes the core away or changes its pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// When it was calm.
    pub p10: f64,
    /// As it mostly was.
    pub median: f64,
}

/// How much the probe may change between two runs that are held against each other, or within one that is called calm.
pub(crate) const PACE_DRIFT: f64 = 0.03;

impl Probe {
    fn moved_since(self, before: Self) -> bool {
        (before.p10 - self.p10).abs() > PACE_DRIFT * before.p10
    }
}

impl Weather {
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
        if self.probe.moved_since(before.probe) {
            found.push(format!(
                "the core's pace changed: {one:.2} and then {other:.2} cycles a step"
            ));
        }
        found
    }
}

/// Machine and weather of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// What it was made on.
    pub machine: Machine,
    /// When it began.
    pub before: Weather,
    /// When it ended.
    pub after: Weather,
    /// What disturbed it; empty when it was calm.
    pub disturbances: Vec<String>,
}

impl Conditions {
    /// Of a run between two looks at the weather.
    pub fn new(
        machine: impl Into<Machine>,
        (before, after): (impl Into<Weather>, impl Into<Weather>),
    ) -> Self {
        let (before, after) = (before.into(), after.into());
        let disturbances = after.disturbances(&before);
        Self { machine: machine.into(), before, after, disturbances }
    }

    /// Whether the core was of another pace after the run than before: its times then say nothing.
    pub fn pace_changed(&self) -> bool {
        self.after.probe.moved_since(self.before.probe)
    }

    /// Nanoseconds of so many cycles.
    #[expect(clippy::cast_precision_loss, reason = "a rate below 2^52")]
    pub fn ns(&self, cycles: f64) -> f64 {
        cycles * 1e9 / self.machine.tsc_hz.max(1) as f64
    }

    /// Nanoseconds of each of these.
    pub fn all_ns(&self, cycles: &[f64]) -> Vec<f64> {
        cycles.iter().map(|cycles| self.ns(*cycles)).collect()
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

impl Machine {
    /// The record as lines of name and value, what is empty left out.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
        let ghz = self.tsc_hz as f64 / 1e9;
        let mut lines = vec![
            ("CPU", format!("{} ({})", self.cpu, self.vectors.join(" "))),
            ("cores", format!("{}, measured on core {}", self.cores, self.core)),
            ("virtual machine", self.hypervisor.clone()),
            ("TSC", format!("{ghz:.4} GHz")),
            ("governor", self.governor.clone()),
            ("memory", format!("{}; hugepages set aside: {}", self.memory, self.hugepages)),
            ("kernel", self.kernel.clone()),
            ("versions", format!("{}, {}", self.dpdk, self.rustc)),
            ("commit", format!("{}, {} build", self.git, self.profile)),
            ("mitigations", self.mitigations.clone()),
            ("kernel's command line", self.command_line.clone()),
        ];
        lines.retain(|(_, value)| !value.is_empty());
        lines
    }

    /// Why figures of the two cannot be held against each other; none when they can.
    pub fn differs(&self, other: &Self) -> Option<String> {
        let pairs = [
            ("processor", &self.cpu, &other.cpu),
            ("vector units", &self.vectors.join(" "), &other.vectors.join(" ")),
            ("hypervisor", &self.hypervisor, &other.hypervisor),
            ("build", &self.profile, &other.profile),
            ("memory for packets", &self.memory, &other.memory),
        ];
        let found = pairs.into_iter().find(|(_, one, two)| one != two);
        if let Some((what, one, two)) = found {
            return Some(format!("another {what}: {one}, and {two}"));
        }
        // The counter's rate is measured anew each time, and comes out a few parts in a million apart.
        let apart = self.tsc_hz.abs_diff(other.tsc_hz);
        (apart > self.tsc_hz / 1000)
            .then(|| format!("another counter: {} Hz, and {} Hz", self.tsc_hz, other.tsc_hz))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|(name, value)| writeln!(f, "- {name}: {value}"))
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

    #[test]
    fn another_processor_is_another_machine_and_another_commit_is_not() {
        let one = Machine { cpu: "a".into(), tsc_hz: 2_600_000_000, ..Machine::default() };
        let changed = Machine { git: "abc".into(), tsc_hz: 2_600_000_900, ..one.clone() };
        assert_eq!(one.differs(&changed), None);
        let other = Machine { cpu: "b".into(), ..one.clone() };
        assert_eq!(one.differs(&other).unwrap(), "another processor: a, and b");
    }
}
