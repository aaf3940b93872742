//! Ports: a network card or virtual device, opened, set up and started in one step.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mod check;
mod device;
mod setup;

use crate::eal::Eal;
use crate::error::{Error, Kind};
use crate::pool::Pool;
use crate::queue::Queue;
pub(crate) use device::Device;

/// How to set up a port.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Receive queues, and as many transmit queues.
    pub queues: u16,
    /// Whether a device that has fewer queues shall be opened with those: a card cannot be closed
    /// and opened again with another number.
    pub fewer_queues: bool,
    /// Packets that a receive queue holds; the driver may round it.
    pub receive_descriptors: u16,
    /// Packets that a transmit queue holds; the driver may round it.
    pub transmit_descriptors: u16,
    /// The largest IP packet, in octets; `None` keeps the device's.
    pub mtu: Option<u16>,
    /// Whether to receive frames for other MAC addresses too.
    pub promiscuous: bool,
    /// Whether the device shall check received checksums, where its hardware can.
    pub checksums: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queues: 1,
            fewer_queues: false,
            receive_descriptors: 1024,
            transmit_descriptors: 1024,
            mtu: None,
            promiscuous: false,
            checksums: true,
        }
    }
}

/// What the device can do, and what it was set up to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The driver's name in DPDK.
    pub driver: String,
    /// The queues that it was set up with.
    pub queues: u16,
    /// The most queues it can have.
    pub queues_max: u16,
    /// It spreads flows over its queues by a hash of addresses and ports.
    pub spreads: bool,
    /// It checks received checksums.
    pub checksums: bool,
}

/// The device's counters since it was started. Not every driver keeps all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets received.
    pub received: u64,
    /// Octets received.
    pub received_octets: u64,
    /// Packets sent.
    pub transmitted: u64,
    /// Octets sent.
    pub transmitted_octets: u64,
    /// Packets that found the receive queue full: the worker was too slow.
    pub missed: u64,
    /// Packets that were received broken.
    pub receive_errors: u64,
    /// Packets that could not be sent.
    pub transmit_errors: u64,
    /// Packets lost because the pool was empty.
    pub without_buffer: u64,
}

/// An open, started port. It is closed when it and all of its queues are dropped.
pub struct Port {
    device: Arc<Device>,
    taken: Vec<AtomicBool>,
    capabilities: Capabilities,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.device.name())
            .field("driver", &self.capabilities.driver)
            .finish_non_exhaustive()
    }
}

impl Port {
    /// Opens `device`: a PCI address of the allow-list (`0000:01:00.0`), or a virtual device with
    /// its arguments (`net_tap0,iface=x`). Sets it up, with one pool for all queues or one for
    /// each, and starts it.
    ///
    /// # Errors
    /// `Options`, `UnknownDriver`, `MissingInterface`, `MissingDevice`, `KernelDriver` and
    /// `Permission` before the device is touched; `Queues` when it has too few; `Device` with what
    /// DPDK says.
    pub fn open(
        eal: &Eal,
        device: &str,
        settings: &Settings,
        pools: &[&Pool],
    ) -> Result<Self, Error> {
        let name = check::device(device, &eal.runtime.pci)?;
        let device = Device::probe(&eal.runtime, device, &name)?;
        Self::start(device, settings, pools)
    }

    pub(crate) fn start(
        mut device: Device,
        settings: &Settings,
        pools: &[&Pool],
    ) -> Result<Self, Error> {
        let capabilities = setup::run(&mut device, settings, pools)?;
        let taken = (0..capabilities.queues).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { device: Arc::new(device), taken, capabilities })
    }

    /// Hands out queue `index`, once; `None` when it is not there or has been taken.
    pub fn take_queue(&self, index: u16) -> Option<Queue> {
        let taken = self.taken.get(usize::from(index))?;
        if taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Queue::new(Arc::clone(&self.device), index))
    }

    /// The name by which DPDK knows the device.
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// What the device can do and was set up to do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The device's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.device.mac()
    }

    /// Gives the device another MAC address.
    ///
    /// # Errors
    /// `Device` when the driver cannot, or the address is not a unicast one.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        self.device.set_mac(mac)
    }

    /// The largest IP packet, in octets.
    pub fn mtu(&self) -> u16 {
        self.device.mtu()
    }

    /// Whether there is a peer at the other end.
    pub fn link_up(&self) -> bool {
        self.device.link_up()
    }

    /// The device's counters.
    pub fn statistics(&self) -> Statistics {
        self.device.statistics()
    }
}

impl Capabilities {
    fn check_queues(&self, name: &str, wanted: u16) -> Result<(), Error> {
        if (1..=self.queues_max).contains(&wanted) {
            return Ok(());
        }
        let reason = format!("{name} has at most {} queues, {wanted} are wanted", self.queues_max);
        let argument = match self.driver.as_str() {
            "net_af_packet" => " or give the device qpairs=N",
            "net_af_xdp" => " or give the device queue_count=N",
            "net_virtio_user" | "net_vhost" => " or give the device queues=N",
            "net_pcap" => " or give the device one rx_pcap=FILE and tx_pcap=FILE for each",
            _ => "",
        };
        Err(Error::new(
            Kind::Queues,
            reason,
            format!("use 1..={} workers on it{argument}", self.queues_max),
        ))
    }
}
