//! What can be known before DPDK is asked: free hugepages, rights, who holds a PCI device.

use std::fs;
use std::path::Path;

use crate::eal::Memory;
use crate::error::{Error, Kind};

/// A right that the kernel grants, by its bit in `CapEff` (capability.h).
#[derive(Clone, Copy)]
pub(crate) enum Right {
    NetAdmin = 12,
    NetRaw = 13,
    SysAdmin = 21,
}

/// Kernel drivers under which DPDK can use a card: pass-through ones, and mlx5 which shares its
/// card.
const DRIVERS_USABLE: &[&str] = &["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core"];

pub(super) fn memory(memory: Memory) -> Result<(), Error> {
    match memory {
        Memory::Hugepages { megabytes } => hugepages(megabytes.unwrap_or(1), free_megabytes()),
        Memory::Ordinary { megabytes: 0 } => Err(Error::new(
            Kind::Options,
            "0 MB of memory hold no packet",
            "set memory.megabytes to 256 or more",
        )),
        Memory::Ordinary { .. } => Ok(()),
    }
}

fn hugepages(wanted: u32, free: u64) -> Result<(), Error> {
    if free >= u64::from(wanted) {
        return Ok(());
    }
    let reason = if free == 0 {
        "no hugepage is free".to_owned()
    } else {
        format!("{free} MB of hugepages are free, {wanted} MB are wanted")
    };
    Err(Error::new(
        Kind::Hugepages,
        reason,
        "run scripts/hugepages 512, or set memory.hugepages = false",
    ))
}

/// Free hugepages of every size together.
fn free_megabytes() -> u64 {
    let folders = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let kilobytes: u64 = folders
        .filter_map(|folder| {
            let name = folder.file_name().into_string().ok()?;
            let page: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let free: u64 = fs::read_to_string(folder.path().join("free_hugepages"))
                .ok()?
                .trim()
                .parse()
                .ok()?;
            Some(page * free)
        })
        .sum();
    kilobytes / 1024
}

/// Whether the process has the right; unknown counts as yes, then the kernel itself answers.
pub(crate) fn may(right: Right) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_none_or(|set| set >> (right as u32) & 1 == 1)
}

/// Refuses a PCI device that is malformed, absent or in the kernel's hands: DPDK would pass over it
/// in silence.
pub(super) fn pci(device: &str) -> Result<(), Error> {
    let name = pci_name(device);
    if !is_pci(&name) {
        let reason = format!("{device:?} is not a PCI address");
        return Err(Error::new(
            Kind::Options,
            reason,
            "write it as 0000:01:00.0; scripts/bind lists the cards",
        ));
    }
    if !may(Right::SysAdmin) {
        let reason = format!("this process may not take the PCI device {name}");
        return Err(Error::new(Kind::Permission, reason, "run it as root"));
    }
    let folder = Path::new("/sys/bus/pci/devices").join(&name);
    if !folder.exists() {
        let reason = format!("there is no PCI device {name}");
        return Err(Error::new(
            Kind::MissingDevice,
            reason,
            "choose a card that scripts/bind lists",
        ));
    }
    let driver = fs::read_link(folder.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    match driver {
        Some(driver) if DRIVERS_USABLE.contains(&driver) => Ok(()),
        held => {
            let reason = match held {
                Some(driver) => {
                    format!("the PCI device {name} is held by the kernel driver {driver}")
                }
                None => format!("the PCI device {name} has no driver"),
            };
            Err(Error::new(Kind::KernelDriver, reason, format!("run scripts/bind vfio {name}")))
        }
    }
}

/// The address at the head of a device's devargs, with its domain.
pub(crate) fn pci_name(device: &str) -> String {
    let address = device.split(',').next().unwrap_or_default();
    if address.matches(':').count() == 1 { format!("0000:{address}") } else { address.to_owned() }
}

/// Whether this is `domain:bus:device.function` in hexadecimal.
pub(crate) fn is_pci(address: &str) -> bool {
    let parts: Vec<&str> = address.split([':', '.']).collect();
    let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let marks: String = address.chars().filter(|mark| matches!(mark, ':' | '.')).collect();
    lens == [4, 2, 2, 1]
        && marks == "::."
        && parts.concat().chars().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do_without_hugepages() {
        let error = hugepages(1, 0).unwrap_err();
        assert_eq!(error.kind(), Kind::Hugepages);
        assert!(
            error.to_string().contains("scripts/hugepages 512, or set memory.hugepages = false")
        );
        assert!(hugepages(64, 62).unwrap_err().reason().contains("62 MB"));
        assert!(hugepages(64, 64).is_ok());
    }

    #[test]
    fn tells_addresses_from_names() {
        assert!(is_pci("0000:01:00.0") && is_pci("00a0:ff:1f.7"));
        assert_eq!(pci_name("01:00.0,queues=4"), "0000:01:00.0");
        for wrong in ["net_tap0", "", "0000:01:00", "0000:01:00:0", "0000:0g:00.0", "000:01:00.00"]
        {
            assert!(!is_pci(wrong), "{wrong}");
        }
    }
}
