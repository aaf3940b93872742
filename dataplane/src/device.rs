//! The real devices: DPDK's packets, queues, rings and pools behind the traits of `port`, opened as the
//! configuration says.

use std::fmt;

use dpdk::mbuf::Checksum;
use dpdk::port::Settings;
use dpdk::{Eal, Mbuf, eal, lcore, ring};

use crate::config::{Config, PortConfig};
use crate::limits::{DATA_ROOM, HAND_OVER_LEN, MTU_MAX};
use crate::neighbours::LinkAddress;
use crate::port::{Batch, Io, Packet, Pool, Queue};
use crate::site::Site;
use crate::worker::{Queues, Wire};

/// DPDK's kinds of device.
#[derive(Debug)]
pub enum Dpdk {}

impl Io for Dpdk {
    type Packet = Mbuf;
    type Queue = dpdk::Queue;
    type Ring = HandOver;
    type Pool = dpdk::Pool;
}

impl Packet for Mbuf {
    #[inline]
    fn octets_mut(&mut self) -> &mut [u8] {
        Self::octets_mut(self)
    }

    #[inline]
    fn start(&self) -> usize {
        Self::start(self)
    }

    #[inline]
    fn len(&self) -> usize {
        Self::len(self)
    }

    #[inline]
    fn set_range(&mut self, start: usize, len: usize) {
        // Ranges come from frames over this very buffer; a refused one leaves the old range, which lies in
        // the buffer as well.
        let _ = Self::set_range(self, start, len);
    }

    #[inline]
    fn tag(&self) -> u64 {
        Self::tag(self)
    }

    #[inline]
    fn set_tag(&mut self, tag: u64) {
        Self::set_tag(self, tag);
    }

    #[inline]
    fn verified(&self) -> bool {
        self.checksums().l4 == Checksum::Good
    }

    #[inline]
    fn is_whole(&self) -> bool {
        self.segments() == 1
    }
}

impl Queue for dpdk::Queue {
    type Packet = Mbuf;

    #[inline]
    fn receive(&mut self, into: &mut Batch<Mbuf>) {
        Self::receive(self, into);
    }

    #[inline]
    fn transmit(&mut self, from: &mut Batch<Mbuf>) {
        Self::transmit(self, from);
    }
}

impl Pool for dpdk::Pool {
    type Packet = Mbuf;

    fn allocate(&mut self) -> Option<Mbuf> {
        Self::allocate(self)
    }
}

/// One end of a ring between two workers. The end that sends receives nothing, and the other way round.
pub enum HandOver {
    /// The sending end.
    Sender(ring::Sender),
    /// The receiving end.
    Receiver(ring::Receiver),
}

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sender(_) => "Sender",
            Self::Receiver(_) => "Receiver",
        })
    }
}

impl Queue for HandOver {
    type Packet = Mbuf;

    fn receive(&mut self, into: &mut Batch<Mbuf>) {
        if let Self::Receiver(receiver) = self {
            receiver.receive(into);
        }
    }

    fn transmit(&mut self, from: &mut Batch<Mbuf>) {
        if let Self::Sender(sender) = self {
            sender.send(from);
        }
    }
}

/// Why devices could not be opened: a sentence and its remedy.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Starts DPDK as the configuration asks; the calling thread goes to a core that no worker has, if there
/// is one.
pub fn start(config: &Config, verbose: bool) -> Result<Eal, Error> {
    let cores = lcore::allowed().map_err(|error| Error(error.to_string()))?;
    if let Some(core) = config.workers.iter().find(|core| !cores.contains(core)) {
        let error =
            format!("workers names core {core}, but this process may run on {cores:?} only");
        return Err(Error(error));
    }
    let memory = if config.memory.hugepages {
        eal::Memory::Hugepages { megabytes: config.memory.megabytes }
    } else {
        eal::Memory::Ordinary {
            megabytes: config.memory.megabytes.unwrap_or_else(|| memory_needed(config)),
        }
    };
    let options = eal::Options {
        main_core: cores.into_iter().find(|core| !config.workers.contains(core)),
        memory,
        pci: config
            .ports
            .iter()
            .map(|port| port.device.clone())
            .filter(|device| device.starts_with(|first: char| first.is_ascii_hexdigit()))
            .collect(),
        verbose,
        ..eal::Options::default()
    };
    Eal::start(&options).map_err(|error| Error(error.to_string()))
}

/// MiB for the pools, the rings and what DPDK needs itself.
fn memory_needed(config: &Config) -> u32 {
    let workers = u32::try_from(config.workers.len()).unwrap_or(1);
    let buffer = 2_560;
    (workers * config.memory.buffers / 1024 * buffer).div_ceil(1024) + 64
}

/// All devices of one server.
#[derive(Debug)]
pub struct Devices {
    ports: Vec<dpdk::Port>,
    kernels: Vec<Option<dpdk::Port>>,
    local: Option<dpdk::Port>,
    pools: Vec<dpdk::Pool>,
}

impl Devices {
    /// Opens ports, the kernel's faces and the workers' pools.
    pub fn open(eal: &Eal, config: &Config) -> Result<Self, Error> {
        let plain = |error: dpdk::Error| Error(error.to_string());
        let room = u16::try_from(DATA_ROOM).unwrap_or(u16::MAX);
        let pools = (0..config.workers.len())
            .map(|worker| {
                dpdk::Pool::new(eal, &format!("worker{worker}"), config.memory.buffers, room)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(plain)?;
        let mut devices = Self { ports: Vec::new(), kernels: Vec::new(), local: None, pools };
        for (number, port) in config.ports.iter().enumerate() {
            let opened = devices.open_port(eal, port)?;
            let kernel = match &port.kernel {
                Some(name) => {
                    let tap = tap(KERNEL_TAPS + number, name, opened.mac());
                    Some(devices.open_tap(eal, name, &tap, port.mtu)?)
                }
                None => None,
            };
            devices.ports.push(opened);
            devices.kernels.push(kernel);
        }
        if let Some(local) = &config.local {
            let mtu = inner_mtu(config);
            let tap = format!("net_tap{LOCAL_TAP},iface={}", local.interface);
            devices.local = Some(devices.open_tap(eal, &local.interface, &tap, mtu)?);
        }
        Ok(devices)
    }

    /// A device with fewer queues than there are workers gets as many as it can have; the workers that go
    /// without relay what they send to one that has.
    fn open_port(&self, eal: &Eal, port: &PortConfig) -> Result<dpdk::Port, Error> {
        let settings = Settings {
            queues: u16::try_from(self.pools.len()).unwrap_or(u16::MAX),
            fewer_queues: true,
            mtu: Some(port.mtu.min(MTU_MAX)),
            ..Settings::default()
        };
        let pools: Vec<_> = self.pools.iter().collect();
        dpdk::Port::open(eal, &port.device, &settings, &pools)
            .map_err(|error| Error(format!("port {}: {error}", port.name)))
    }

    fn open_tap(
        &self,
        eal: &Eal,
        name: &str,
        devargs: &str,
        mtu: u16,
    ) -> Result<dpdk::Port, Error> {
        let queues = u16::try_from(self.pools.len()).unwrap_or(u16::MAX);
        let settings = Settings { queues, mtu: Some(mtu), ..Settings::default() };
        let pools: Vec<_> = self.pools.iter().collect();
        dpdk::Port::open(eal, devargs, &settings, &pools)
            .map_err(|error| Error(format!("kernel interface {name}: {error}")))
    }

    /// The server as these devices make it.
    pub fn site(&self, config: &Config) -> Site {
        let links: Vec<LinkAddress> = self.ports.iter().map(dpdk::Port::mac).collect();
        Site::new(config, &links, self.local.as_ref().map(dpdk::Port::mac))
    }

    /// The queues of every worker.
    pub fn queues(&self, eal: &Eal) -> Result<Vec<Queues<Dpdk>>, Error> {
        let workers = self.pools.len();
        let mut all: Vec<_> =
            self.pools.iter().enumerate().map(|(w, pool)| self.of(w, pool)).collect();
        for from in 0..workers {
            for to in 0..workers {
                let ends = (from != to)
                    .then(|| ring::channel(eal, &format!("worker{from}to{to}"), HAND_OVER_LEN))
                    .transpose()
                    .map_err(|error| Error(error.to_string()))?;
                let (sender, receiver) = ends.unzip();
                if let Some(queues) = all.get_mut(from) {
                    queues.outbound.push(sender.map(HandOver::Sender));
                }
                if let Some(queues) = all.get_mut(to) {
                    queues.inbound.extend(receiver.map(HandOver::Receiver));
                }
            }
        }
        Ok(all)
    }

    fn of(&self, worker: usize, pool: &dpdk::Pool) -> Queues<Dpdk> {
        let queue = |port: &dpdk::Port| u16::try_from(worker).ok().and_then(|w| port.take_queue(w));
        let wire = |(port, kernel): (&dpdk::Port, &Option<dpdk::Port>)| Wire {
            queue: queue(port),
            relay: worker % usize::from(port.capabilities().queues.max(1)),
            kernel: kernel.as_ref().and_then(queue),
        };
        Queues {
            wires: self.ports.iter().zip(&self.kernels).map(wire).collect(),
            local: self.local.as_ref().and_then(queue),
            inbound: Vec::new(),
            outbound: Vec::new(),
            pool: pool.clone(),
        }
    }

    /// Lines about every device: driver, link, what it lost.
    pub fn report(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let kernels = self.kernels.iter().flatten().chain(&self.local);
        for port in self.ports.iter().chain(kernels) {
            let statistics = port.statistics();
            let link = if port.link_up() { "up" } else { "down" };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "port.{}.link {link}\nport.{0}.missed {}\nport.{0}.without_buffer {}",
                port.name(),
                statistics.missed,
                statistics.without_buffer,
            );
        }
        text
    }

    /// Buffers of all pools that are not home; what device queues hold counts until these are closed.
    pub fn buffers_in_use(&self) -> u32 {
        self.pools.iter().map(dpdk::Pool::in_use).sum()
    }

    /// Closes every device and says how many buffers did not come home.
    pub fn close(self) -> u32 {
        let Self { ports, kernels, local, pools, .. } = self;
        drop((ports, kernels, local));
        pools.iter().map(dpdk::Pool::in_use).sum()
    }
}

/// Numbers of our own kernel interfaces, out of the way of those that a configuration names.
const LOCAL_TAP: usize = 100;
const KERNEL_TAPS: usize = LOCAL_TAP + 1;

fn inner_mtu(config: &Config) -> u16 {
    config.mtu() - u16::try_from(crate::limits::OVERHEAD).unwrap_or(0)
}

/// Devargs of a kernel interface that has the link address of its port.
fn tap(number: usize, interface: &str, link: LinkAddress) -> String {
    let link = link.map(|octet| format!("{octet:02x}")).join(":");
    format!("net_tap{number},iface={interface},mac={link}")
}
