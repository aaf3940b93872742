//! The `[[synth]]` and `[[replay]]` sections: packets from a pattern, and captures; and where on the link they go.

mod shape;

pub(super) use shape::{ReplayFile, SynthFile};

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Spanned;
use wire::ethernet::Mac;
use wire::tcp::Flags;

use shape::Text;

use super::Error;
use super::check::Source;
use super::file::{Device as DeviceFile, File};
use crate::client::Plan;
use crate::link::Range;
use crate::pace::{Pattern, Rate};
use crate::rewrite::{Move, PortMove, Rewrite, Side, Tag};
use crate::synth::{self, Addresses, Ports, Protocol, same_family};

/// Streams that trailers can tell apart.
const SYNTHS_MAX: usize = 200;
/// The longest IP packet of a frame.
const PACKET_LEN_MAX: usize = 1500;
/// For experiments on one's own link (IEEE 802), so that nobody takes the octets behind it for a packet.
const ETHERTYPE_EXPERIMENT: u16 = 0x88b5;

/// The next hop of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Its link address.
    Station(Mac),
    /// Its address, to be asked for.
    Gateway(IpAddr),
}

/// Packets from a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Synth {
    /// Its name in reports.
    pub name: String,
    /// The packets.
    pub plan: synth::Plan,
    /// Where they go.
    pub hop: Hop,
    /// How fast.
    pub rate: Rate,
    /// How spread.
    pub pattern: Pattern,
}

/// The pace of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As recorded, so many times as fast.
    Recorded(f64),
    /// At a rate.
    Rate(Rate, Pattern),
}

/// A capture.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Its name in reports.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// When its frames leave.
    pub pace: Pace,
    /// How often all of it is sent; 0 for the whole run.
    pub rounds: u32,
    /// What changes; the link addresses follow from `hops`.
    pub rewrite: Rewrite,
    /// Where its IPv4 and IPv6 packets go. Without both, link addresses stay.
    pub hops: [Option<Hop>; 2],
}

/// The streams of a profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Streams {
    /// Our addresses on the link, beside those of the clients.
    pub addresses: Vec<Range>,
    /// Packets from patterns.
    pub synths: Vec<Synth>,
    /// Captures.
    pub replays: Vec<Replay>,
}

impl Streams {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.synths.is_empty() && self.replays.is_empty()
    }

    /// The next hops that have to be asked for, each once.
    pub fn gateways(&self) -> Vec<IpAddr> {
        let synths = self.synths.iter().map(|synth| synth.hop);
        let replays = self.replays.iter().flat_map(|replay| replay.hops.into_iter().flatten());
        let mut gateways: Vec<IpAddr> = synths
            .chain(replays)
            .filter_map(|hop| match hop {
                Hop::Gateway(address) => Some(address),
                Hop::Station(_) => None,
            })
            .collect();
        gateways.sort_unstable();
        gateways.dedup();
        gateways
    }

    /// Addresses that we ask from and answer for: those given, else the sources of the packets.
    pub fn own_addresses(&self) -> Vec<Range> {
        if self.addresses.is_empty() {
            return self.synths.iter().map(|synth| synth.plan.source.range).collect();
        }
        self.addresses.clone()
    }
}

/// What the sections have in common.
pub(super) struct Surroundings<'a> {
    pub(super) device: &'a DeviceFile,
    pub(super) plan: &'a Plan,
}

impl Surroundings<'_> {
    /// The next hop of a family that the profile names elsewhere.
    fn hop(&self, is_ipv4: bool) -> Option<Hop> {
        let of_family = |hop: &&IpAddr| hop.is_ipv4() == is_ipv4;
        let device = self.device.gateways.iter().find(of_family);
        device.or_else(|| self.plan.hops.iter().find(of_family)).map(|hop| Hop::Gateway(*hop))
    }
}

impl Source<'_> {
    pub(super) fn streams(
        &self,
        (synths, replays): (&[SynthFile], &[ReplayFile]),
        around: &Surroundings<'_>,
    ) -> Result<Streams, Error> {
        if let Some(one) = synths.get(SYNTHS_MAX) {
            let what = format!("more than {SYNTHS_MAX} [[synth]] sections; give them ranges");
            return Err(self.error(&one.rate.span(), what));
        }
        let synths =
            synths.iter().enumerate().map(|(number, synth)| self.synth(number, synth, around));
        let replays = replays.iter().map(|replay| self.replay(replay, around));
        Ok(Streams {
            addresses: self.rows(&around.device.addresses, "device.addresses")?,
            synths: synths.collect::<Result<_, _>>()?,
            replays: replays.collect::<Result<_, _>>()?,
        })
    }

    /// Without clients, the rows of `device.addresses` from which the server can be asked for: one of each family.
    pub(super) fn device_rows(&self, file: &File) -> Result<Vec<Range>, Error> {
        let rows = self.rows(&file.device.addresses, "device.addresses")?;
        let mut found: Vec<Range> = Vec::new();
        for row in rows {
            let is_ipv4 = row.first.is_ipv4();
            let has_server =
                file.server.endpoints.get_ref().iter().any(|to| to.is_ipv4() == is_ipv4);
            if has_server && found.iter().all(|other| other.first.is_ipv4() != is_ipv4) {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn synth(
        &self,
        number: usize,
        file: &SynthFile,
        around: &Surroundings<'_>,
    ) -> Result<Synth, Error> {
        let source = self.addresses(&file.source, "synth.source")?;
        let destination = self.addresses(&file.destination, "synth.destination")?;
        if !same_family(source.range.first, destination.range.first) {
            let what = "synth.destination is not of the family of synth.source";
            return Err(self.error(&file.destination.span(), what));
        }
        let protocol = self.protocol(file)?;
        let plan = synth::Plan {
            protocol,
            source,
            destination,
            source_port: self.synth_ports(
                file.source_port.as_ref(),
                10_000,
                "synth.source_port",
            )?,
            destination_port: self.synth_ports(
                file.destination_port.as_ref(),
                7,
                "synth.destination_port",
            )?,
            sizes: self.lengths(&file.sizes, "synth.sizes")?,
            ttl: file.ttl,
            dscp: self.dscp(file.dscp.as_ref())?,
            vlan: match self.tag(file.vlan.as_ref())? {
                Some(0) => None,
                Some(id) => Some(id),
                None => around.plan.vlan,
            },
            measure: file.measure,
        };
        if plan.sizes.min() < plan.len_min() || plan.sizes.max() > PACKET_LEN_MAX {
            let min = plan.len_min();
            let what =
                format!("synth.sizes has lengths outside {min} (the headers) to {PACKET_LEN_MAX}");
            return Err(self.error(&file.sizes.span(), what));
        }
        let hop = self.hop(file, source.range.first, around)?;
        let name = file.name.clone().unwrap_or_else(|| format!("stream {}", number + 1));
        let (rate, pattern) = (self.rate(&file.rate)?, self.pattern(&file.pattern, &file.rate)?);
        Ok(Synth { name, plan, hop, rate, pattern })
    }

    fn hop(
        &self,
        file: &SynthFile,
        source: IpAddr,
        around: &Surroundings<'_>,
    ) -> Result<Hop, Error> {
        if let Some(link) = &file.link {
            return self.station(link);
        }
        match &file.gateway {
            Some(gateway) if !same_family(*gateway.get_ref(), source) => Err(self
                .error(&gateway.span(), "synth.gateway is not of the family of synth.source")),
            Some(gateway) => Ok(Hop::Gateway(*gateway.get_ref())),
            None => around.hop(source.is_ipv4()).ok_or_else(|| {
                let what = "nothing says where these packets go on the link; set synth.gateway or device.gateways to the next hop's address, or synth.link to its link address";
                self.error(&file.destination.span(), what)
            }),
        }
    }

    fn station(&self, link: &Spanned<String>) -> Result<Hop, Error> {
        let text = link.get_ref();
        mac(text).map(Hop::Station).ok_or_else(|| {
            let what = format!("link = \"{text}\" is no link address such as 02:00:00:00:00:01");
            self.error(&link.span(), what)
        })
    }

    fn protocol(&self, file: &SynthFile) -> Result<Protocol, Error> {
        let Some(name) = &file.protocol else { return Ok(Protocol::Udp) };
        match name.get_ref().as_str() {
            "udp" => Ok(Protocol::Udp),
            "tcp" => Ok(Protocol::Tcp(
                self.control_bits(file.flags.as_ref(), "synth.flags")?.unwrap_or(Flags::SYN),
            )),
            "icmp" => Ok(Protocol::Icmp),
            "gre" => {
                let ethertype = file.gre_ethertype.unwrap_or(ETHERTYPE_EXPERIMENT);
                Ok(Protocol::Gre { ethertype, key: file.gre_key })
            }
            other => {
                let what = format!(
                    "synth.protocol = \"{other}\" is none of \"udp\", \"tcp\", \"icmp\" and \"gre\""
                );
                Err(self.error(&name.span(), what))
            }
        }
    }

    fn addresses(&self, text: &Spanned<String>, name: &str) -> Result<Addresses, Error> {
        Addresses::parse(text.get_ref()).ok_or_else(|| {
            let what = format!(
                "{name} = \"{}\" is neither an address nor a row such as 192.0.2.1+256 or 192.0.2.1+256 random",
                text.get_ref()
            );
            self.error(&text.span(), what)
        })
    }

    fn synth_ports(
        &self,
        text: Option<&Spanned<Text>>,
        default: u16,
        name: &str,
    ) -> Result<Ports, Error> {
        let Some(text) = text else { return Ok(Ports::one(default)) };
        let ports = text.get_ref().text();
        Ports::parse(&ports).ok_or_else(|| {
            let what = format!(
                "{name} = \"{ports}\" is neither a port nor a row such as 1024..65535 or 1024..65535 random"
            );
            self.error(&text.span(), what)
        })
    }

    fn dscp(&self, dscp: Option<&Spanned<u8>>) -> Result<u8, Error> {
        match dscp {
            Some(dscp) if *dscp.get_ref() > 63 => {
                let what = format!("synth.dscp = {} is outside 0 to 63", dscp.get_ref());
                Err(self.error(&dscp.span(), what))
            }
            dscp => Ok(dscp.map_or(0, |dscp| *dscp.get_ref())),
        }
    }

    /// A tag; 0 means none, which is not the same as not asking for one.
    fn tag(&self, vlan: Option<&Spanned<u16>>) -> Result<Option<u16>, Error> {
        match vlan {
            Some(vlan) if *vlan.get_ref() > 4094 => {
                let what = format!("vlan = {} is outside 0 (none) to 4094", vlan.get_ref());
                Err(self.error(&vlan.span(), what))
            }
            vlan => Ok(vlan.map(|vlan| *vlan.get_ref())),
        }
    }

    fn replay(&self, file: &ReplayFile, around: &Surroundings<'_>) -> Result<Replay, Error> {
        let tag = match self.tag(file.vlan.as_ref())?.or(around.plan.vlan) {
            None => Tag::Keep,
            Some(0) => Tag::Remove,
            Some(id) => Tag::Set(id),
        };
        let link = file.link.as_ref().map(|link| self.station(link)).transpose()?;
        let hop = |is_ipv4: bool| {
            let mut own = file.gateways.iter().filter(|hop| hop.is_ipv4() == is_ipv4);
            link.or_else(|| own.next().map(|hop| Hop::Gateway(*hop)))
                .or_else(|| around.hop(is_ipv4))
        };
        let hops = [hop(true), hop(false)];
        let side = |addresses: Option<&Spanned<Vec<String>>>,
                    ports: Option<&Spanned<Vec<Text>>>| {
            Ok(Side { addresses: self.moves(addresses)?, ports: self.port_moves(ports)? })
        };
        let rewrite = Rewrite {
            station: None,
            tag,
            source: side(file.source.as_ref(), file.source_port.as_ref())?,
            destination: side(file.destination.as_ref(), file.destination_port.as_ref())?,
            checksums: file.checksums,
        };
        let path = self.beside(file.file.get_ref());
        let of_file = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = file.name.clone().unwrap_or_else(of_file);
        Ok(Replay { name, file: path, pace: self.pace(file)?, rounds: file.loops, rewrite, hops })
    }

    fn pace(&self, file: &ReplayFile) -> Result<Pace, Error> {
        match (&file.rate, &file.pace) {
            (Some(rate), Some(_)) => {
                let what = "replay.rate and replay.pace are two different plans; keep one";
                Err(self.error(&rate.span(), what))
            }
            (Some(rate), None) => {
                Ok(Pace::Rate(self.rate(rate)?, self.pattern(&file.pattern, rate)?))
            }
            (None, Some(pace)) => Ok(Pace::Recorded(self.positive(pace, "replay.pace")?)),
            (None, None) => Ok(Pace::Recorded(1.0)),
        }
    }

    fn moves(&self, texts: Option<&Spanned<Vec<String>>>) -> Result<Vec<Move>, Error> {
        let Some(texts) = texts else { return Ok(Vec::new()) };
        let one = |text: &String| {
            Move::parse(text).ok_or_else(|| {
                let what = format!(
                    "\"{text}\" is no change such as \"10.0.0.0+256 -> 192.0.2.0\", or \"192.0.2.1\" for all"
                );
                self.error(&texts.span(), what)
            })
        };
        texts.get_ref().iter().map(one).collect()
    }

    fn port_moves(&self, texts: Option<&Spanned<Vec<Text>>>) -> Result<Vec<PortMove>, Error> {
        let Some(texts) = texts else { return Ok(Vec::new()) };
        let one = |text: &Text| {
            let text = text.text();
            PortMove::parse(&text).ok_or_else(|| {
                let what =
                    format!("\"{text}\" is no change such as \"1000+10 -> 2000\", or 53 for all");
                self.error(&texts.span(), what)
            })
        };
        texts.get_ref().iter().map(one).collect()
    }
}

/// Reads `02:00:00:00:00:01`.
fn mac(text: &str) -> Option<Mac> {
    let mut octets = [0; 6];
    let mut parts = text.trim().split(':');
    for place in &mut octets {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        *place = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests;
