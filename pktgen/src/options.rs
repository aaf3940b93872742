//! What the commands that take a profile have in common: its file, changes to it, flags for its fields, and what a run
//! prints and writes.

use std::path::PathBuf;

use clap::Args;
use pktgen::profile::Profile;

use super::{Failure, shortcut};

#[derive(Debug, Args)]
pub(super) struct Choice {
    /// The profile (TOML); without one everything comes from the flags.
    #[arg(long, value_name = "FILE")]
    pub(super) profile: Option<PathBuf>,
    /// Changes any field of the profile: --set roam.kind=port --set clients.count=10.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    #[command(flatten)]
    pub(super) fields: Fields,
}

/// The fields that are changed most often, each as a flag of its own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fields of the profile")]
pub(super) struct Fields {
    /// `device.name`: devargs such as `net_af_packet0,iface=eth0`, or a PCI address.
    #[arg(long)]
    pub(super) device: Option<String>,
    /// `device.core`.
    #[arg(long)]
    pub(super) core: Option<String>,
    /// `server.public_key`.
    #[arg(long, value_name = "KEY")]
    pub(super) server: Option<String>,
    /// `server.endpoints`; again for the other family.
    #[arg(long)]
    pub(super) endpoint: Vec<String>,
    /// `clients.addresses`: 192.0.2.10+100; again for the other family.
    #[arg(long, value_name = "ROW")]
    pub(super) addresses: Vec<String>,
    /// `clients.inner`: the first client's; again for the other family.
    #[arg(long)]
    pub(super) inner: Vec<String>,
    /// `clients.count`.
    #[arg(long)]
    pub(super) clients: Option<String>,
    /// `traffic.kind`.
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// `traffic.to`.
    #[arg(long)]
    pub(super) to: Option<String>,
    /// `traffic.sizes`; of `synth` its own: 200, [64, 1420] or imix.
    #[arg(long)]
    pub(super) sizes: Option<String>,
    /// `traffic.rate`; of `attack`, `synth` and `replay` their own: 20kpps, 1Gbit/s, 10Gbit/s-l1.
    #[arg(long)]
    pub(super) rate: Option<String>,
    /// `traffic.pattern`: constant, poisson, { bursts = 8 }.
    #[arg(long)]
    pub(super) pattern: Option<String>,
    /// `run.factor`: multiplies every rate.
    #[arg(long)]
    pub(super) factor: Option<String>,
    /// `run.secs`.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) secs: Option<String>,
    /// `run.loss_allowed`: the largest share of missing packets that is good.
    #[arg(long, value_name = "SHARE")]
    pub(super) loss: Option<String>,
    /// `seed`.
    #[arg(long)]
    pub(super) seed: Option<String>,
    /// `[[attack]]`: NAME=RATE beside the traffic; several are good.
    #[arg(long, value_name = "NAME=RATE")]
    pub(super) attack: Vec<String>,
}

impl Fields {
    /// The same as changes.
    pub(super) fn changes(&self) -> Vec<String> {
        let one = [
            ("device.name", &self.device),
            ("device.core", &self.core),
            ("server.public_key", &self.server),
            ("clients.count", &self.clients),
            ("traffic.kind", &self.kind),
            ("traffic.to", &self.to),
            ("traffic.sizes", &self.sizes),
            ("traffic.rate", &self.rate),
            ("traffic.pattern", &self.pattern),
            ("run.factor", &self.factor),
            ("run.secs", &self.secs),
            ("run.loss_allowed", &self.loss),
            ("seed", &self.seed),
        ];
        let many = [
            ("server.endpoints", &self.endpoint),
            ("clients.addresses", &self.addresses),
            ("clients.inner", &self.inner),
        ];
        let one =
            one.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
        let filled = many.into_iter().filter(|(_, values)| !values.is_empty());
        // A list of strings is written alike in Rust and in TOML.
        let many = filled.map(|(key, values)| format!("{key}={values:?}"));
        one.chain(many).chain(self.attacks()).collect()
    }

    fn attacks(&self) -> Option<String> {
        let one = |text: &String| {
            let (name, rate) = text.split_once('=').unwrap_or((text, ""));
            format!("{{ name = {name:?}, rate = {rate:?} }}")
        };
        let all: Vec<String> = self.attack.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("attack=[{}]", all.join(", ")))
    }
}

impl Choice {
    pub(super) fn read(&self) -> Result<Profile, Failure> {
        let changes = [self.set.clone(), self.fields.changes()].concat();
        Ok(Profile::read(self.profile.as_deref(), &changes)?)
    }

    pub(super) fn name(&self) -> String {
        self.profile
            .as_ref()
            .map_or_else(|| "the command line".to_owned(), |path| path.display().to_string())
    }
}

#[derive(Debug, Args)]
pub(super) struct Running {
    /// Print each interval and the report as lines of JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Write a plot of the latency percentiles.
    #[arg(long, value_name = "FILE")]
    pub(super) latency_svg: Option<PathBuf>,
    /// Write a plot of the rates over time.
    #[arg(long, value_name = "FILE")]
    pub(super) rate_svg: Option<PathBuf>,
    /// Let DPDK log to standard error.
    #[arg(long)]
    pub(super) verbose: bool,
    #[command(flatten)]
    pub(super) dry: shortcut::Dry,
    // Last, since it ends under a heading of its own.
    #[command(flatten)]
    pub(super) choice: Choice,
}
