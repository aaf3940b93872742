//! The rules of `[nat]`.

use std::net::{IpAddr, Ipv4Addr};

use ::flows::nptv6;
use ipnet::{IpNet, Ipv6Net};
use toml::Spanned;

use super::check::Source;
use super::file::{ConnectSection, Nat, Prefixes};
use super::{Config, ConnectConfig, Error, NatConfig};
use crate::limits;
use crate::packet::is_no_source;

impl Source<'_> {
    /// Everything but `nat` is in `config` already.
    pub(super) fn nat(&self, section: &Spanned<Nat>, config: &Config) -> Result<NatConfig, Error> {
        let nat = section.get_ref();
        if nat.addresses.is_none() && nat.untranslated.is_empty() && nat.prefixes.is_empty() {
            let what =
                "[nat] names neither addresses nor untranslated nor prefixes; name one of them";
            return Err(self.error(&section.span(), what.to_owned()));
        }
        let client_address = nat.client_address.as_ref();
        Ok(NatConfig {
            addresses: match &nat.addresses {
                Some(addresses) => self.outside(addresses, config)?,
                None => Vec::new(),
            },
            client_address: client_address
                .map(|address| self.of_every_client(address, config))
                .transpose()?,
            flows: self.capacity(
                ("nat.flows", limits::NAT_FLOWS_LIMIT),
                nat.flows.as_ref(),
                limits::NAT_FLOWS_MAX,
            )?,
            flows_per_client: self.capacity(
                ("nat.flows_per_client", limits::NAT_FLOWS_LIMIT),
                nat.flows_per_client.as_ref(),
                limits::NAT_FLOWS_PER_CLIENT,
            )?,
            untranslated: self.untranslated(&nat.untranslated, config)?,
            prefixes: self.prefixes(nat, config)?,
            setups: self.capacity(
                ("nat.setups", limits::NAT_SETUPS_LIMIT),
                nat.setups.as_ref(),
                limits::NAT_SETUPS,
            )?,
        })
    }

    /// Everything but `connect` is in `config` already.
    pub(super) fn connect(
        &self,
        section: &Spanned<ConnectSection>,
        config: &Config,
    ) -> Result<ConnectConfig, Error> {
        let ConnectSection { port, key, key_file, from, private_targets, forbidden_ports } =
            section.get_ref();
        if config.nat.as_ref().is_none_or(|nat| nat.addresses.is_empty()) {
            let what = "[connect] without addresses in [nat]: an exit needs some from which it connects to origins";
            return Err(self.error(&section.span(), what));
        }
        self.port_of_its_own(port, config)?;
        if from.get_ref().is_empty() {
            let what = "connect.from is empty; name the addresses of the other data centres";
            return Err(self.error(&from.span(), what));
        }
        Ok(ConnectConfig {
            port: *port.get_ref(),
            from: self.nets(from.get_ref())?,
            key: self.secret(key.as_ref(), key_file.as_ref(), "connect.key")?,
            private_targets: *private_targets,
            forbidden_ports: forbidden_ports.iter().map(|port| *port.get_ref()).collect(),
        })
    }

    /// Probes of data centres come over UDP to the port with the same number.
    fn port_of_its_own(&self, port: &Spanned<u16>, config: &Config) -> Result<(), Error> {
        let what = match *port.get_ref() {
            0 => "connect.port 0 is no port; name 1 to 65535".to_owned(),
            number if number == config.listen_port => {
                format!("connect.port {number} is listen_port, and UDP comes to both; name another")
            }
            number if number == wire::fleet::PORT => {
                format!(
                    "connect.port {number} is what servers of a fleet pass packets on to; name another"
                )
            }
            _ => return Ok(()),
        };
        Err(self.error(&port.span(), what))
    }

    /// The addresses that the Internet sees.
    fn outside(
        &self,
        texts: &Spanned<Vec<Spanned<Ipv4Addr>>>,
        config: &Config,
    ) -> Result<Vec<Ipv4Addr>, Error> {
        let texts_of = texts.get_ref();
        if texts_of.is_empty() || texts_of.len() > limits::NAT_ADDRESSES_MAX {
            let what = format!(
                "nat.addresses names {} addresses; it needs 1 to {}",
                texts_of.len(),
                limits::NAT_ADDRESSES_MAX
            );
            return Err(self.error(&texts.span(), what));
        }
        let mut addresses = Vec::new();
        for text in texts_of {
            let address = *text.get_ref();
            let what = if is_no_source(address.into()) {
                format!(
                    "{address} can be no packet's source; name addresses that lead to this server"
                )
            } else if addresses.contains(&address) {
                format!("{address} is named twice; keep one")
            } else if is_ports_own(address, config) {
                format!(
                    "{address} is an address of a port, where the server's own traffic comes in; \
                     name addresses that nothing else uses"
                )
            } else {
                addresses.push(address);
                continue;
            };
            return Err(self.error(&text.span(), what));
        }
        Ok(addresses)
    }

    /// The prefixes that go out as they are.
    fn untranslated(
        &self,
        texts: &[Spanned<Ipv6Net>],
        config: &Config,
    ) -> Result<Vec<Ipv6Net>, Error> {
        let mut nets = Vec::new();
        for text in texts {
            let net = *text.get_ref();
            if let Some(what) = unfit(net, &nets, config) {
                return Err(self.error(&text.span(), what));
            }
            nets.push(net);
        }
        self.not_too_many(nets.len(), texts.first())?;
        Ok(nets)
    }

    /// The prefixes that go out as others.
    fn prefixes(&self, nat: &Nat, config: &Config) -> Result<Vec<(Ipv6Net, Ipv6Net)>, Error> {
        let untranslated = || nat.untranslated.iter().map(|text| *text.get_ref());
        let (mut insides, mut outsides): (Vec<_>, Vec<_>) = (Vec::new(), untranslated().collect());
        let mut pairs = Vec::new();
        for text in &nat.prefixes {
            let Prefixes { inside, outside } = *text.get_ref();
            let [(own, len), (other, other_len)] =
                [inside, outside].map(|net| (net.addr(), net.prefix_len()));
            let wrong = nptv6::Prefixes::new((own, len), (other, other_len)).err();
            let what = wrong.map(|wrong| format!("{inside} does not become {outside}: {wrong}"));
            let what = what
                .or_else(|| unfit(outside, &outsides, config))
                .or_else(|| unfit(inside, &insides, config));
            if let Some(what) = what {
                return Err(self.error(&text.span(), what));
            }
            outsides.push(outside);
            insides.push(inside);
            pairs.push((inside, outside));
        }
        self.not_too_many(pairs.len(), nat.prefixes.first())?;
        Ok(pairs)
    }

    fn not_too_many<T>(&self, count: usize, first: Option<&Spanned<T>>) -> Result<(), Error> {
        let most = limits::NAT_PREFIXES_MAX;
        match first.filter(|_| count > most) {
            Some(first) => {
                let what = format!("[nat] names {count} prefixes of a kind; it takes up to {most}");
                Err(self.error(&first.span(), what))
            }
            None => Ok(()),
        }
    }

    /// An inner address that every client may have.
    fn of_every_client(
        &self,
        text: &Spanned<Ipv4Addr>,
        config: &Config,
    ) -> Result<Ipv4Addr, Error> {
        let address = *text.get_ref();
        let is_locals = config.local.iter().flat_map(|local| &local.addresses);
        let what = if is_no_source(address.into()) {
            format!("nat.client_address {address} can be no packet's source")
        } else if is_ports_own(address, config) {
            format!("nat.client_address {address} is this server's own; clients need another")
        } else if is_locals.into_iter().any(|net| net.addr() == IpAddr::from(address)) {
            format!("nat.client_address {address} is [local]'s own; clients need another")
        } else {
            return Ok(address);
        };
        Err(self.error(&text.span(), what))
    }
}

/// Why clients cannot have a prefix that the Internet sends to.
fn unfit(net: Ipv6Net, others: &[Ipv6Net], config: &Config) -> Option<String> {
    let overlaps = |other: &Ipv6Net| other.contains(&net) || net.contains(other);
    let links = config.ports.iter().flat_map(|port| &port.addresses);
    let mut links = links.filter_map(|own| match own {
        IpNet::V6(own) => Some(own.trunc()),
        IpNet::V4(_) => None,
    });
    if is_no_source(net.network().into()) || net.prefix_len() == 0 {
        Some(format!("{net} holds what can be no packet's source"))
    } else if net.trunc() != net {
        Some(format!("{net} has bits behind its length; name {}", net.trunc()))
    } else if let Some(other) = others.iter().find(|other| overlaps(other)) {
        Some(format!("{net} overlaps {other}; a client's address goes out in one way"))
    } else {
        links.find(|link| link.prefix_len() < 128 && overlaps(link)).map(|link| {
            format!("{net} overlaps {link} on the link of a port, whose hosts would look for clients there")
        })
    }
}

fn is_ports_own(address: Ipv4Addr, config: &Config) -> bool {
    let nets = config.ports.iter().flat_map(|port| &port.addresses);
    nets.into_iter().any(|net| net.addr() == IpAddr::from(address))
}
