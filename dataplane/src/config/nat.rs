//! The rules of `[nat]`.

use std::net::{IpAddr, Ipv4Addr};

use toml::Spanned;

use super::check::Source;
use super::file::{ConnectSection, Nat};
use super::{Config, ConnectConfig, Error, NatConfig};
use crate::limits;
use crate::packet::is_no_source;

impl Source<'_> {
    /// Everything but `nat` is in `config` already.
    pub(super) fn nat(&self, nat: &Nat, config: &Config) -> Result<NatConfig, Error> {
        let client_address = nat.client_address.as_ref();
        Ok(NatConfig {
            addresses: self.outside(&nat.addresses, config)?,
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
        let ConnectSection { port, from, private_targets, forbidden_ports } = section.get_ref();
        if config.nat.is_none() {
            let what = "[connect] without [nat]: an exit needs addresses from which it connects to origins";
            return Err(self.error(&section.span(), what));
        }
        if *port.get_ref() == 0 {
            return Err(self.error(&port.span(), "connect.port 0 is no port; name 1 to 65535"));
        }
        if from.get_ref().is_empty() {
            let what = "connect.from is empty; name the addresses of the other data centres";
            return Err(self.error(&from.span(), what));
        }
        Ok(ConnectConfig {
            port: *port.get_ref(),
            from: self.nets(from.get_ref())?,
            private_targets: *private_targets,
            forbidden_ports: forbidden_ports.iter().map(|port| *port.get_ref()).collect(),
        })
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

fn is_ports_own(address: Ipv4Addr, config: &Config) -> bool {
    let nets = config.ports.iter().flat_map(|port| &port.addresses);
    nets.into_iter().any(|net| net.addr() == IpAddr::from(address))
}
