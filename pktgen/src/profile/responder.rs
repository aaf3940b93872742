//! The `[responder]` section: the addresses behind the server, the tenants' tunnels, and what is served.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::check::Source;
use super::{Error, Profile};
use crate::link::Range;
use crate::responder::origin::CONNECTIONS_MAX;
use crate::responder::{ECHO_PORT, Plan, gre, origin};

/// Octets of a connection's buffers, KiB: a request's head has to fit, and memory is finite.
const BUFFER_KIB: std::ops::RangeInclusive<u32> = 4..=1024;
/// Memory of all connections at most, MiB.
const MEMORY_MAX_MIB: u64 = 4096;
/// How long `respond` runs when `run.secs` is 0: until it is stopped.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// The section.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Responder {
    #[serde(default = "no_rows")]
    addresses: Spanned<Vec<String>>,
    #[serde(default)]
    gateways: Vec<IpAddr>,
    #[serde(default)]
    gre: Vec<Gre>,
    #[serde(default = "ports")]
    ports: Spanned<Vec<u16>>,
    #[serde(default = "connections_max")]
    connections_max: Spanned<u32>,
    #[serde(default = "buffer_kib")]
    buffer_kib: Spanned<u32>,
}

fn no_rows() -> Spanned<Vec<String>> {
    Spanned::new(0..0, Vec::new())
}

fn ports() -> Spanned<Vec<u16>> {
    Spanned::new(0..0, vec![80])
}

fn connections_max() -> Spanned<u32> {
    Spanned::new(0..0, 1000)
}

fn buffer_kib() -> Spanned<u32> {
    Spanned::new(0..0, 32)
}

/// A tunnel.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gre {
    local: Spanned<IpAddr>,
    remote: Spanned<IpAddr>,
    key: Option<u32>,
    #[serde(default)]
    checksum: bool,
    #[serde(default)]
    sequence: bool,
    inner: Spanned<Vec<String>>,
    #[serde(default = "never")]
    keepalive_secs: Spanned<f64>,
    #[serde(default)]
    faults: Vec<Fault>,
}

fn never() -> Spanned<f64> {
    Spanned::new(0..0, 0.0)
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Fault {
    Key,
    Source,
    Silent,
}

impl Source<'_> {
    /// The section's meaning.
    pub(super) fn responder(
        &self,
        file: &Responder,
        (seed, vlan): (u64, Option<u16>),
    ) -> Result<Plan, Error> {
        let addresses = self.rows(&file.addresses, "responder.addresses")?;
        if addresses.is_empty() && file.gre.is_empty() {
            let what = "responder has neither addresses nor a [[responder.gre]], so nothing can reach it; add responder.addresses = [\"198.51.100.10+16\"]";
            return Err(self.error(&file.addresses.span(), what));
        }
        let tunnels: Vec<_> =
            file.gre.iter().map(|gre| self.tunnel(gre, file)).collect::<Result<_, _>>()?;
        let mut known = HashSet::new();
        for (plan, gre) in tunnels.iter().zip(&file.gre) {
            if !known.insert((plan.local, plan.remote, plan.key)) {
                let what = "responder.gre: two tunnels have the same local, remote and key; give one another key";
                return Err(self.error(&gre.local.span(), what));
            }
        }
        Ok(Plan { seed, vlan, addresses, tunnels, origin: self.origin(file)? })
    }

    fn tunnel(&self, gre: &Gre, file: &Responder) -> Result<gre::Plan, Error> {
        let (local, remote) = (*gre.local.get_ref(), *gre.remote.get_ref());
        if local.is_ipv4() != remote.is_ipv4() || local == remote {
            let what = format!(
                "responder.gre: local {local} and remote {remote} have to be two addresses of one family"
            );
            return Err(self.error(&gre.remote.span(), what));
        }
        let inner = self.rows(&gre.inner, "responder.gre.inner")?;
        if inner.is_empty() {
            let what = "responder.gre.inner is empty; name the tenant's addresses, such as [\"203.0.113.0+256\"]";
            return Err(self.error(&gre.inner.span(), what));
        }
        let gateway = file.gateways.iter().find(|hop| hop.is_ipv4() == remote.is_ipv4());
        let secs = gre.keepalive_secs.get_ref();
        let has = |fault| gre.faults.contains(&fault);
        Ok(gre::Plan {
            local,
            remote,
            key: gre.key,
            checksum: gre.checksum,
            sequence: gre.sequence,
            inner,
            keepalive: self.keepalive(*secs, &gre.keepalive_secs)?,
            hop: gateway.copied().unwrap_or(remote),
            faults: gre::Faults {
                key: has(Fault::Key),
                source: has(Fault::Source),
                silent: has(Fault::Silent),
            },
        })
    }

    fn keepalive(&self, secs: f64, place: &Spanned<f64>) -> Result<Duration, Error> {
        let time = self.secs(&place.span(), secs, "responder.gre.keepalive_secs")?;
        if time.is_zero() || time >= Duration::from_millis(1) {
            return Ok(time);
        }
        let what = "responder.gre.keepalive_secs is below a millisecond; 0 sends none";
        Err(self.error(&place.span(), what))
    }

    fn origin(&self, file: &Responder) -> Result<origin::Plan, Error> {
        let ports = file.ports.get_ref();
        if ports.iter().any(|port| [0, ECHO_PORT].contains(port)) {
            let what = "responder.ports: 0 is no port, and 7 echoes; name others, such as [80]";
            return Err(self.error(&file.ports.span(), what));
        }
        let (count, kib) = (*file.connections_max.get_ref(), *file.buffer_kib.get_ref());
        if !(1..=CONNECTIONS_MAX).contains(&count) {
            let what =
                format!("responder.connections_max = {count} is outside 1 to {CONNECTIONS_MAX}");
            return Err(self.error(&file.connections_max.span(), what));
        }
        if !BUFFER_KIB.contains(&kib) {
            let (least, most) = (BUFFER_KIB.start(), BUFFER_KIB.end());
            let what = format!("responder.buffer_kib = {kib} is outside {least} to {most}");
            return Err(self.error(&file.buffer_kib.span(), what));
        }
        let memory = u64::from(count) * u64::from(kib) * 2 / 1024;
        if memory > MEMORY_MAX_MIB {
            let what = format!(
                "responder.connections_max times two buffers is {memory} MiB, more than {MEMORY_MAX_MIB}; lower buffer_kib or connections_max"
            );
            return Err(self.error(&file.connections_max.span(), what));
        }
        let buffer = usize::try_from(kib).unwrap_or(usize::MAX).saturating_mul(1024);
        Ok(origin::Plan { ports: ports.clone(), connections_max: count, buffer })
    }
}

impl Profile {
    /// Clients and responder share a device, so each address on the link has to be of one of them.
    ///
    /// # Errors
    /// When one is of both.
    pub(super) fn apart(&self) -> Result<(), Error> {
        let Some(responder) = &self.responder else { return Ok(()) };
        let routers = self.plan.routers.iter().map(|&first| Range { first, count: 1 });
        let theirs: Vec<_> = self.plan.outer.iter().copied().chain(routers).collect();
        let locals = responder.tunnels.iter().map(|t| Range { first: t.local, count: 1 });
        let both = responder.addresses.iter().copied().chain(locals).find(|own| {
            let meets = |row: &Range| {
                row.position(own.first).is_some() || own.position(row.first).is_some()
            };
            theirs.iter().any(meets)
        });
        let Some(both) = both else { return Ok(()) };
        let what = format!(
            "the row from {} is both the responder's and the clients'; give them addresses apart",
            both.first
        );
        Err(Error { path: self.path.clone(), line: None, what })
    }

    /// The profile with nothing but its responder; it runs until it is stopped if `run.secs` is 0.
    ///
    /// # Errors
    /// When there is none.
    pub fn respond(mut self) -> Result<Self, Error> {
        if self.responder.is_none() {
            let what = "has no [responder]; add one with addresses = [\"198.51.100.10+16\"]".into();
            return Err(Error { path: self.path, line: None, what });
        }
        let plan = &mut self.plan;
        (plan.clients, plan.traffic, plan.hostile) = (0, None, None);
        (plan.hops, plan.servers, plan.outer, plan.routers) = Default::default();
        self.attacks.clear();
        self.streams = super::Streams::default();
        if self.times.traffic.is_zero() {
            self.times.traffic = FOREVER;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const GOOD: &str = r#"[device]
name = "net_af_packet0,iface=eth0"
vlan = 9
[responder]
addresses = ["198.51.100.10+16", "2001:db8:f::10"]
ports = [80, 8080]
connections_max = 10000
buffer_kib = 8
gateways = ["192.0.2.254"]
[[responder.gre]]
local = "198.51.100.2"
remote = "192.0.2.1"
key = 7
inner = ["203.0.113.0+256", "2001:db8:4::+16"]
keepalive_secs = 0.5
faults = ["silent"]
[[responder.gre]]
local = "2001:db8:2::2"
remote = "2001:db8::1"
checksum = true
sequence = true
inner = ["203.0.113.0+256"]
"#;

    fn parse(text: &str) -> Result<Profile, Error> {
        Profile::parse(text, Path::new("p.toml"), &[])
    }

    #[test]
    fn a_responder_alone_is_a_whole_profile() {
        let profile = parse(GOOD).unwrap();
        assert_eq!((profile.plan.clients, profile.plan.hops.len()), (0, 0));
        let plan = profile.responder.as_ref().unwrap();
        assert_eq!((plan.vlan, plan.addresses.len()), (Some(9), 2));
        let [one, two] = &plan.tunnels[..] else { panic!() };
        assert_eq!((one.key, one.keepalive), (Some(7), Duration::from_millis(500)));
        assert_eq!(one.hop, "192.0.2.254".parse::<IpAddr>().unwrap());
        assert!(one.faults.silent && !one.faults.key && two.checksum && two.sequence);
        assert_eq!(two.hop, two.remote);
        assert_eq!(plan.origin.buffer, 8192);
        let endless = format!("{GOOD}[run]\nsecs = 0\n");
        assert_eq!(parse(&endless).unwrap().respond().unwrap().times.traffic, FOREVER);
    }

    #[test]
    fn every_mistake_names_its_line_and_what_to_write() {
        let cases = [
            ("198.51.100.10+16", "198.51.100.10-16", 5, "no row such as"),
            ("[80, 8080]", "[80, 7]", 6, "7 echoes"),
            ("10000", "200000", 7, "outside 1 to"),
            ("buffer_kib = 8", "buffer_kib = 1", 8, "outside 4 to"),
            ("buffer_kib = 8", "buffer_kib = 1000", 7, "lower buffer_kib"),
            ("remote = \"192.0.2.1\"", "remote = \"2001:db8::9\"", 12, "of one family"),
            ("key = 7", "key = -7", 13, "u32"),
            ("[\"203.0.113.0+256\", \"2001:db8:4::+16\"]", "[]", 14, "203.0.113.0+256"),
            ("0.5", "1e-9", 15, "below a millisecond"),
            ("0.5", "-1", 15, "outside 0"),
            ("silent", "deaf", 16, "silent"),
        ];
        for (good, bad, line, words) in cases {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good}");
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("p.toml:{line}: ")), "{bad}: {error}");
            assert!(error.contains(words), "{bad}: {error}");
        }
        let twice = GOOD.split_once("[[").unwrap();
        let tunnel = twice.1.split_once("[[").unwrap().0;
        let error = parse(&format!("{GOOD}[[{tunnel}")).unwrap_err().to_string();
        assert!(error.contains("another key"), "{error}");
    }

    #[test]
    fn clients_and_responder_have_addresses_apart_and_one_way_traffic_may_end_there() {
        let both = |addresses: &str, to: &str| {
            let clients = format!(
                "[server]\npublic_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\nendpoints = [\"192.0.2.1:1\"]\n[clients]\ncount = 2\ninner = [\"10.7.0.1\"]\naddresses = [\"{addresses}\"]\n"
            );
            let traffic = format!(
                "[traffic]\nkind = \"one-way\"\nto = \"{to}\"\nsizes = 64\nrate = \"1pps\"\n"
            );
            parse(&format!("{GOOD}{clients}{traffic}")).map_err(|error| error.to_string())
        };
        for (to, elsewhere) in
            [("198.51.100.12", false), ("203.0.113.200", false), ("10.7.0.1", true)]
        {
            let traffic = both("192.0.2.10+4", to).unwrap().plan.traffic.unwrap();
            assert_eq!(traffic.is_measured_elsewhere, elsewhere, "{to}");
        }
        for bad in ["198.51.100.25+4", "198.51.100.1+100", "198.51.100.2"] {
            let error = both(bad, "198.51.100.12").unwrap_err();
            assert!(error.contains("addresses apart"), "{error}");
        }
    }

    #[test]
    fn sections_that_miss_each_other_say_so() {
        let nothing = "[device]\nname = \"net_null0\"\n";
        let error = parse(nothing).unwrap_err().to_string();
        assert!(error.contains("[clients]") && error.contains("[responder]"), "{error}");
        let traffic = "[traffic]\nkind = \"ping\"\nto = \"clients\"\nsizes = 64\nrate = \"1pps\"\n";
        let error = parse(&format!("{GOOD}{traffic}")).unwrap_err().to_string();
        assert!(error.contains("[clients]"), "{error}");
        let empty = parse(&format!("{nothing}[responder]\n")).unwrap_err().to_string();
        assert!(empty.contains("nothing can reach it"), "{empty}");
    }
}
