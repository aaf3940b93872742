//! One device of DPDK's: found, asked about, and at the end emptied, stopped, closed and removed.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Arc, Mutex};

use arrayvec::ArrayVec;
use dpdk_sys::{rte_eth_dev_info, rte_ether_addr, rte_mbuf};

use crate::eal::log;
use crate::eal::runtime::{Runtime, lock};
use crate::error::{Error, Kind, c_string, errno_text};
use crate::mbuf::Mbuf;
use crate::pool::Store;
use crate::port::Statistics;
use crate::ring::Ring;

/// `RTE_ETH_NAME_MAX_LEN` bounds a device's name; the arguments behind it have no bound of their
/// own.
const DEVARGS_LEN_MAX: usize = 4096;

/// A device in our hands, and all that has to outlive it.
pub(crate) struct Device {
    id: u16,
    name: String,
    on_virtual_bus: bool,
    pub(super) queues: u16,
    pub(super) started: bool,
    pub(super) checksums: bool,
    /// Control verbs of a driver are not made for several threads at once.
    control: Mutex<()>,
    /// What the queues are filled from.
    pub(super) pools: Vec<Arc<Store>>,
    /// Rings that the device was made of, for its peer uses them too.
    pub(crate) rings: Vec<Arc<Ring>>,
    runtime: Arc<Runtime>,
}

impl Device {
    /// Lets DPDK find the device and its driver. A device can be open once.
    pub(super) fn probe(runtime: &Arc<Runtime>, device: &str, name: &str) -> Result<Self, Error> {
        let devargs = c_string(device, DEVARGS_LEN_MAX, "the device")?;
        let mut ports = lock(&runtime.ports);
        if port_id(name).is_none() {
            log::forget();
            // SAFETY: the text ends in a zero octet; probing is serialised by the lock on the
            // ports.
            let result = unsafe { dpdk_sys::rte_dev_probe(devargs.as_ptr()) };
            if result < 0 || port_id(name).is_none() {
                return Err(refused(name, "was not found by its driver", result));
            }
        }
        let id = port_id(name).filter(|id| ports.insert(*id)).ok_or_else(|| {
            Error::new(
                Kind::Device,
                format!("{name} is open already"),
                "open it once, and share its queues",
            )
        })?;
        drop(ports);
        Ok(Self::new(runtime, id, name))
    }

    /// Takes over a port that `make` makes, of rings that the device then keeps.
    pub(crate) fn of_rings(
        runtime: &Arc<Runtime>,
        name: &str,
        rings: Vec<Arc<Ring>>,
        make: impl FnOnce() -> i32,
    ) -> Result<Self, Error> {
        let mut ports = lock(&runtime.ports);
        log::forget();
        let result = make();
        let id = u16::try_from(result)
            .map_err(|_| refused(name, "could not be made of rings", result))?;
        ports.insert(id);
        drop(ports);
        let mut device = Self::new(runtime, id, name);
        device.rings = rings;
        Ok(device)
    }

    fn new(runtime: &Arc<Runtime>, id: u16, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            on_virtual_bus: name.starts_with("net_"),
            queues: 0,
            started: false,
            checksums: false,
            control: Mutex::new(()),
            pools: Vec::new(),
            rings: Vec::new(),
            runtime: Arc::clone(runtime),
        }
    }

    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether received buffers carry this device's verdict on their checksums.
    pub(crate) fn checks_checksums(&self) -> bool {
        self.checksums
    }

    /// What the driver says of the device.
    pub(super) fn info(&self) -> Result<rte_eth_dev_info, Error> {
        let mut info = MaybeUninit::<rte_eth_dev_info>::zeroed();
        // SAFETY: the port is ours and open; on success all of the structure is filled, which zeros
        // are valid for anyway.
        let (result, info) = unsafe {
            (dpdk_sys::rte_eth_dev_info_get(self.id, info.as_mut_ptr()), info.assume_init())
        };
        if result == 0 {
            Ok(info)
        } else {
            Err(refused(&self.name, "does not describe itself", result))
        }
    }

    pub(super) fn mac(&self) -> [u8; 6] {
        let mut address = rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is ours and open; the address is writable.
        unsafe { dpdk_sys::rte_eth_macaddr_get(self.id, &raw mut address) };
        address.addr_bytes
    }

    pub(super) fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        let mut address = rte_ether_addr { addr_bytes: mac };
        let guard = lock(&self.control);
        log::forget();
        // SAFETY: the port is ours and open; DPDK copies the address.
        let result =
            unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(self.id, &raw mut address) };
        drop(guard);
        if result == 0 {
            Ok(())
        } else {
            Err(refused(&self.name, "does not take this MAC address", result))
        }
    }

    pub(super) fn mtu(&self) -> u16 {
        let mut mtu = 0;
        // SAFETY: the port is ours and open; the number is writable.
        unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.id, &raw mut mtu) };
        mtu
    }

    pub(super) fn link_up(&self) -> bool {
        let mut link = MaybeUninit::zeroed();
        let guard = lock(&self.control);
        // SAFETY: the port is ours and open; zeros are a valid link (down), should the call leave
        // it untouched.
        let link = unsafe {
            dpdk_sys::rte_eth_link_get_nowait(self.id, link.as_mut_ptr());
            link.assume_init()
        };
        drop(guard);
        link.link_status() == 1
    }

    pub(super) fn statistics(&self) -> Statistics {
        let mut raw = MaybeUninit::zeroed();
        let guard = lock(&self.control);
        // SAFETY: the port is ours and open; zeros are valid counters, should the call fail.
        let raw = unsafe {
            dpdk_sys::rte_eth_stats_get(self.id, raw.as_mut_ptr());
            raw.assume_init()
        };
        drop(guard);
        Statistics {
            received: raw.ipackets,
            received_octets: raw.ibytes,
            transmitted: raw.opackets,
            transmitted_octets: raw.obytes,
            missed: raw.imissed,
            receive_errors: raw.ierrors,
            transmit_errors: raw.oerrors,
            without_buffer: raw.rx_nombuf,
        }
    }

    /// Takes what loops inside a ring device, which forgets its packets when it is closed.
    fn drain(&self) {
        if !self.name.starts_with("net_ring") || !self.rings.is_empty() {
            return;
        }
        let mut rest = ArrayVec::<Mbuf, 64>::new();
        for queue in 0..self.queues {
            // SAFETY: the port is started, its queues are gone (they hold the device), so nobody
            // else receives; there is room for 64 pointers, of which the driver fills as many as it
            // says.
            unsafe {
                let row = (&raw const dpdk_sys::rte_eth_fp_ops)
                    .cast::<dpdk_sys::rte_eth_fp_ops>()
                    .add(usize::from(self.id));
                let Some(receive) = (*row).rx_pkt_burst else { return };
                loop {
                    let free = rest.as_mut_ptr().cast::<*mut rte_mbuf>();
                    let received = receive(*(*row).rxq.data.add(usize::from(queue)), free, 64);
                    if received == 0 {
                        break;
                    }
                    rest.set_len(usize::from(received));
                    rest.clear();
                }
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.started {
            self.drain();
        }
        let device = self.info().map_or(ptr::null_mut(), |info| info.device);
        let mut ports = lock(&self.runtime.ports);
        // SAFETY: the port is ours and open, and no queue of it is left; after closing, only the
        // device's own handle is used, which lives until it is removed. Cards stay on their bus,
        // since EAL gives them back at its end.
        unsafe {
            if self.started {
                dpdk_sys::rte_eth_dev_stop(self.id);
            }
            dpdk_sys::rte_eth_dev_close(self.id);
            if self.on_virtual_bus && !device.is_null() {
                dpdk_sys::rte_dev_remove(device.cast());
            }
        }
        ports.remove(&self.id);
    }
}

fn port_id(name: &str) -> Option<u16> {
    let name =
        c_string(name, dpdk_sys::RTE_ETH_NAME_MAX_LEN as usize - 1, "the device name").ok()?;
    let mut id = 0;
    // SAFETY: the name ends in a zero octet; the number is writable.
    let found = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) } == 0;
    found.then_some(id)
}

/// The driver's refusal, with what DPDK logged since `log::forget`.
pub(super) fn refused(name: &str, what: &str, result: i32) -> Error {
    // Many drivers return -1 for all that can go wrong; as an errno it would read as a lack of
    // rights.
    let cause = if result == -1 { String::new() } else { format!(": {}", errno_text(result)) };
    let reason = format!("{name} {what}{cause}{}", log::said());
    if result == -libc::EACCES {
        return Error::new(Kind::Permission, reason, "run it as root");
    }
    Error::new(Kind::Device, reason, "check the device's arguments and that nothing else uses it")
}

/// A text that DPDK owns; empty for none.
///
/// # Safety
/// `text` is null or ends in a zero octet, and lives during the call.
pub(super) unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
