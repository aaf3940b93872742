//! From the file's shape to its meaning: every rule that a profile must obey, each with its remedy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range as Span;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Spanned;

use super::file::{Assault, Device as DeviceFile, Traffic as TrafficFile};
use super::file::{Clients, File, Roam as RoamFile, Run, Sizes as SizesFile, Spacing};
use super::{Device, Error, Profile, Times};
use crate::attack::Attack;
use crate::client::{
    CLIENTS_MAX, ClientIds, Family, INNER_LEN_MAX, Kind, Plan, Roam, RoamKind, RoamTime, Target,
    Traffic,
};
use crate::link::Range;
use crate::pace::{Pattern, Rate};
use crate::size::Sizes;

/// The longest time that a profile may name, seconds: a year.
const SECS_MAX: f64 = 365.0 * 86_400.0;

/// The text and its name, so that every error can say where.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
    /// Whether the text is the file's own.
    has_lines: bool,
}

/// Checks a text.
pub(super) fn checked(text: &str, path: &Path, has_lines: bool) -> Result<Profile, Error> {
    let source = Source { text, path, has_lines };
    let file: File = toml::from_str(text)
        .map_err(|error| source.error(&error.span().unwrap_or(0..0), error.message()))?;
    let outer = source.outer(&file)?;
    let plan = Plan {
        seed: file.seed,
        clients: source.count(&file.clients, &outer, file.traffic.is_some())?,
        vlan: source.vlan(&file.device)?,
        servers: source.servers(&file, &outer)?,
        hops: source.hops(&file, &outer)?,
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
        traffic: file.traffic.as_ref().map(|t| source.traffic(t, &file.clients)).transpose()?,
    };
    Ok(Profile {
        device: source.device(&file.device)?,
        plan,
        attacks: file.attack.iter().map(|a| source.assault(a)).collect::<Result<_, _>>()?,
        times: source.times(&file.run)?,
        loss_allowed: file.run.loss_allowed,
    })
}

/// The text with changes applied to it; comments are lost.
pub(super) fn changed(text: &str, path: &Path, changes: &[String]) -> Result<String, Error> {
    let source = Source { text, path, has_lines: true };
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
    fn error(&self, span: &Span<usize>, what: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let has_line = self.has_lines && *span != (0..0);
        let line = has_line.then(|| before.matches('\n').count() + 1);
        Error { path: self.path.to_owned(), line, what: what.into() }
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

    /// Rows of outer addresses: `192.0.2.10+40` is the first and how many.
    fn outer(&self, file: &File) -> Result<Vec<Range>, Error> {
        let texts = &file.clients.addresses;
        let rows = texts.get_ref().iter().map(|text| {
            let (first, count) = text.split_once('+').unwrap_or((text, "1"));
            let range = first.trim().parse().ok().zip(count.trim().parse().ok());
            range.filter(|(_, count)| *count > 0).map_or_else(
                || {
                    let what = format!("clients.addresses: \"{text}\" is no row such as 192.0.2.10+40 (the first, how many)");
                    Err(self.error(&texts.span(), what))
                },
                |(first, count)| Ok(Range { first, count }),
            )
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let families = rows.iter().filter(|row| row.first.is_ipv4()).count();
        if rows.is_empty() || families > 1 || rows.len() - families > 1 {
            let what = "clients.addresses has to name one row, or one of each family";
            return Err(self.error(&texts.span(), what));
        }
        Ok(rows)
    }

    fn count(&self, clients: &Clients, outer: &[Range], has_traffic: bool) -> Result<u32, Error> {
        let (count, span) = (*clients.count.get_ref(), clients.count.span());
        if count > CLIENTS_MAX || (count == 0 && has_traffic) {
            let what = format!(
                "clients.count = {count} is outside 1 to {CLIENTS_MAX}; 0 is good only without traffic"
            );
            return Err(self.error(&span, what));
        }
        let ports = u64::from(u16::MAX - *clients.first_port.get_ref()) + 1;
        let share = u64::from(count).div_ceil(outer.len().max(1) as u64);
        // One port more on each address, so that everybody can move.
        match outer.iter().find(|row| share > u64::from(row.count) * (ports - 1)) {
            Some(row) => {
                let what = format!(
                    "clients.count = {count} does not fit on {} addresses from {} with the ports from clients.first_port on; give clients.addresses more",
                    row.count, row.first
                );
                Err(self.error(&span, what))
            }
            None => Ok(count),
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
        let octets = STANDARD.decode(text.get_ref().trim()).ok();
        octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| {
            let what = "server.public_key is not base64 of 32 octets; `wg pubkey` makes it from the server's private key";
            self.error(&text.span(), what)
        })
    }

    #[expect(clippy::unused_self, reason = "beside its sisters")]
    fn inner_v4(&self, clients: &Clients) -> Ipv4Addr {
        let found = clients.inner.get_ref().iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        found.unwrap_or(Ipv4Addr::new(10, 7, 1, 1))
    }

    #[expect(clippy::unused_self, reason = "beside its sisters")]
    fn inner_v6(&self, clients: &Clients) -> Ipv6Addr {
        let found = clients.inner.get_ref().iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        found.unwrap_or(Ipv6Addr::new(0xfd07, 0, 0, 1, 0, 0, 0, 1))
    }

    fn client_ids(&self, clients: &Clients) -> Result<ClientIds, Error> {
        let Some(first) = &clients.client_id else { return Ok(ClientIds::Omitted) };
        let last = first.get_ref().checked_add(*clients.count.get_ref());
        if last.is_none_or(|last| last > 1 << 24) {
            let what = "clients.client_id plus clients.count exceeds the 24 bits of a client id; begin lower";
            return Err(self.error(&first.span(), what));
        }
        Ok(ClientIds::From(*first.get_ref()))
    }

    fn mtu(&self, clients: &Clients) -> Result<u16, Error> {
        let mtu = *clients.mtu.get_ref();
        if (576..=INNER_LEN_MAX).contains(&usize::from(mtu)) {
            return Ok(mtu);
        }
        let what = format!("clients.mtu = {mtu} is outside 576 to {INNER_LEN_MAX}");
        Err(self.error(&clients.mtu.span(), what))
    }

    fn positive(&self, value: &Spanned<f64>, name: &str) -> Result<f64, Error> {
        let number = *value.get_ref();
        if number.is_finite() && number > 0.0 {
            return Ok(number);
        }
        Err(self.error(&value.span(), format!("{name} = {number} has to be above 0")))
    }

    fn secs(&self, span: &Span<usize>, secs: f64, name: &str) -> Result<Duration, Error> {
        if (0.0..=SECS_MAX).contains(&secs) {
            return Ok(Duration::from_secs_f64(secs));
        }
        Err(self.error(span, format!("{name} = {secs} is outside 0 to {SECS_MAX} seconds")))
    }

    fn roam(&self, roam: &Spanned<RoamFile>, file: &File) -> Result<Roam, Error> {
        let (span, roam) = (roam.span(), roam.get_ref());
        let rows = self.outer(file)?;
        if roam.kind == RoamKind::Address && rows.iter().any(|row| row.count < 2) {
            let what =
                "roam.kind = \"address\" needs rows of two addresses or more in clients.addresses";
            return Err(self.error(&span, what));
        }
        let time = match (roam.mean_secs, roam.spread_secs) {
            (Some(mean), None) if mean > 0.0 => {
                RoamTime::Random(self.secs(&span, mean, "roam.mean_secs")?)
            }
            (None, Some(spread)) if spread > 0.0 => RoamTime::Waves {
                after: self.secs(&span, roam.after_secs, "roam.after_secs")?,
                spread: self.secs(&span, spread, "roam.spread_secs")?,
                every: self.secs(&span, roam.every_secs, "roam.every_secs")?,
            },
            _ => {
                let what =
                    "roam needs either mean_secs (at random) or spread_secs (in waves), above 0";
                return Err(self.error(&span, what));
            }
        };
        match time {
            RoamTime::Waves { spread, every, .. } if !every.is_zero() && every <= spread => {
                let what = "roam.every_secs has to be more than spread_secs, or 0 for one wave";
                Err(self.error(&span, what))
            }
            RoamTime::Waves { .. } | RoamTime::Random(_) => Ok(Roam { kind: roam.kind, time }),
        }
    }

    fn traffic(&self, traffic: &TrafficFile, clients: &Clients) -> Result<Traffic, Error> {
        let rate = self.rate(&traffic.rate)?;
        let factor = self.positive(&traffic.factor, "traffic.factor")?;
        Ok(Traffic {
            kind: traffic.kind,
            target: self.target(traffic)?,
            family: traffic.family,
            sizes: self.sizes(traffic, clients)?,
            rate: rate.times(factor),
            pattern: self.pattern(&traffic.pattern, &traffic.rate)?,
        })
    }

    fn target(&self, traffic: &TrafficFile) -> Result<Target, Error> {
        let (text, span) = (traffic.to.get_ref(), traffic.to.span());
        if text == "clients" {
            return Ok(Target::Clients);
        }
        let host: IpAddr = text.parse().map_err(|_| {
            let what =
                format!("traffic.to = \"{text}\" is neither an inner address nor \"clients\"");
            self.error(&span, what)
        })?;
        if host.is_ipv4() != (traffic.family == Family::V4) {
            let what = format!("traffic.to = {host} is not of traffic.family");
            return Err(self.error(&span, what));
        }
        if traffic.kind == Kind::OneWay {
            let what = "traffic.kind = \"one-way\" is measured where it arrives, so traffic.to has to be \"clients\"; use \"echo\" towards a host";
            return Err(self.error(&span, what));
        }
        Ok(Target::Host(host))
    }

    fn sizes(&self, traffic: &TrafficFile, clients: &Clients) -> Result<Sizes, Error> {
        let span = traffic.sizes.span();
        let sizes = match traffic.sizes.get_ref() {
            SizesFile::One(len) => Sizes::list(&[*len]),
            SizesFile::List(list) => Sizes::list(list),
            SizesFile::Named(name) if name == "imix" => Some(Sizes::imix()),
            SizesFile::Named(_) => None,
        };
        let sizes = sizes.ok_or_else(|| {
            self.error(&span, "traffic.sizes is neither a length, nor a list of them, nor \"imix\"")
        })?;
        let min = Traffic::inner_len_min(traffic.family);
        let max = usize::from(*clients.mtu.get_ref());
        if sizes.min() < min || sizes.max() > max {
            let what = format!(
                "traffic.sizes has lengths outside {min} (headers and trailer) to {max} (clients.mtu)"
            );
            return Err(self.error(&span, what));
        }
        Ok(sizes)
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

    fn rate(&self, rate: &Spanned<String>) -> Result<Rate, Error> {
        Rate::parse(rate.get_ref()).ok_or_else(|| {
            let text = rate.get_ref();
            let what = format!("rate \"{text}\" is none such as 20kpps, 1Gbit/s or 10Gbit/s-l1");
            self.error(&rate.span(), what)
        })
    }

    fn pattern(&self, pattern: &Spacing, place: &Spanned<String>) -> Result<Pattern, Error> {
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
