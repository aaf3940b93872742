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
use super::{Device, Error, Profile, Times};
use crate::attack::Attack;
use crate::client::{Hostile, Plan};
use crate::link::Range;
use crate::pace::{Pattern, Rate};
use crate::responder;

/// The longest time that a profile may name, seconds: a year.
const SECS_MAX: f64 = 365.0 * 86_400.0;

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
    let file: File = toml::from_str(text)
        .map_err(|error| source.error(&error.span().unwrap_or(0..0), error.message()))?;
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
        device: source.device(&file.device)?,
        plan,
        attacks: file.attack.iter().map(|a| source.assault(a)).collect::<Result<_, _>>()?,
        times: source.times(&file.run)?,
        loss_allowed: file.run.loss_allowed,
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

/// The text with changes applied to it; comments are lost.
pub(super) fn changed(text: &str, path: &Path, changes: &[String]) -> Result<String, Error> {
    let source = Source { text, path, has_lines: true, factor: 1.0, responder: None };
    let mut table: toml::Table = toml::from_str(text)
        .map_err(|error| source.error(&error.span().unwrap_or(0..0), error.message()))?;
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
        parsed.ok_or_else(|| {
            let text = rate.get_ref();
            let what = format!("rate \"{text}\" is none such as 20kpps, 1Gbit/s or 10Gbit/s-l1");
            self.error(&rate.span(), what)
        })
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
