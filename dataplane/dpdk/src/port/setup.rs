//! Setting up a port: limits checked, queues made and filled, started.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use dpdk_sys::{rte_eth_conf, rte_eth_dev_info};

use crate::eal::log;
use crate::error::{Error, Kind};
use crate::pool::Pool;
use crate::port::device::{Device, refused, text};
use crate::port::{Capabilities, Settings};

/// Ethernet header and two VLAN tags: what a frame is longer than its IP packet.
const FRAME_OVERHEAD: u16 = 22;
/// Offloads worth asking a card for.
const CHECKSUMS: u64 = dpdk_sys::RX_OFFLOAD_IPV4_CKSUM
    | dpdk_sys::RX_OFFLOAD_UDP_CKSUM
    | dpdk_sys::RX_OFFLOAD_TCP_CKSUM;

/// Brings the device from probed to started.
pub(super) fn run(
    device: &mut Device,
    settings: &Settings,
    pools: &[&Pool],
) -> Result<Capabilities, Error> {
    let info = device.info()?;
    let mut capabilities = describe(&info);
    let mut settings = *settings;
    let mut pools = pools;
    if settings.fewer_queues && capabilities.queues_max > 0 {
        settings.queues = settings.queues.min(capabilities.queues_max);
        pools = pools.get(..usize::from(settings.queues)).unwrap_or(pools);
    }
    let settings = &settings;
    capabilities.queues = settings.queues;
    capabilities.check_queues(device.name(), settings.queues)?;
    let mtu = mtu(device, &info, settings)?;
    let pools = share(device.name(), settings.queues, pools, mtu)?;
    let offloads = if settings.checksums && capabilities.checksums {
        info.rx_offload_capa & CHECKSUMS
    } else {
        0
    };
    let spread = if settings.queues > 1 {
        info.flow_type_rss_offloads & dpdk_sys::RSS_IP_UDP_TCP
    } else {
        0
    };
    log::forget();
    configure(device, settings, &Mode { mtu, offloads, spread })?;
    make_queues(device, settings, &pools)?;
    start(device, settings, mtu)?;
    capabilities.checksums = offloads != 0;
    capabilities.spreads = spread != 0;
    device.checksums = capabilities.checksums;
    Ok(capabilities)
}

fn describe(info: &rte_eth_dev_info) -> Capabilities {
    // SAFETY: the driver's name is static text of the driver.
    let driver = unsafe { text(info.driver_name) };
    // net_tap checks in software, which the pipeline does better where it needs it. A virtio device
    // that is asked to check hands over packets whose checksums the sender left out; unasked it
    // hands over whole ones.
    let in_hardware = !driver.starts_with("net_tap")
        && !driver.starts_with("net_virtio")
        && driver != "net_vhost";
    Capabilities {
        queues: 0,
        queues_max: info.max_rx_queues.min(info.max_tx_queues),
        spreads: info.flow_type_rss_offloads & dpdk_sys::RSS_IP_UDP_TCP != 0,
        checksums: in_hardware && info.rx_offload_capa & CHECKSUMS != 0,
        driver,
    }
}

fn mtu(device: &Device, info: &rte_eth_dev_info, settings: &Settings) -> Result<u16, Error> {
    let Some(mtu) = settings.mtu else { return Ok(device.mtu()) };
    if (info.min_mtu..=info.max_mtu).contains(&mtu) {
        return Ok(mtu);
    }
    let reason = format!("{} cannot have an MTU of {mtu}", device.name());
    Err(Error::new(Kind::Options, reason, format!("choose {}..={}", info.min_mtu, info.max_mtu)))
}

/// One pool for each queue, each with room for a frame.
fn share<'a>(
    name: &str,
    queues: u16,
    pools: &[&'a Pool],
    mtu: u16,
) -> Result<Vec<&'a Pool>, Error> {
    let frame_len = mtu.saturating_add(FRAME_OVERHEAD);
    if let Some(pool) = pools.iter().find(|pool| pool.room() < frame_len) {
        let reason = format!(
            "buffers of {} octets do not hold the frames of {name}, MTU {mtu}",
            pool.room()
        );
        return Err(Error::new(
            Kind::Options,
            reason,
            format!("make the pool with room for {frame_len} octets"),
        ));
    }
    match pools {
        [pool] => Ok(vec![*pool; usize::from(queues)]),
        pools if pools.len() == usize::from(queues) => Ok(pools.to_vec()),
        pools => {
            let reason =
                format!("{} pools cannot be shared out to {queues} queues of {name}", pools.len());
            Err(Error::new(Kind::Options, reason, "give one pool for all queues, or one for each"))
        }
    }
}

/// What the device is configured to do with each packet.
struct Mode {
    mtu: u16,
    offloads: u64,
    spread: u64,
}

fn configure(device: &mut Device, settings: &Settings, mode: &Mode) -> Result<(), Error> {
    // SAFETY: a configuration of zeros is the default one, as DPDK's own programs use it.
    let mut configuration: rte_eth_conf = unsafe { MaybeUninit::zeroed().assume_init() };
    configuration.rxmode.mtu = u32::from(mode.mtu);
    configuration.rxmode.offloads = mode.offloads;
    if mode.spread != 0 {
        configuration.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
        configuration.rx_adv_conf.rss_conf.rss_hf = mode.spread;
    }
    let queues = settings.queues;
    // SAFETY: the port is ours and stopped; DPDK copies the configuration.
    let result = unsafe {
        dpdk_sys::rte_eth_dev_configure(device.id(), queues, queues, &raw const configuration)
    };
    if result != 0 {
        return Err(refused(device.name(), "does not take the configuration", result));
    }
    device.queues = queues;
    Ok(())
}

fn make_queues(device: &mut Device, settings: &Settings, pools: &[&Pool]) -> Result<(), Error> {
    let (mut receive, mut transmit) = (settings.receive_descriptors, settings.transmit_descriptors);
    device.pools = pools.iter().map(|pool| Arc::clone(&pool.store)).collect();
    // SAFETY: the port is ours, configured and stopped; each queue index is below the count
    // configured; the pools are kept by the device, which is closed before it lets them go; null
    // asks for the driver's defaults.
    let result = unsafe {
        let id = device.id();
        let socket = u32::try_from(dpdk_sys::rte_eth_dev_socket_id(id)).unwrap_or(0);
        let mut result =
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &raw mut receive, &raw mut transmit);
        for (index, pool) in (0..settings.queues).zip(pools) {
            if result == 0 {
                let pool = pool.store.pool.as_ptr();
                result =
                    dpdk_sys::rte_eth_rx_queue_setup(id, index, receive, socket, ptr::null(), pool);
            }
            if result == 0 {
                result = dpdk_sys::rte_eth_tx_queue_setup(id, index, transmit, socket, ptr::null());
            }
        }
        result
    };
    if result == 0 {
        Ok(())
    } else {
        Err(refused(device.name(), "does not take the queues", result))
    }
}

fn start(device: &mut Device, settings: &Settings, mtu: u16) -> Result<(), Error> {
    let id = device.id();
    // SAFETY: the port is ours and all of its queues are set up.
    let result = unsafe { dpdk_sys::rte_eth_dev_start(id) };
    if result != 0 {
        return Err(refused(device.name(), "does not start", result));
    }
    device.started = true;
    // The configuration reaches cards, but not the kernel's interface behind a tap, which is ours
    // to set.
    if settings.mtu.is_some() && device.name().starts_with("net_tap") {
        // SAFETY: the port is ours and open.
        let result = unsafe { dpdk_sys::rte_eth_dev_set_mtu(id, mtu) };
        if result != 0 {
            return Err(refused(device.name(), "does not take the MTU", result));
        }
    }
    // Neighbour solicitations come to multicast addresses that follow from ours (RFC 4861 7.2.1), which
    // cards filter. Devices without a filter have nothing to switch.
    // SAFETY: the port is ours and open.
    let result = unsafe { dpdk_sys::rte_eth_allmulticast_enable(id) };
    if result != 0 && result != -libc::ENOTSUP {
        return Err(refused(device.name(), "does not take multicast", result));
    }
    if settings.promiscuous {
        // SAFETY: the port is ours and open.
        let result = unsafe { dpdk_sys::rte_eth_promiscuous_enable(id) };
        // Devices without a MAC filter have nothing to switch off.
        if result != 0 && result != -libc::ENOTSUP {
            return Err(refused(device.name(), "does not become promiscuous", result));
        }
    }
    Ok(())
}
