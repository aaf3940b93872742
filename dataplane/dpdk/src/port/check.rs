//! What can be said of a device before DPDK is asked, whose own answers name no cause.

use std::ffi::CString;

use crate::eal::checks::{self, Right, may};
use crate::error::{Error, Kind};

/// The virtual devices that are linked in, by their drivers' names.
const VIRTUAL: &[&str] = &[
    "net_null",
    "net_ring",
    "net_tap",
    "net_memif",
    "net_pcap",
    "net_af_packet",
    "net_af_xdp",
    "net_virtio_user",
    "net_vhost",
];

/// Checks the device's text and what it refers to; returns the name that DPDK will know it by.
pub(super) fn device(device: &str, allowed: &[String]) -> Result<String, Error> {
    let name = device.split(',').next().unwrap_or_default();
    let address = checks::pci_name(name);
    if checks::is_pci(&address) {
        return pci(address, allowed);
    }
    let Some(driver) = VIRTUAL.iter().find(|driver| is_instance(name, driver)) else {
        let reason = format!("no driver for the device {name:?}");
        let remedy =
            format!("use a PCI address, or one of {} with a number behind it", VIRTUAL.join(", "));
        return Err(Error::new(Kind::UnknownDriver, reason, remedy));
    };
    rights(name, driver)?;
    if matches!(*driver, "net_af_packet" | "net_af_xdp") {
        interface(name, argument(device, "iface"))?;
    }
    Ok(name.to_owned())
}

fn pci(address: String, allowed: &[String]) -> Result<String, Error> {
    if allowed.contains(&address) {
        return Ok(address);
    }
    let reason =
        format!("the PCI device {address} is not on the allow-list that DPDK was started with");
    Err(Error::new(
        Kind::MissingDevice,
        reason,
        "add it to the list of PCI devices and start again",
    ))
}

/// DPDK takes any device whose name begins with a driver's; a number behind it keeps `net_tapx`
/// from being one.
fn is_instance(name: &str, driver: &str) -> bool {
    name.strip_prefix(driver)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_digit()))
}

fn argument<'a>(device: &'a str, key: &str) -> Option<&'a str> {
    device.split(',').skip(1).find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn rights(name: &str, driver: &str) -> Result<(), Error> {
    let (right, capability) = match driver {
        "net_tap" | "net_af_xdp" => (Right::NetAdmin, "CAP_NET_ADMIN"),
        "net_af_packet" => (Right::NetRaw, "CAP_NET_RAW"),
        _ => return Ok(()),
    };
    if may(right) {
        return Ok(());
    }
    let reason = format!("this process may not open {name}: {capability} is missing");
    Err(Error::new(Kind::Permission, reason, "run it as root, or with that capability"))
}

fn interface(name: &str, interface: Option<&str>) -> Result<(), Error> {
    let Some(interface) = interface else {
        let reason = format!("{name} needs the interface that it shall use");
        return Err(Error::new(Kind::Options, reason, format!("write {name},iface=NAME")));
    };
    // SAFETY: the text ends in a zero octet, and the call only reads it.
    let index =
        CString::new(interface).map_or(0, |text| unsafe { libc::if_nametoindex(text.as_ptr()) });
    if index != 0 {
        return Ok(());
    }
    let reason =
        format!("there is no interface {interface:?} for {name} in this network namespace");
    Err(Error::new(Kind::MissingInterface, reason, "make it, or choose one that ip link lists"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_linked_drivers_only() {
        assert_eq!(device("net_null0,size=64", &[]).unwrap(), "net_null0");
        for wrong in ["net_nul0", "net_null", "net_nullx", "eth_ixgbe0", "", ",x"] {
            assert_eq!(device(wrong, &[]).unwrap_err().kind(), Kind::UnknownDriver, "{wrong}");
        }
    }

    #[test]
    fn takes_pci_devices_of_the_allow_list_only() {
        let allowed = ["0000:01:00.0".to_owned()];
        assert_eq!(device("01:00.0", &allowed).unwrap(), "0000:01:00.0");
        assert_eq!(device("0000:02:00.0", &allowed).unwrap_err().kind(), Kind::MissingDevice);
    }

    #[test]
    fn reads_the_argument_of_exactly_that_name() {
        assert_eq!(argument("net_x0,ifaces=a,iface=b", "iface"), Some("b"));
        assert_eq!(argument("net_x0", "iface"), None);
    }
}
