//! The shape of `[[synth]]` and `[[replay]]` in the file, before its meaning is checked.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::profile::file::{Sizes as SizesFile, Spacing};
use crate::rewrite::Checksums;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::profile) struct SynthFile {
    pub(super) name: Option<String>,
    pub(super) protocol: Option<Spanned<String>>,
    pub(super) flags: Option<Spanned<String>>,
    pub(super) gre_key: Option<u32>,
    pub(super) gre_ethertype: Option<u16>,
    pub(super) source: Spanned<String>,
    pub(super) destination: Spanned<String>,
    pub(super) source_port: Option<Spanned<Text>>,
    pub(super) destination_port: Option<Spanned<Text>>,
    pub(super) sizes: Spanned<SizesFile>,
    #[serde(default = "ttl")]
    pub(super) ttl: u8,
    pub(super) dscp: Option<Spanned<u8>>,
    pub(super) vlan: Option<Spanned<u16>>,
    #[serde(default = "yes")]
    pub(super) measure: bool,
    pub(super) gateway: Option<Spanned<IpAddr>>,
    pub(super) link: Option<Spanned<String>>,
    pub(super) rate: Spanned<String>,
    #[serde(default)]
    pub(super) pattern: Spacing,
}

fn ttl() -> u8 {
    64
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::profile) struct ReplayFile {
    pub(super) name: Option<String>,
    pub(super) file: Spanned<PathBuf>,
    pub(super) pace: Option<Spanned<f64>>,
    pub(super) rate: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) pattern: Spacing,
    #[serde(default = "once")]
    pub(super) loops: u32,
    #[serde(default)]
    pub(super) source: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) destination: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) source_port: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) destination_port: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) checksums: Checksums,
    pub(super) vlan: Option<Spanned<u16>>,
    #[serde(default)]
    pub(super) gateways: Vec<IpAddr>,
    pub(super) link: Option<Spanned<String>>,
}

fn once() -> u32 {
    1
}

/// A number, or a row of them as text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Number(u16),
    Text(String),
}

impl Text {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}
