//! The shape of the file, before its meaning is checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;
use toml::Spanned;

use super::responder::Responder;
use super::streams::{ReplayFile, SynthFile};
use crate::client::{Family, Kind, Order, RoamKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default = "one")]
    pub(super) seed: u64,
    pub(super) device: Device,
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) clients: Clients,
    pub(super) responder: Option<Responder>,
    pub(super) roam: Option<Spanned<Roam>>,
    pub(super) reconnect: Option<Spanned<Times>>,
    pub(super) traffic: Option<Traffic>,
    #[serde(default)]
    pub(super) attack: Vec<Assault>,
    #[serde(default)]
    pub(super) synth: Vec<SynthFile>,
    #[serde(default)]
    pub(super) replay: Vec<ReplayFile>,
    #[serde(default)]
    pub(super) hostile: Hostile,
    #[serde(default)]
    pub(super) run: Run,
}

fn one() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: Spanned<String>,
    pub(super) core: Option<usize>,
    #[serde(default)]
    pub(super) hugepages: bool,
    #[serde(default = "megabytes")]
    pub(super) megabytes: u32,
    pub(super) vlan: Option<Spanned<u16>>,
    #[serde(default)]
    pub(super) sleep: bool,
    #[serde(default = "nowhere")]
    pub(super) addresses: Spanned<Vec<String>>,
    #[serde(default)]
    pub(super) gateways: Vec<IpAddr>,
}

fn nowhere() -> Spanned<Vec<String>> {
    Spanned::new(0..0, Vec::new())
}

fn megabytes() -> u32 {
    64
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) public_key: Spanned<String>,
    pub(super) endpoints: Spanned<Vec<SocketAddr>>,
    #[serde(default)]
    pub(super) gateways: Vec<IpAddr>,
    #[serde(default = "nowhere")]
    pub(super) tenants: Spanned<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clients {
    pub(super) count: Spanned<u32>,
    pub(super) addresses: Spanned<Vec<String>>,
    #[serde(default = "first_port")]
    pub(super) first_port: Spanned<u16>,
    pub(super) inner: Spanned<Vec<IpAddr>>,
    #[serde(default)]
    pub(super) routers: Vec<IpAddr>,
    #[serde(default)]
    pub(super) preshared: bool,
    pub(super) client_id: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) keepalive_secs: u16,
    #[serde(default = "connects_per_sec")]
    pub(super) connects_per_sec: Spanned<f64>,
    #[serde(default = "mtu")]
    pub(super) mtu: Spanned<u16>,
    pub(super) families: Option<Spanned<Families>>,
    pub(super) race_delay_ms: Option<Spanned<u32>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Families {
    Alternate,
    Race,
}

/// A profile without the section.
impl Default for Server {
    fn default() -> Self {
        let public_key = Spanned::new(0..0, String::new());
        Self {
            public_key,
            endpoints: Spanned::new(0..0, Vec::new()),
            gateways: Vec::new(),
            tenants: nowhere(),
        }
    }
}

impl Server {
    pub(super) fn is_absent(&self) -> bool {
        self.public_key.span() == (0..0)
    }
}

/// A profile without the section.
impl Default for Clients {
    fn default() -> Self {
        Self {
            count: Spanned::new(0..0, 0),
            addresses: nowhere(),
            first_port: first_port(),
            inner: Spanned::new(0..0, Vec::new()),
            routers: Vec::new(),
            preshared: false,
            client_id: None,
            keepalive_secs: 0,
            connects_per_sec: connects_per_sec(),
            mtu: mtu(),
            families: None,
            race_delay_ms: None,
        }
    }
}

impl Clients {
    pub(super) fn is_absent(&self) -> bool {
        self.count.span() == (0..0)
    }
}

fn first_port() -> Spanned<u16> {
    Spanned::new(0..0, 20_000)
}

fn connects_per_sec() -> Spanned<f64> {
    Spanned::new(0..0, 1000.0)
}

fn mtu() -> Spanned<u16> {
    Spanned::new(0..0, 1420)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roam {
    pub(super) kind: RoamKind,
    pub(super) mean_secs: Option<f64>,
    #[serde(default)]
    pub(super) after_secs: f64,
    pub(super) spread_secs: Option<f64>,
    #[serde(default)]
    pub(super) every_secs: f64,
}

impl Roam {
    pub(super) fn times(&self) -> Times {
        let Self { mean_secs, after_secs, spread_secs, every_secs, .. } = *self;
        Times { mean_secs, after_secs, spread_secs, every_secs }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the file's own names, each with its unit")]
pub(super) struct Times {
    pub(super) mean_secs: Option<f64>,
    #[serde(default)]
    pub(super) after_secs: f64,
    pub(super) spread_secs: Option<f64>,
    #[serde(default)]
    pub(super) every_secs: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Traffic {
    pub(super) kind: Kind,
    pub(super) to: Spanned<String>,
    #[serde(default = "v4")]
    pub(super) family: Family,
    pub(super) sizes: Spanned<Sizes>,
    pub(super) rate: Spanned<String>,
    #[serde(default)]
    pub(super) pattern: Spacing,
    pub(super) ports: Option<Spanned<Ports>>,
    pub(super) source_ports: Option<Spanned<Ports>>,
    #[serde(default)]
    pub(super) order: Order,
    pub(super) flags: Option<Spanned<String>>,
    pub(super) aead: Option<Spanned<Aead>>,
    pub(super) pool_megabytes: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Ports {
    One(i64),
    Row(String),
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Aead {
    Live,
    Prepared,
}

fn v4() -> Family {
    Family::V4
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assault {
    pub(super) name: Spanned<String>,
    pub(super) rate: Spanned<String>,
    #[serde(default)]
    pub(super) pattern: Spacing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hostile {
    pub(super) local: Option<Ipv4Addr>,
    pub(super) silent: Option<Ipv4Addr>,
    pub(super) absent: Option<Ipv4Addr>,
    pub(super) unrouted: Ipv4Addr,
}

impl Default for Hostile {
    fn default() -> Self {
        // Set aside for documentation (RFC 5737), so no route should lead there.
        Self { local: None, silent: None, absent: None, unrouted: Ipv4Addr::new(203, 0, 113, 1) }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Sizes {
    One(usize),
    List(Vec<usize>),
    Named(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum Spacing {
    #[default]
    Constant,
    Poisson,
    Bursts(u32),
    Onoff {
        on_ms: u32,
        off_ms: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Run {
    pub(super) connect_secs: f64,
    pub(super) secs: f64,
    pub(super) drain_secs: f64,
    pub(super) loss_allowed: Option<Spanned<f64>>,
    pub(super) factor: Spanned<f64>,
}

impl Default for Run {
    fn default() -> Self {
        let factor = Spanned::new(0..0, 1.0);
        Self { connect_secs: 10.0, secs: 10.0, drain_secs: 0.5, loss_allowed: None, factor }
    }
}
