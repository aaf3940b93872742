//! The shape of the file, before its meaning is checked.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv6Net;
use serde::Deserialize;
use toml::Spanned;

use super::Idle;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "fields bear the names that the file has")]
pub(super) struct File {
    pub(super) private_key: Option<Spanned<String>>,
    pub(super) private_key_file: Option<Spanned<String>>,
    pub(super) listen_port: Spanned<u16>,
    pub(super) workers: Spanned<Vec<usize>>,
    #[serde(default = "one")]
    pub(super) handshake_threads: Spanned<usize>,
    pub(super) handshake_budget: Option<Spanned<u32>>,
    #[serde(default = "busy")]
    pub(super) idle: Idle,
    #[serde(default)]
    pub(super) memory: Memory,
    #[serde(default)]
    pub(super) port: Vec<Spanned<Port>>,
    pub(super) local: Option<Spanned<Local>>,
    /// Only to say where peers belong.
    pub(super) peer: Option<Spanned<toml::Value>>,
    pub(super) instance: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) capacity: Capacity,
    pub(super) fleet: Option<Spanned<Fleet>>,
    pub(super) nat: Option<Spanned<Nat>>,
    pub(super) connect: Option<Spanned<ConnectSection>>,
    pub(super) terminate: Option<Spanned<Terminate>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Terminate {
    pub(super) interface: Spanned<String>,
    pub(super) addresses: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectSection {
    pub(super) port: Spanned<u16>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<String>>,
    pub(super) from: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) private_targets: bool,
    #[serde(default)]
    pub(super) forbidden_ports: Vec<Spanned<u16>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nat {
    pub(super) addresses: Option<Spanned<Vec<Spanned<Ipv4Addr>>>>,
    pub(super) client_address: Option<Spanned<Ipv4Addr>>,
    pub(super) flows: Option<Spanned<u32>>,
    pub(super) flows_per_client: Option<Spanned<u32>>,
    pub(super) setups: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) untranslated: Vec<Spanned<Ipv6Net>>,
    #[serde(default)]
    pub(super) prefixes: Vec<Spanned<Prefixes>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefixes {
    pub(super) inside: Ipv6Net,
    pub(super) outside: Ipv6Net,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    pub(super) server: u8,
    pub(super) key: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<String>>,
    pub(super) mtu: Option<Spanned<u16>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capacity {
    pub(super) peers: Option<Spanned<u32>>,
    pub(super) routes: Option<Spanned<u32>>,
    pub(super) buckets: Option<Spanned<u32>>,
    pub(super) flows: Option<Spanned<u32>>,
}

fn one() -> Spanned<usize> {
    Spanned::new(0..0, 1)
}

fn busy() -> Idle {
    Idle::Busy
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    #[serde(default = "yes")]
    pub(super) hugepages: bool,
    pub(super) megabytes: Option<u32>,
    pub(super) buffers: Option<Spanned<u32>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { hugepages: true, megabytes: None, buffers: None }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) device: Spanned<String>,
    pub(super) addresses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) gateways: Vec<Spanned<IpAddr>>,
    pub(super) vlan: Option<Spanned<u16>>,
    pub(super) mtu: Option<Spanned<u16>>,
    pub(super) kernel: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Local {
    pub(super) interface: Spanned<String>,
    pub(super) addresses: Vec<Spanned<String>>,
}
