//! The shape of the file, before its meaning is checked.

use std::net::{IpAddr, SocketAddr};

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
    #[serde(default = "busy")]
    pub(super) idle: Idle,
    #[serde(default)]
    pub(super) memory: Memory,
    #[serde(default)]
    pub(super) port: Vec<Spanned<Port>>,
    pub(super) local: Option<Spanned<Local>>,
    #[serde(default)]
    pub(super) peer: Vec<Spanned<Peer>>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub(super) name: Option<String>,
    pub(super) public_key: Spanned<String>,
    pub(super) preshared_key: Option<Spanned<String>>,
    pub(super) preshared_key_file: Option<Spanned<String>>,
    pub(super) allowed_ips: Vec<Spanned<String>>,
    pub(super) endpoint: Option<Spanned<SocketAddr>>,
    pub(super) persistent_keepalive: Option<u16>,
    pub(super) client_id: Option<Spanned<String>>,
}
