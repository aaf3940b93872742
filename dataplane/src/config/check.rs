//! From the file's shape to its meaning: every rule that a configuration must obey, each with its remedy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use ipnet::IpNet;
use toml::Spanned;
use wireguard::secret::Secret;
use zeroize::Zeroizing;

use super::file::{File, Fleet, Local, Port};
use super::{Config, Error, FleetConfig, LocalConfig, Memory, PortConfig, key};
use crate::limits;

/// Longest name of a kernel interface (IFNAMSIZ less its end mark).
const INTERFACE_NAME_LEN_MAX: usize = 15;

/// The text and its name, so that every error can say where.
pub(super) struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

pub(super) fn checked(text: &str, path: &Path) -> Result<Config, Error> {
    let source = Source { text, path };
    let file: File = toml::from_str(text)
        .map_err(|error| source.error(&error.span().unwrap_or(0..0), error.message()))?;
    let mut config = Config {
        private_key: source
            .secret(file.private_key.as_ref(), file.private_key_file.as_ref(), "private_key")?
            .ok_or_else(|| {
                source.error(&(0..0), "has no private_key; make one with `wg genkey`")
            })?,
        listen_port: source.listen_port(&file.listen_port)?,
        workers: source.workers(&file.workers)?,
        handshake_threads: source.handshake_threads(&file.handshake_threads)?,
        handshake_budget: source.handshake_budget(file.handshake_budget.as_ref())?,
        idle: file.idle,
        memory: Memory {
            hugepages: file.memory.hugepages,
            megabytes: file.memory.megabytes,
            buffers: source.buffers(file.memory.buffers.as_ref())?,
        },
        ports: file
            .port
            .iter()
            .map(|port| source.port(port.get_ref()))
            .collect::<Result<_, _>>()?,
        local: file.local.as_ref().map(|local| source.local(local.get_ref())).transpose()?,
        instance: source.instance(file.instance.as_ref())?,
        fleet: None,
        nat: None,
        connect: None,
        peers_max: source.capacity(
            ("capacity.peers", limits::PEERS_LIMIT),
            file.capacity.peers.as_ref(),
            limits::PEERS_MAX,
        )?,
        routes_max: source.capacity(
            ("capacity.routes", limits::ROUTES_MAX),
            file.capacity.routes.as_ref(),
            limits::ROUTES_MAX,
        )?,
        buckets: source.capacity(
            ("capacity.buckets", limits::BUCKETS_LIMIT),
            file.capacity.buckets.as_ref(),
            limits::BUCKETS_MAX,
        )?,
        flows: source.capacity(
            ("capacity.flows", limits::FLOWS_LIMIT),
            file.capacity.flows.as_ref(),
            limits::FLOWS_MAX,
        )?,
    };
    config.fleet =
        file.fleet.as_ref().map(|fleet| source.fleet(fleet, &config.ports)).transpose()?;
    config.nat = file.nat.as_ref().map(|nat| source.nat(nat, &config)).transpose()?;
    let connect = file.connect.as_ref();
    config.connect = connect.map(|connect| source.connect(connect, &config)).transpose()?;
    source.no_peers(&file)?;
    source.ports_differ(&file)?;
    if let Some(terminate) = &file.terminate {
        config.ports.push(source.terminate(terminate, &config)?);
    }
    Ok(config)
}

impl Source<'_> {
    /// An error at a place of the text.
    pub(super) fn error(&self, span: &Range<usize>, what: impl Into<String>) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = (*span != (0..0)).then(|| before.matches('\n').count() + 1);
        Error::new(self.path, line, what)
    }

    /// A key from the text or from a file beside it.
    pub(super) fn secret(
        &self,
        inline: Option<&Spanned<String>>,
        file: Option<&Spanned<String>>,
        name: &str,
    ) -> Result<Option<Secret>, Error> {
        let (place, text) = match (inline, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(file)) => {
                return Err(self.error(
                    &file.span(),
                    format!("{name}_file beside {name}: keep one of the two"),
                ));
            }
            (Some(text), None) => (text.span(), Zeroizing::new(text.get_ref().clone())),
            (None, Some(file)) => {
                let path = self.path.with_file_name(file.get_ref());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    self.error(
                        &file.span(),
                        format!("key file {} cannot be read ({error})", path.display()),
                    )
                })?;
                (file.span(), Zeroizing::new(text))
            }
        };
        key::decode(&text).map(|octets| Some(Secret::new(octets))).ok_or_else(|| {
            self.error(
                &place,
                format!(
                    "{name} is not base64 of 32 octets; `wg genkey` and `wg genpsk` make such keys"
                ),
            )
        })
    }

    fn listen_port(&self, port: &Spanned<u16>) -> Result<u16, Error> {
        match *port.get_ref() {
            0 => {
                Err(self.error(&port.span(), "listen_port 0 cannot be reached; 51820 is customary"))
            }
            port => Ok(port),
        }
    }

    fn workers(&self, workers: &Spanned<Vec<usize>>) -> Result<Vec<usize>, Error> {
        let cores = workers.get_ref();
        if cores.is_empty() || cores.len() > limits::WORKERS_MAX {
            return Err(self.error(
                &workers.span(),
                format!("workers names {} cores; name 1 to {}", cores.len(), limits::WORKERS_MAX),
            ));
        }
        let mut sorted = cores.clone();
        sorted.sort_unstable();
        if let Some(core) =
            sorted.windows(2).find_map(|two| (two.first() == two.last()).then(|| two.first()))
        {
            let core = core.copied().unwrap_or_default();
            return Err(self.error(&workers.span(), format!("workers names core {core} twice")));
        }
        Ok(cores.clone())
    }

    fn handshake_budget(&self, percent: Option<&Spanned<u32>>) -> Result<u32, Error> {
        let Some(told) = percent else { return Ok(limits::HANDSHAKE_BUDGET) };
        let (percent, max) = (*told.get_ref(), limits::HANDSHAKE_BUDGET_MAX);
        if (1..=max).contains(&percent) {
            return Ok(percent);
        }
        let what = format!("handshake_budget = {percent} is outside 1 to {max} percent");
        Err(self.error(&told.span(), what))
    }

    fn handshake_threads(&self, threads: &Spanned<usize>) -> Result<usize, Error> {
        match *threads.get_ref() {
            count @ 1..=64 => Ok(count),
            count => Err(self
                .error(&threads.span(), format!("handshake_threads = {count} is outside 1 to 64"))),
        }
    }

    fn buffers(&self, buffers: Option<&Spanned<u32>>) -> Result<u32, Error> {
        let Some(buffers) = buffers else { return Ok(limits::POOL_LEN) };
        match *buffers.get_ref() {
            count @ 2048..=4_194_304 => Ok(count),
            count => Err(self.error(
                &buffers.span(),
                format!("memory.buffers = {count} is outside 2048 to 4194304"),
            )),
        }
    }

    fn port(&self, port: &Port) -> Result<PortConfig, Error> {
        if port.device.get_ref().is_empty() {
            return Err(self.error(
                &port.device.span(),
                "device is empty; name DPDK devargs such as net_af_packet0,iface=eth0, or a PCI address",
            ));
        }
        let addresses = self.nets(&port.addresses)?;
        for (text, net) in port.addresses.iter().zip(&addresses) {
            let address = net.addr();
            let broadcast = net.max_prefix_len() - net.prefix_len() > 1
                && address.is_ipv4()
                && (address == net.broadcast() || address == net.network());
            if address.is_unspecified() || address.is_loopback() || broadcast {
                let what = format!(
                    "{net} is no host's address; name this server's own address on the link"
                );
                return Err(self.error(&text.span(), what));
            }
        }
        Ok(PortConfig {
            name: port.name.clone(),
            device: port.device.get_ref().clone(),
            gateways: self.gateways(&port.gateways, &addresses)?,
            addresses,
            vlan: self.vlan(port.vlan.as_ref())?,
            mtu: self.mtu(port.mtu.as_ref())?,
            kernel: port.kernel.as_ref().map(|name| self.interface(name)).transpose()?,
            terminates: false,
        })
    }

    /// Addresses with the length of their on-link prefix; the host bits are the address.
    pub(super) fn nets(&self, texts: &[Spanned<String>]) -> Result<Vec<IpNet>, Error> {
        texts.iter().map(|text| self.net(text)).collect()
    }

    fn net(&self, text: &Spanned<String>) -> Result<IpNet, Error> {
        let literal = text.get_ref();
        let net = literal
            .parse::<IpNet>()
            .or_else(|_| literal.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| {
                let what = format!("\"{literal}\" is no IP address or prefix such as 10.7.0.2/32");
                self.error(&text.span(), what)
            })?;
        if net.addr().is_multicast() {
            return Err(
                self.error(&text.span(), format!("{net} is multicast, which is not served"))
            );
        }
        Ok(net)
    }

    fn gateways(&self, texts: &[Spanned<IpAddr>], on_link: &[IpNet]) -> Result<Vec<IpAddr>, Error> {
        let mut gateways: Vec<IpAddr> = Vec::new();
        for text in texts {
            let gateway = *text.get_ref();
            let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !link_local && !on_link.iter().any(|net| net.contains(&gateway)) {
                return Err(self.error(
                    &text.span(),
                    format!("gateway {gateway} lies in no prefix of this port's addresses"),
                ));
            }
            if on_link.iter().any(|net| net.addr() == gateway) {
                let what = format!("gateway {gateway} is this server itself; name the router");
                return Err(self.error(&text.span(), what));
            }
            if gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
                return Err(self.error(
                    &text.span(),
                    format!("gateway {gateway} is the second of its family; keep one"),
                ));
            }
            gateways.push(gateway);
        }
        Ok(gateways)
    }

    fn vlan(&self, vlan: Option<&Spanned<u16>>) -> Result<Option<u16>, Error> {
        match vlan {
            Some(vlan) if !(1..=4094).contains(vlan.get_ref()) => {
                Err(self
                    .error(&vlan.span(), format!("vlan {} is outside 1 to 4094", vlan.get_ref())))
            }
            vlan => Ok(vlan.map(|vlan| *vlan.get_ref())),
        }
    }

    fn mtu(&self, mtu: Option<&Spanned<u16>>) -> Result<u16, Error> {
        let Some(mtu) = mtu else { return Ok(1500) };
        let value = *mtu.get_ref();
        if (limits::MTU_MIN..=limits::MTU_MAX).contains(&value) {
            return Ok(value);
        }
        let (min, max) = (limits::MTU_MIN, limits::MTU_MAX);
        Err(self.error(&mtu.span(), format!("mtu {value} is outside {min} to {max}")))
    }

    pub(super) fn interface(&self, name: &Spanned<String>) -> Result<String, Error> {
        let text = name.get_ref();
        let fits = (1..=INTERFACE_NAME_LEN_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if fits {
            return Ok(text.clone());
        }
        Err(self.error(
            &name.span(),
            format!("\"{text}\" is no interface name: 1 to 15 letters, digits, '-', '_' or '.'"),
        ))
    }

    fn local(&self, local: &Local) -> Result<LocalConfig, Error> {
        Ok(LocalConfig {
            interface: self.interface(&local.interface)?,
            addresses: self.nets(&local.addresses)?,
        })
    }

    fn fleet(&self, fleet: &Spanned<Fleet>, ports: &[PortConfig]) -> Result<FleetConfig, Error> {
        let Fleet { server, key, key_file, mtu } = fleet.get_ref();
        let key = self.secret(key.as_ref(), key_file.as_ref(), "key")?.ok_or_else(|| {
            let what = "fleet has no key; make one with `wg genkey` and give it to all servers of the fleet";
            self.error(&fleet.span(), what)
        })?;
        if key.is_zero() {
            return Err(
                self.error(&fleet.span(), "the fleet's key is all zeros; `wg genkey` makes one")
            );
        }
        let place = mtu.as_ref().map_or_else(|| fleet.span(), Spanned::span);
        let mtu = match mtu {
            Some(mtu) => self.mtu(Some(mtu))?,
            None => ports.iter().map(|port| port.mtu).min().unwrap_or(limits::MTU_MIN),
        };
        if mtu < limits::FLEET_MTU_MIN {
            let what = format!(
                "the way between servers takes packets of {mtu} octets, and clients need {} on it; \
                 raise the mtu of the ports, or fleet.mtu where that network takes more",
                limits::FLEET_MTU_MIN
            );
            return Err(self.error(&place, what));
        }
        Ok(FleetConfig { server: *server, key, mtu })
    }

    fn instance(&self, name: Option<&Spanned<String>>) -> Result<String, Error> {
        let Some(name) = name else { return Ok(limits::INSTANCE.to_owned()) };
        match shm::Place::of(name.get_ref()) {
            Ok(_) => Ok(name.get_ref().clone()),
            Err(error) => Err(self.error(&name.span(), format!("instance: {error}"))),
        }
    }

    /// A number of things that there shall be room for, by its full name in the file.
    pub(super) fn capacity(
        &self,
        (name, max): (&str, u32),
        told: Option<&Spanned<u32>>,
        default: u32,
    ) -> Result<u32, Error> {
        let Some(told) = told else { return Ok(default) };
        let count = *told.get_ref();
        if (1..=max).contains(&count) {
            return Ok(count);
        }
        Err(self.error(&told.span(), format!("{name} = {count} is outside 1 to {max}")))
    }

    /// Peers come through control, so that they can change while packets flow.
    fn no_peers(&self, file: &File) -> Result<(), Error> {
        let Some(peers) = &file.peer else { return Ok(()) };
        Err(self.error(
            &peers.span(),
            "[[peer]] sections belong into a file of control's directory; see control/README.md",
        ))
    }

    /// No two ports share a name, a device or an address.
    fn ports_differ(&self, file: &File) -> Result<(), Error> {
        if file.port.is_empty() || file.port.len() > limits::PORTS_MAX {
            let what = format!(
                "has {} [[port]] sections; it needs 1 to {}",
                file.port.len(),
                limits::PORTS_MAX
            );
            return Err(self.error(&(0..0), what));
        }
        let mut seen = HashMap::new();
        if let Some(local) = &file.local {
            let interface = local.get_ref().interface.get_ref();
            seen.insert(format!("interface {interface}"), "[local]".to_owned());
        }
        for port in file.port.iter().map(Spanned::get_ref) {
            let address = |text: &Spanned<String>| self.net(text).map(|net| net.addr().to_string());
            let mut claims =
                vec![(port.device.span(), format!("device {}", port.device.get_ref()))];
            if let Some(kernel) = &port.kernel {
                claims.push((kernel.span(), format!("interface {}", kernel.get_ref())));
            }
            for text in &port.addresses {
                claims.push((text.span(), format!("address {}", address(text)?)));
            }
            for (span, claim) in claims {
                if let Some(other) = seen.insert(claim.clone(), format!("port {}", port.name)) {
                    let what = format!("{claim} of port {} is {other}'s already", port.name);
                    return Err(self.error(&span, what));
                }
            }
        }
        Ok(())
    }
}
