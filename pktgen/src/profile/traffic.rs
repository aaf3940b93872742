//! The `[traffic]` section: what the clients send, to whom, how long and how fast, and when it is sealed.

use std::net::IpAddr;
use std::ops::Range as Span;

use toml::Spanned;

use super::Error;
use super::check::Source;
use super::file::{Aead, File, Ports as PortsFile, Traffic as TrafficFile};
use crate::client::{Family, Kind, Ports, Sealing, Spread, Target, Traffic};
use crate::link::Range;
use crate::size::Sizes;

/// Memory of a prepared pool, MiB.
const POOL_MEGABYTES: u32 = 1024;
/// The longest run that is sealed ahead, seconds from the first handshake to the last packet: a session is renewed
/// after 120 s, and sealing takes time as well.
const PREPARED_SECS_MAX: f64 = 110.0;

impl Source<'_> {
    pub(super) fn traffic(&self, traffic: &TrafficFile, file: &File) -> Result<Traffic, Error> {
        let target = self.target(traffic)?;
        Ok(Traffic {
            kind: traffic.kind,
            flags: self.flags(traffic)?,
            target,
            is_measured_elsewhere: self.is_measured_elsewhere(traffic.kind, target),
            spread: self.spread(traffic)?,
            sealing: self.sealing(traffic, file)?,
            family: traffic.family,
            sizes: self.sizes(traffic, usize::from(*file.clients.mtu.get_ref()))?,
            rate: self.rate(&traffic.rate)?,
            pattern: self.pattern(&traffic.pattern, &traffic.rate)?,
        })
    }

    /// What does not come back is seen by the clients, or by the responder, which follows datagrams.
    fn is_measured_elsewhere(&self, kind: Kind, target: Target) -> bool {
        let is_ours = |address| self.responder.as_ref().is_some_and(|plan| plan.has(address));
        let arrives_here = match target {
            Target::Clients => true,
            Target::Host(host) => kind == Kind::OneWay && is_ours(host),
            Target::Hosts(row) => {
                kind == Kind::OneWay && (0..row.count).all(|nth| is_ours(row.at(nth)))
            }
        };
        !kind.returns() && !arrives_here
    }

    /// One address, a row of them (`198.51.100.0+256`), or the clients.
    fn target(&self, traffic: &TrafficFile) -> Result<Target, Error> {
        let (text, span) = (traffic.to.get_ref(), traffic.to.span());
        if text == "clients" {
            return Ok(Target::Clients);
        }
        let (first, count) = text.split_once('+').unwrap_or((text, "1"));
        let row = first.trim().parse::<IpAddr>().ok().zip(count.trim().parse::<u32>().ok());
        let (first, count) = row.filter(|(_, count)| *count > 0).ok_or_else(|| {
            let what = format!(
                "traffic.to = \"{text}\" is neither an inner address, nor a row such as 198.51.100.0+256, nor \"clients\""
            );
            self.error(&span, what)
        })?;
        if first.is_ipv4() != (traffic.family == Family::V4) {
            let what = format!("traffic.to = {first} is not of traffic.family; name the other one");
            return Err(self.error(&span, what));
        }
        Ok(if count == 1 { Target::Host(first) } else { Target::Hosts(Range { first, count }) })
    }

    fn spread(&self, traffic: &TrafficFile) -> Result<Spread, Error> {
        let ports = |text: &Option<Spanned<PortsFile>>, name| {
            text.as_ref().map(|text| self.port_row(text, name)).transpose()
        };
        let spread = Spread {
            ports: ports(&traffic.ports, "ports")?,
            source_ports: ports(&traffic.source_ports, "source_ports")?,
            order: traffic.order,
        };
        let wrong = match traffic.kind {
            Kind::Echo => traffic.ports.as_ref(),
            Kind::Ping => traffic.ports.as_ref().or(traffic.source_ports.as_ref()),
            Kind::OneWay | Kind::Tcp => None,
        };
        match wrong {
            Some(text) => {
                let what = "traffic.ports does not go with this traffic.kind: echo has its own port, ping none; use \"one-way\" or \"tcp\"";
                Err(self.error(&text.span(), what))
            }
            None => Ok(spread),
        }
    }

    /// `1024..65535`, both ends included, or a single port.
    fn port_row(&self, text: &Spanned<PortsFile>, name: &str) -> Result<Ports, Error> {
        let row = match text.get_ref() {
            PortsFile::One(port) => port.to_string(),
            PortsFile::Row(row) => row.clone(),
        };
        let (first, last) = row.split_once("..").unwrap_or((&row, &row));
        let last = last.strip_prefix('=').unwrap_or(last);
        let both = first.trim().parse().ok().zip(last.trim().parse().ok());
        let both = both.filter(|(first, last)| 0 < *first && first <= last);
        both.map(|(first, last)| Ports { first, last }).ok_or_else(|| {
            let what = format!(
                "traffic.{name} = \"{row}\" is no row of ports such as 1024..65535 (first and last)"
            );
            self.error(&text.span(), what)
        })
    }

    fn flags(&self, traffic: &TrafficFile) -> Result<Option<u8>, Error> {
        let Some(text) = &traffic.flags else { return Ok(None) };
        if traffic.kind != Kind::Tcp {
            let what = "traffic.flags needs traffic.kind = \"tcp\"";
            return Err(self.error(&text.span(), what));
        }
        Ok(self.control_bits(Some(text), "traffic.flags")?.map(|flags| flags.0))
    }

    /// When packets are sealed. What is sealed ahead cannot follow its client, and nothing may be sealed between.
    fn sealing(&self, traffic: &TrafficFile, file: &File) -> Result<Sealing, Error> {
        let aead = traffic.aead.as_ref().filter(|aead| *aead.get_ref() == Aead::Prepared);
        let Some(aead) = aead else {
            return match &traffic.pool_megabytes {
                Some(pool) => {
                    let what = "traffic.pool_megabytes needs traffic.aead = \"prepared\"";
                    Err(self.error(&pool.span(), what))
                }
                None => Ok(Sealing::Live),
            };
        };
        let span: Span<usize> = aead.span();
        if file.roam.is_some() || file.reconnect.is_some() {
            let what = "traffic.aead = \"prepared\" seals for the addresses and sessions of the begin: leave [roam] and [reconnect] out";
            return Err(self.error(&span, what));
        }
        if traffic.kind.returns() && traffic.to.get_ref() == "clients" {
            let what = "traffic.aead = \"prepared\" leaves the clients no counters for answers: use traffic.kind = \"one-way\", or send to a host";
            return Err(self.error(&span, what));
        }
        let secs = file.run.connect_secs + file.run.secs;
        if secs > PREPARED_SECS_MAX {
            let what = format!(
                "traffic.aead = \"prepared\": run.connect_secs + run.secs = {secs} is more than {PREPARED_SECS_MAX} s, and sessions are renewed after 120 s; lower run.secs"
            );
            return Err(self.error(&span, what));
        }
        let megabytes =
            traffic.pool_megabytes.as_ref().map_or(POOL_MEGABYTES, |pool| *pool.get_ref());
        Ok(Sealing::Prepared(u64::from(megabytes) << 20))
    }

    fn sizes(&self, traffic: &TrafficFile, max: usize) -> Result<Sizes, Error> {
        let span = traffic.sizes.span();
        let sizes = self.lengths(&traffic.sizes, "traffic.sizes")?;
        let min = Traffic::inner_len_min(traffic.kind, traffic.family);
        if sizes.min() < min || sizes.max() > max {
            let what = format!(
                "traffic.sizes has lengths outside {min} (headers and trailer) to {max} (clients.mtu)"
            );
            return Err(self.error(&span, what));
        }
        Ok(sizes)
    }
}
