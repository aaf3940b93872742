//! The rules of `[terminate]`: a port of its own, at whose other end is this machine's kernel.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::check::Source;
use super::file::Terminate;
use super::{Config, Error, PortConfig};
use crate::limits::{PORTS_MAX, TERMINATE_ADDRESSES_MAX};
use crate::packet::is_no_source;

/// DPDK's number of the device, below those of the kernel's other interfaces.
const TAP: usize = 99;

impl Source<'_> {
    /// Everything else is in `config` already.
    pub(super) fn terminate(
        &self,
        section: &Spanned<Terminate>,
        config: &Config,
    ) -> Result<PortConfig, Error> {
        let Terminate { interface, addresses } = section.get_ref();
        if config.nat.as_ref().is_none_or(|nat| nat.addresses.is_empty()) {
            let what = "[terminate] without addresses in [nat]: what is terminated is translated";
            return Err(self.error(&section.span(), what));
        }
        if config.ports.len() >= PORTS_MAX {
            let what = format!("[terminate] is one port more than the {PORTS_MAX} there may be");
            return Err(self.error(&section.span(), what));
        }
        let name = self.interface(interface)?;
        let kernels = config.ports.iter().filter_map(|port| port.kernel.as_ref());
        if kernels.chain(config.local.iter().map(|local| &local.interface)).any(|own| *own == name)
        {
            let what = format!("interface {name} is another section's already; take another name");
            return Err(self.error(&interface.span(), what));
        }
        Ok(PortConfig {
            device: format!("net_tap{TAP},iface={name}"),
            name,
            addresses: self.ends(addresses, config)?,
            gateways: Vec::new(),
            vlan: None,
            // Clients' packets fit into all others.
            mtu: config.mtu(),
            kernel: None,
            terminates: true,
        })
    }

    /// The addresses from which connections come to the kernel.
    fn ends(
        &self,
        texts: &Spanned<Vec<Spanned<String>>>,
        config: &Config,
    ) -> Result<Vec<IpNet>, Error> {
        let count = texts.get_ref().len();
        if count == 0 || count > TERMINATE_ADDRESSES_MAX {
            let what = format!(
                "terminate.addresses names {count} addresses; it needs 1 to {TERMINATE_ADDRESSES_MAX}"
            );
            return Err(self.error(&texts.span(), what));
        }
        let nets = self.nets(texts.get_ref())?;
        for (place, (text, net)) in texts.get_ref().iter().zip(&nets).enumerate() {
            let earlier = nets.iter().take(place);
            if let Some(what) = unfit(net, earlier, config) {
                return Err(self.error(&text.span(), what));
            }
        }
        Ok(nets)
    }
}

/// Why an address cannot be an end of connections to the kernel.
fn unfit<'a>(
    net: &IpNet,
    mut earlier: impl Iterator<Item = &'a IpNet>,
    config: &Config,
) -> Option<String> {
    let overlaps = |other: &&IpNet| other.contains(&net.addr()) || net.contains(&other.addr());
    let others = config.ports.iter().flat_map(|port| &port.addresses);
    let others = others.chain(config.local.iter().flat_map(|local| &local.addresses));
    if net.prefix_len() + 1 >= net.max_prefix_len() {
        Some(format!(
            "{net} has no room for the kernel beside it; name it with its prefix, as 100.64.77.1/24"
        ))
    } else if is_no_source(net.addr().into()) || is_reserved(net) {
        Some(format!("{net} is no host's address"))
    } else if earlier.any(|other| other.addr() == net.addr()) {
        Some(format!("{} is named twice; keep one", net.addr()))
    } else if let Some(other) = others.into_iter().find(overlaps) {
        Some(format!("{net} overlaps {other}; take a network that nothing else uses"))
    } else {
        let seen = config.nat.iter().flat_map(|nat| &nat.addresses);
        let seen = seen.copied().map(IpAddr::from).find(|address| net.contains(address));
        seen.map(|address| format!("{net} holds {address}, by which the Internet knows clients"))
    }
}

/// The network's own address, and the one of all its hosts.
fn is_reserved(net: &IpNet) -> bool {
    net.addr() == net.network() || net.addr().is_ipv4() && net.addr() == net.broadcast()
}
