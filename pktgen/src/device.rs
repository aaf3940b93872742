//! The device: one queue of any DPDK port, frames copied in and out.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use dpdk::mbuf::HEADROOM;
use dpdk::port::{Settings, Statistics};
use dpdk::{Eal, Mbuf, Pool, Port, Queue, eal};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use wire::ethernet::Mac;

use crate::profile;

/// Buffers of the pool: receive and transmit queues full, and as many on their way.
const BUFFERS: u32 = 8192;
/// Octets of a buffer.
const ROOM: u16 = 2048;
/// Packets of one call to the device.
const BURST_LEN: usize = 64;
/// Calls to a device that takes nothing before the rest has to wait for the next turn.
const TRIES: usize = 8;

/// Devices that were opened so far.
static OPENED: AtomicU32 = AtomicU32::new(0);

/// Frames of a burst.
pub type Burst = ArrayVec<Mbuf, BURST_LEN>;

/// An open device. Dropping it closes the port.
pub struct Device {
    name: String,
    /// The kernel's interface behind it, if it had one when it was opened.
    interface: Option<String>,
    was_up: bool,
    port: Port,
    queue: Queue,
    pool: Pool,
    outgoing: Burst,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why a device could not be opened: a sentence and its remedy.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error of something that uses devices.
    pub(crate) fn new(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Starts DPDK for a profile's device.
///
/// # Errors
/// As [`Eal::start`].
pub fn start(device: &profile::Device, verbose: bool) -> Result<Eal, Error> {
    let memory = if device.hugepages {
        eal::Memory::Hugepages { megabytes: None }
    } else {
        eal::Memory::Ordinary { megabytes: device.megabytes }
    };
    let is_pci = device.name.starts_with(|first: char| first.is_ascii_hexdigit());
    let pci = if is_pci { vec![device.name.clone()] } else { Vec::new() };
    let main_core = device.core;
    let options = eal::Options { main_core, memory, pci, verbose, ..eal::Options::default() };
    Eal::start(&options).map_err(|error| Error(error.to_string()))
}

/// The kernel's interface that devargs name, if they name one: `net_af_packet0,iface=eth0`.
fn interface_of(name: &str) -> Option<&str> {
    name.split(',').find_map(|part| part.strip_prefix("iface="))
}

/// Whether the kernel has an interface of this name. Without a socket to ask with, it is believed to be there.
fn exists(interface: &str) -> bool {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None);
    let index = socket.and_then(|socket| name_to_index(socket, interface));
    !matches!(index, Err(Errno::NODEV))
}

impl Device {
    /// Opens the device named by devargs or PCI address, promiscuous, with one queue.
    ///
    /// # Errors
    /// As [`Pool::new`] and [`Port::open`].
    pub fn open(eal: &Eal, name: &str) -> Result<Self, Error> {
        let failed = |error: dpdk::Error| Error(format!("device {name}: {error}"));
        // Names of pools are the process's own.
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let pool = Pool::new(eal, &format!("pktgen{number}"), BUFFERS, ROOM).map_err(failed)?;
        // Questions of neighbour discovery come to groups that the device does not know of.
        let settings = Settings { promiscuous: true, ..Settings::default() };
        let port = Port::open(eal, name, &settings, &[&pool]).map_err(failed)?;
        let queue = port.take_queue(0);
        let queue = queue.ok_or_else(|| Error(format!("device {name} has no queue")))?;
        let interface = interface_of(name).filter(|interface| exists(interface)).map(str::to_owned);
        let (name, outgoing) = (name.to_owned(), Burst::new());
        Ok(Self { name, interface, was_up: false, port, queue, pool, outgoing })
    }

    /// Its link address.
    pub fn mac(&self) -> Mac {
        self.port.mac()
    }

    /// What became of it, in a few words, if it can carry nothing any more.
    pub fn gone(&mut self) -> Option<String> {
        let interface = self.interface.as_deref();
        if let Some(interface) = interface.filter(|interface| !exists(interface)) {
            return Some(format!("the interface {interface} behind the device is gone"));
        }
        // Some devices come up late, and some never say that they are up.
        let was_up = self.was_up;
        self.was_up = self.port.link_up();
        (was_up && !self.was_up).then(|| format!("the link of device {} went down", self.name))
    }

    /// The device's own counters.
    pub fn statistics(&self) -> Statistics {
        self.port.statistics()
    }

    /// Appends what has come.
    pub fn receive(&mut self, into: &mut Burst) -> usize {
        self.queue.receive(into)
    }

    /// Takes a frame to be sent; false when there is no buffer, or the device takes nothing.
    pub fn put(&mut self, frame: &[u8]) -> bool {
        if self.outgoing.is_full() {
            self.flush();
        }
        if self.outgoing.is_full() {
            return false;
        }
        let Some(mut mbuf) = self.pool.allocate() else { return false };
        let start = usize::from(HEADROOM);
        let Some(place) = mbuf.octets_mut().get_mut(start..start + frame.len()) else {
            return false;
        };
        place.copy_from_slice(frame);
        if mbuf.set_range(start, frame.len()).is_err() {
            return false;
        }
        self.outgoing.push(mbuf);
        true
    }

    /// Sends what was put in; what the device does not take stays. Returns how many that are.
    pub fn flush(&mut self) -> usize {
        for _ in 0..TRIES {
            if self.outgoing.is_empty() {
                break;
            }
            self.queue.transmit(&mut self.outgoing);
        }
        self.outgoing.len()
    }
}
