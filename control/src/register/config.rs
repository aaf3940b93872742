//! The `[register]` section: where clients register, what they are given, and how often they may ask.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;

use super::limiter::{Rate, Rates};
use crate::http::Identity;
use crate::model::{PublicKey, key};

/// Shortest and longest IPv4 pool: as many addresses as client ids, and two for clients beside the first and last.
const IPV4_LEN: std::ops::RangeInclusive<u8> = 8..=30;

/// Longest IPv6 prefix that leaves room for a client id.
const IPV6_LEN_MAX: u8 = 128 - 24;

/// Longest name of a host (RFC 1035 2.3.4).
const HOST_LEN_MAX: usize = 253;

/// Ports that a client is told to try.
const PORTS_MAX: usize = 64;

/// How many more requests than registrations a source may make: clients look after their registration now and then.
const REQUESTS_PER_REGISTRATION: u32 = 10;

/// The section, as it is read. [`Config::check`] it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// With what to serve TLS; without it, plain HTTP.
    pub tls: Option<Identity>,
    /// Clients' inner IPv4 addresses; the first and the last are not given.
    pub ipv4: Ipv4Net,
    /// Clients' inner IPv6 addresses: this with the client id in its last 24 bits.
    pub ipv6: Ipv6Net,
    /// The name under which clients reach the dataplane.
    pub host: String,
    /// Its IPv4 address.
    pub endpoint_v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub endpoint_v6: Option<Ipv6Addr>,
    /// The ports on which it is reached, the best first; without any, the one on which it says that it listens.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The server's public key in base64, for as long as no dataplane has said it.
    pub public_key: Option<String>,
    /// Registrations, rotations and removals in a minute from one IPv4 address or IPv6 /64.
    #[serde(default = "source_per_minute")]
    pub source_per_minute: u32,
    /// The same from one IPv4 /24 or IPv6 /48.
    #[serde(default = "neighbourhood_per_minute")]
    pub neighbourhood_per_minute: u32,
    /// The same in a second from everywhere.
    #[serde(default = "per_second")]
    pub per_second: u32,
}

/// A household with all its devices, several times over.
fn source_per_minute() -> u32 {
    30
}

fn neighbourhood_per_minute() -> u32 {
    300
}

/// All of 16 million clients in under five hours.
fn per_second() -> u32 {
    1000
}

impl Config {
    /// Whether it makes sense; else what does not, and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: String| Err(what);
        if !IPV4_LEN.contains(&self.ipv4.prefix_len()) || self.ipv4 != self.ipv4.trunc() {
            return wrong(format!("ipv4: {} is no pool; take a prefix of /8 to /30", self.ipv4));
        }
        if self.ipv6.prefix_len() > IPV6_LEN_MAX || self.ipv6 != self.ipv6.trunc() {
            let what = "has no room for client ids; take a prefix of /104 or shorter";
            return wrong(format!("ipv6: {} {what}", self.ipv6));
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if !(1..=HOST_LEN_MAX).contains(&self.host.len()) || !self.host.chars().all(is_host) {
            return wrong(format!("host: {:?} is no name of a host, without a port", self.host));
        }
        if self.ports.len() > PORTS_MAX || self.ports.contains(&0) {
            return wrong(format!("ports: take up to {PORTS_MAX}, none of them 0"));
        }
        if self.public_key.is_some() && self.own_key().is_none() {
            return wrong("public_key: is no key; take what `wg pubkey` prints".to_owned());
        }
        let rates = [self.source_per_minute, self.neighbourhood_per_minute, self.per_second];
        if rates.contains(&0) {
            return wrong("with a rate of 0 nobody can register; leave [register] out".to_owned());
        }
        Ok(())
    }

    /// The same with paths relative to a directory.
    #[must_use]
    pub fn beside(mut self, directory: &Path) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.certificate = directory.join(&tls.certificate);
            tls.private_key = directory.join(&tls.private_key);
        }
        self
    }

    /// The server's key as configured.
    pub(super) fn own_key(&self) -> Option<PublicKey> {
        let key = PublicKey(key::decode(self.public_key.as_deref()?)?);
        (!key::is_weak(&key)).then_some(key)
    }

    /// The limits of what changes something.
    pub(super) fn change_rates(&self) -> Rates {
        self.rates(1)
    }

    /// The limits of requests of any kind.
    pub(super) fn request_rates(&self) -> Rates {
        self.rates(REQUESTS_PER_REGISTRATION)
    }

    fn rates(&self, times: u32) -> Rates {
        let rate = |count: u32, seconds| {
            Rate::new(count.saturating_mul(times), Duration::from_secs(seconds))
        };
        Rates {
            source: rate(self.source_per_minute, 60),
            neighbourhood: rate(self.neighbourhood_per_minute, 60),
            total: rate(self.per_second, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        listen = "127.0.0.1:0"
        ipv4 = "100.96.0.0/12"
        ipv6 = "2001:db8:1::/48"
        host = "edge.example.net"
    "#;

    fn checked(text: &str) -> Result<(), String> {
        toml::from_str::<Config>(text).map_err(|error| error.message().to_owned())?.check()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        checked(GOOD).unwrap();
        let cases = [
            ("100.96.0.0/12", "100.96.0.0/31", "ipv4: 100.96.0.0/31 is no pool"),
            ("100.96.0.0/12", "100.97.0.0/12", "ipv4: 100.97.0.0/12 is no pool"),
            ("2001:db8:1::/48", "2001:db8:1::/105", "ipv6: 2001:db8:1::/105 has no room"),
            ("edge.example.net", "edge.example.net:2408", "host: \"edge.example.net:2408\" is no"),
        ];
        for (good, bad, expected) in cases {
            let said = checked(&GOOD.replace(good, bad)).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
        let added = [
            ("ports = [0]", "ports: "),
            ("public_key = \"AAAA\"", "public_key: "),
            ("per_second = 0", "with a rate of 0"),
            ("hurry = true", "unknown field"),
        ];
        for (line, expected) in added {
            let said = checked(&format!("{GOOD}\n{line}")).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
