//! From the file's shape to its meaning: every rule that a profile must obey, each with its remedy.

use std::net::IpAddr;
use std::ops::Range as Span;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Spanned;

use super::file::{Assault, Device as DeviceFile, File, Hostile as HostileFile, Run, Spacing};
use super::streams::{Streams, Surroundings};
use super::{Device, Error, Profile, Tenants, Times};
use crate::attack::Attack;
use crate::client::{Hostile, Plan};
use crate::link::Range;
use crate::pace::{Pattern, Rate};
use crate::responder;

/// The longest time that a profile may name, seconds: a year.
const SECS_MAX: f64 = 365.0 * 86_400.0;

/// Rates beyond any link, so that what is owed in a year can still be counted.
const PACKETS_PER_SEC_MAX: f64 = 1e11;
const BITS_PER_SEC_MAX: f64 = 1e14;

/// The text and its name, so that every error can say where.
pub(super) struct Source<'a> {
    text: &'a str,
    path: &'a Path,
    /// Whether the text is the file's own.
    has_lines: bool,
    /// What every rate is multiplied by.
    factor: f64,
    /// Where one-way traffic may end.
    pub(super) responder: Option<responder::Plan>,
}

/// Checks a text.
pub(super) fn checked(text: &str, path: &Path, has_lines: bool) -> Result<Profile, Error> {
    let mut source = Source { text, path, has_lines, factor: 1.0, responder: None };
    let file: File = toml::from_str(text).map_err(|error| source.misread(&error))?;
    source.factor = source.positive(&file.run.factor, "run.factor")?;
    source.whole(&file)?;
    let ends = (file.seed, source.vlan(&file.device)?);
    source.responder = file.responder.as_ref().map(|r| source.responder(r, ends)).transpose()?;
    let outer = source.outer(&file)?;
    let plan = Plan {
        seed: file.seed,
        clients: source.count(&file.clients, &outer, file.traffic.is_some())?,
        vlan: source.vlan(&file.device)?,
        servers: source.servers(&file, &outer)?,
        hops: source.hops(&file, &outer)?,
        families: source.families(&file.clients, &outer)?,
        outer,
        first_port: *file.clients.first_port.get_ref(),
        routers: file.clients.routers.clone(),
        server_public: source.public_key(&file.server.public_key)?,
        preshared: file.clients.preshared,
        inner_v4: source.inner_v4(&file.clients),
        inner_v6: source.inner_v6(&file.clients),
        client_ids: source.client_ids(&file.clients)?,
        keepalive: Duration::from_secs(file.clients.keepalive_secs.into()),
        connects_per_sec: source.positive(&file.clients.connects_per_sec, "connects_per_sec")?,
        mtu: source.mtu(&file.clients)?,
        roam: file.roam.as_ref().map(|roam| source.roam(roam, &file)).transpose()?,
        hostile: None,
        reconnect: file.reconnect.as_ref().map(|times| source.reconnect(times)).transpose()?,
        traffic: file.traffic.as_ref().map(|t| source.traffic(t, &file)).transpose()?,
    };
    let mut profile = Profile {
        path: path.to_owned(),
        hostile: source.hostile(&file),
        tenants: source.tenants(&file.server.tenants)?,
        device: source.device(&file.device)?,
        plan,
        attacks: file.attack.iter().map(|a| source.assault(a)).collect::<Result<_, _>>()?,
        times: source.times(&file.run)?,
        loss_allowed: source.share(file.run.loss_allowed.as_ref(), "run.loss_allowed")?,
        responder: None,
        streams: Streams::default(),
    };
    let around = Surroundings { device: &file.device, plan: &profile.plan };
    profile.streams = source.streams((&file.synth, &file.replay), &around)?;
    profile.responder = source.responder;
    profile.enlist()?;
    profile.apart()?;
    Ok(profile)
}

/// An address with a length that its family has.
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, len) = text.split_once('/')?;
    let (address, len) = (address.parse::<IpAddr>().ok()?, len.parse().ok()?);
    let max = if address.is_ipv4() { 32 } else { 128 };
    (len <= max).then_some((address, len))
}

/// The text with changes applied to it; comments are lost.
pub(super) fn changed(text: &str, path: &Path, changes: &[String]) -> Result<String, Error> {
    let source = Source { text, path, has_lines: true, factor: 1.0, responder: None };
    let mut table: toml::Table = toml::from_str(text).map_err(|error| source.misread(&error))?;
    for change in changes {
        let wrong = |why: &str| {
            let what = format!("--set {change}: {why}; write --set traffic.rate=2kpps");
            Error { path: path.to_owned(), line: None, what }
        };
        let (key, value) = change.split_once('=').ok_or_else(|| wrong("has no ="))?;
        let mut place = &mut table;
        let mut parts: Vec<&str> = key.trim().split('.').collect();
        let last = parts.pop().filter(|last| !last.is_empty());
        let last = last.ok_or_else(|| wrong("has no key"))?;
        for part in parts {
            let entry = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            place =
                entry.as_table_mut().ok_or_else(|| wrong("names a part of what is no table"))?;
        }
        // What is no TOML value is meant as text: quotes rarely survive a shell.
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"));
        let value = parsed.ok().and_then(|mut table| table.remove("v"));
        let text = || toml::Value::String(change.split_once('=').map_or("", |both| both.1).into());
        place.insert(last.to_owned(), value.unwrap_or_else(text));
    }
    toml::to_string(&table).map_err(|error| source.error(&(0..0), error.to_string()))
}

impl Source<'_> {
    pub(super) fn error(&self, span: &Span<usize>, what: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let has_line = self.has_lines && *span != (0..0);
        let line = has_line.then(|| before.matches('\n').count() + 1);
        Error { path: self.path.to_owned(), line, what: what.into() }
    }

    /// What is wrong with the text or the type of a value; names the field, since the reader of types does not.
    fn misread(&self, error: &toml::de::Error) -> Error {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim_end();
        if message == "missing field `device`" {
            let what = "nothing says which device to use; add a section [device] with its name, or give --device net_af_packet0,iface=eth0";
            return self.error(&(0..0), what);
        }
        // All that stands before the end of the line with the fault.
        let rest = self.text.get(span.start..).and_then(|text| text.find('\n'));
        let before = self.text.get(..span.start + rest.unwrap_or(0)).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let section = before.lines().rev().find_map(|line| line.trim().strip_prefix('['));
        let section = section.map(|line| line.trim_matches(['[', ']', ' ']));
        let field = match (section, line.split_once('=')) {
            (Some(section), Some((key, _))) => format!("{section}.{}: ", key.trim()),
            (None, Some((key, _))) => format!("{}: ", key.trim()),
            (Some(section), None) if span != (0..0) => format!("[{section}]: "),
            _ => String::new(),
        };
        let wants = [
            ("expected f64", "expected a number"),
            ("expected usize", "expected a whole number"),
            ("expected u16", "expected a whole number up to 65535"),
            ("expected u32", "expected a whole number up to 4294967295"),
            ("expected u64", "expected a whole number"),
            ("expected a string", "expected text in quotes, of a rate with its unit: \"20kpps\""),
            ("socket address syntax", "address with port, such as \"192.0.2.1:51820\""),
        ];
        let wanted = wants
            .iter()
            .find_map(|(rust, people)| Some(format!("{}{people}", message.strip_suffix(rust)?)));
        self.error(&span, format!("{field}{}", wanted.as_deref().unwrap_or(message)))
    }

    /// Sections that need each other. Without clients, streams need no server.
    fn whole(&self, file: &File) -> Result<(), Error> {
        let missing = |what: &str| Err(self.error(&(0..0), what));
        let streams = file.synth.len() + file.replay.len() + file.attack.len();
        if file.clients.is_absent() && file.responder.is_none() && streams == 0 {
            return missing(
                "the profile has neither [clients] with their [server], nor a [responder], nor [[synth]], [[replay]] or [[attack]]; add what should run",
            );
        }
        if !file.clients.is_absent() && file.server.is_absent() {
            return missing("[clients] without [server]: give its public_key and endpoints");
        }
        if file.clients.is_absent() && (file.traffic.is_some() || file.roam.is_some()) {
            return missing(
                "[traffic] and [roam] are of [clients], which is missing; [[synth]] and [[replay]] need none",
            );
        }
        if !file.attack.is_empty() && file.server.is_absent() {
            return missing("[[attack]] without [server]: give its public_key and endpoints");
        }
        if !file.attack.is_empty()
            && file.clients.is_absent()
            && file.device.addresses.get_ref().is_empty()
        {
            return missing(
                "[[attack]] without [clients]: set device.addresses, so that the server can be found on the link",
            );
        }
        Ok(())
    }

    /// A path of the profile, which counts from where that is.
    pub(super) fn beside(&self, path: &Path) -> std::path::PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    fn device(&self, device: &DeviceFile) -> Result<Device, Error> {
        let name = device.name.get_ref().clone();
        if name.is_empty() {
            let what = "device.name is empty; name DPDK devargs such as net_af_packet0,iface=eth0, or a PCI address";
            return Err(self.error(&device.name.span(), what));
        }
        let DeviceFile { core, hugepages, megabytes, sleep, .. } = *device;
        Ok(Device { name, core, hugepages, megabytes, sleep })
    }

    fn vlan(&self, device: &DeviceFile) -> Result<Option<u16>, Error> {
        match &device.vlan {
            Some(vlan) if !(1..=4094).contains(vlan.get_ref()) => {
                let what = format!("device.vlan = {} is outside 1 to 4094", vlan.get_ref());
                Err(self.error(&vlan.span(), what))
            }
            vlan => Ok(vlan.as_ref().map(|vlan| *vlan.get_ref())),
        }
    }

    /// The endpoint for each row of addresses, in their order.
    fn tenants(&self, texts: &Spanned<Vec<String>>) -> Result<Tenants, Error> {
        let mut tenants = Tenants::default();
        for text in texts.get_ref() {
            let is_new = match prefix(text) {
                Some((IpAddr::V4(first), len)) => tenants.v4.replace((first, len)).is_none(),
                Some((IpAddr::V6(first), len)) => tenants.v6.replace((first, len)).is_none(),
                None => false,
            };
            if !is_new {
                let what = format!(
                    "server.tenants names {text:?}: give one prefix of each family at most, as 203.0.113.0/24"
                );
                return Err(self.error(&texts.span(), what));
            }
        }
        Ok(tenants)
    }

    fn servers(&self, file: &File, outer: &[Range]) -> Result<Vec<std::net::SocketAddr>, Error> {
        let endpoints = &file.server.endpoints;
        let servers: Option<Vec<_>> = outer
            .iter()
            .map(|row| {
                let mut all = endpoints.get_ref().iter();
                all.find(|to| to.is_ipv4() == row.first.is_ipv4()).copied()
            })
            .collect();
        servers.ok_or_else(|| {
            let what =
                "server.endpoints has to name one endpoint for each family of clients.addresses";
            self.error(&endpoints.span(), what)
        })
    }

    /// The gateway of each family if there is one, else the server itself.
    fn hops(&self, file: &File, outer: &[Range]) -> Result<Vec<IpAddr>, Error> {
        let servers = self.servers(file, outer)?;
        let hop = |server: &std::net::SocketAddr| {
            let gateways = &file.server.gateways;
            let gateway = gateways.iter().find(|hop| hop.is_ipv4() == server.is_ipv4());
            gateway.copied().unwrap_or_else(|| server.ip())
        };
        Ok(servers.iter().map(hop).collect())
    }

    fn public_key(&self, text: &Spanned<String>) -> Result<[u8; 32], Error> {
        if text.span() == (0..0) {
            // No section, so nobody to speak to.
            return Ok([0; 32]);
        }
        let octets = STANDARD.decode(text.get_ref().trim()).ok();
        octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| {
            let what = "server.public_key is not base64 of 32 octets; `wg pubkey` makes it from the server's private key";
            self.error(&text.span(), what)
        })
    }

    pub(super) fn positive(&self, value: &Spanned<f64>, name: &str) -> Result<f64, Error> {
        let number = *value.get_ref();
        if number.is_finite() && number > 0.0 {
            return Ok(number);
        }
        Err(self.error(&value.span(), format!("{name} = {number} has to be above 0")))
    }

    fn share(&self, value: Option<&Spanned<f64>>, name: &str) -> Result<Option<f64>, Error> {
        match value {
            Some(share) if !(0.0..=1.0).contains(share.get_ref()) => {
                let what = format!("{name} = {} is outside 0 to 1 (0.01 is 1 %)", share.get_ref());
                Err(self.error(&share.span(), what))
            }
            share => Ok(share.map(|share| *share.get_ref())),
        }
    }

    pub(super) fn secs(
        &self,
        span: &Span<usize>,
        secs: f64,
        name: &str,
    ) -> Result<Duration, Error> {
        if (0.0..=SECS_MAX).contains(&secs) {
            return Ok(Duration::from_secs_f64(secs));
        }
        Err(self.error(span, format!("{name} = {secs} is outside 0 to {SECS_MAX} seconds")))
    }

    #[expect(clippy::unused_self, reason = "beside its sisters")]
    fn hostile(&self, file: &File) -> Hostile {
        let HostileFile { local, silent, absent, unrouted } = file.hostile;
        Hostile { local, silent, absent, unrouted }
    }

    fn assault(&self, assault: &Assault) -> Result<super::Assault, Error> {
        let name = assault.name.get_ref();
        let attack = Attack::from_name(name).ok_or_else(|| {
            let what =
                format!("attack.name = \"{name}\" is none; `millrace-pktgen attacks` lists them");
            self.error(&assault.name.span(), what)
        })?;
        let rate = self.rate(&assault.rate)?;
        let pattern = self.pattern(&assault.pattern, &assault.rate)?;
        Ok(super::Assault { attack, rate, pattern })
    }

    pub(super) fn rate(&self, rate: &Spanned<String>) -> Result<Rate, Error> {
        let parsed = Rate::parse(rate.get_ref()).map(|rate| rate.times(self.factor));
        let text = rate.get_ref();
        let parsed = parsed.ok_or_else(|| {
            let what = format!("rate \"{text}\" is none such as 20kpps, 1Gbit/s or 10Gbit/s-l1");
            self.error(&rate.span(), what)
        })?;
        let (value, most, words) = match parsed {
            Rate::Packets(value) => (value, PACKETS_PER_SEC_MAX, "100 Gpps"),
            Rate::Layer1(value) | Rate::Layer2(value) => (value, BITS_PER_SEC_MAX, "100 Tbit/s"),
        };
        if value > 0.0 && value <= most {
            return Ok(parsed);
        }
        let what = format!(
            "rate \"{text}\" times run.factor is 0 or above {words}, which no device takes; lower it"
        );
        Err(self.error(&rate.span(), what))
    }

    pub(super) fn pattern(
        &self,
        pattern: &Spacing,
        place: &Spanned<String>,
    ) -> Result<Pattern, Error> {
        let wrong = |what: &str| self.error(&place.span(), what);
        match *pattern {
            Spacing::Constant => Ok(Pattern::Constant),
            Spacing::Poisson => Ok(Pattern::Poisson),
            Spacing::Bursts(0) => Err(wrong("pattern: bursts of 0 packets send nothing")),
            Spacing::Bursts(len) => Ok(Pattern::Bursts(len)),
            Spacing::Onoff { on_ms: 0, .. } => Err(wrong("pattern: on_ms = 0 sends nothing")),
            Spacing::Onoff { on_ms, off_ms } => Ok(Pattern::OnOff {
                on: u64::from(on_ms) * 1_000_000,
                off: u64::from(off_ms) * 1_000_000,
            }),
        }
    }

    fn times(&self, run: &Run) -> Result<Times, Error> {
        Ok(Times {
            connect: self.secs(&(0..0), run.connect_secs, "run.connect_secs")?,
            traffic: self.secs(&(0..0), run.secs, "run.secs")?,
            drain: self.secs(&(0..0), run.drain_secs, "run.drain_secs")?,
        })
    }
}
