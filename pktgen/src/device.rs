//! The device: one queue of any DPDK port, frames copied in and out.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, io};

use arrayvec::ArrayVec;
use dpdk::mbuf::HEADROOM;
use dpdk::port::{Settings, Statistics};
use dpdk::{Eal, Mbuf, Pool, Port, Queue, eal};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use wire::ethernet::Mac;

use crate::profile;
use crate::report::Frames;

/// Buffers of the pool: receive and transmit queues full, and as many on their way.
const BUFFERS: u32 = 8192;
/// Octets of a buffer.
const ROOM: u16 = 2048;
/// Packets of one call to the device.
const BURST_LEN: usize = 64;
/// Calls to a device that takes nothing before the rest has to wait for the next turn.
const TRIES: usize = 8;

/// The flag of an interface that is up (linux/if.h).
const IFF_UP: u32 = 1;

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
    /// Frames fetched, and frames put into the queue.
    counts: (u64, u64),
    /// What tells other generators of this network namespace that the interface has one.
    sign: Option<io::Result<UnixDatagram>>,
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
    // An address has a colon before any argument; names of virtual devices have none.
    let is_pci = device.name.split(',').next().is_some_and(|name| name.contains(':'));
    let total = total_megabytes().filter(|total| !device.hugepages && device.megabytes > *total);
    if let Some(total) = total {
        let asked = device.megabytes;
        return Err(Error(format!(
            "device.megabytes = {asked} is more than the {total} MiB of this machine; 64 are enough"
        )));
    }
    let pci = if is_pci { vec![device.name.clone()] } else { Vec::new() };
    let main_core = device.core;
    let options = eal::Options { main_core, memory, pci, verbose, ..eal::Options::default() };
    if !is_pci && exists(&device.name) {
        let name = &device.name;
        return Err(Error(format!(
            "device {name}: an interface of the kernel has to be named with its driver; write net_af_packet0,iface={name}"
        )));
    }
    Eal::start(&options).map_err(|error| in_words_of_profiles(&error))
}

/// The machine's memory, MiB.
fn total_megabytes() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes: u64 = text.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok()?;
    u32::try_from(kilobytes / 1024).ok()
}

/// DPDK's remedies name the fields as the dataplane has them.
fn in_words_of_profiles(error: &dpdk::Error) -> Error {
    let text = error.to_string().replace("memory.", "device.");
    Error(text.replace("options.verbose", "--verbose"))
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

/// Whether its operator has taken the interface down. What cannot be known counts as up.
fn is_down(interface: &str) -> bool {
    let flags = std::fs::read_to_string(format!("/sys/class/net/{interface}/flags"));
    let flags = flags
        .ok()
        .and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    flags.is_some_and(|flags| flags & IFF_UP == 0)
}

/// A socket that only its name is for: such names belong to the network namespace, and go with the process.
fn sign(interface: &str) -> io::Result<UnixDatagram> {
    let name = format!("millrace-pktgen {interface}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

impl Device {
    /// Opens the device named by devargs or PCI address, promiscuous, with one queue.
    ///
    /// # Errors
    /// As [`Pool::new`] and [`Port::open`].
    pub fn open(eal: &Eal, name: &str) -> Result<Self, Error> {
        let failed =
            |error: dpdk::Error| Error(format!("device {name}: {}", in_words_of_profiles(&error)));
        // A packet socket takes and gives nothing then, and says nothing.
        if let Some(down) =
            interface_of(name).filter(|_| name.starts_with("net_af_")).filter(|i| is_down(i))
        {
            return Err(Error(format!("device {name}: {down} is down; ip link set {down} up")));
        }
        // Names of pools are the process's own.
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let pool = Pool::new(eal, &format!("pktgen{number}"), BUFFERS, ROOM).map_err(failed)?;
        // Questions of neighbour discovery come to groups that the device does not know of.
        let settings = Settings { promiscuous: true, ..Settings::default() };
        let port = Port::open(eal, name, &settings, &[&pool]).map_err(failed)?;
        let queue = port.take_queue(0);
        let queue = queue.ok_or_else(|| Error(format!("device {name} has no queue")))?;
        let interface = interface_of(name).filter(|interface| exists(interface)).map(str::to_owned);
        let sign = interface.as_deref().map(sign);
        let (name, outgoing, counts) = (name.to_owned(), Burst::new(), (0, 0));
        Ok(Self { name, interface, was_up: false, port, queue, pool, outgoing, counts, sign })
    }

    /// The interface, if another generator is at it: both get all frames.
    pub fn shared_with_another(&self) -> Option<&str> {
        let error = self.sign.as_ref()?.as_ref().err()?;
        self.interface.as_deref().filter(|_| error.kind() == io::ErrorKind::AddrInUse)
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
        if let Some(interface) = interface.filter(|interface| self.was_up && is_down(interface)) {
            return Some(format!("the interface {interface} went down"));
        }
        // Some devices come up late, and some never say that they are up.
        let was_up = self.was_up;
        self.was_up = self.port.link_up();
        (was_up && !self.was_up).then(|| format!("the link of device {} went down", self.name))
    }

    /// Every frame that it gave or took, and what it says of them itself.
    pub fn frames(&self) -> Frames {
        let Statistics { missed, without_buffer, transmit_errors, .. } = self.port.statistics();
        let (received, taken) = self.counts;
        let held = self.outgoing.len() as u64;
        Frames { received, taken, held, missed: missed + without_buffer, failed: transmit_errors }
    }

    /// Appends what has come.
    pub fn receive(&mut self, into: &mut Burst) -> usize {
        let count = self.queue.receive(into);
        self.counts.0 += count as u64;
        count
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
        self.counts.1 += 1;
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
