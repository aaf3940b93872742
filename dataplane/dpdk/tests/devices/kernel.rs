//! Ports with the kernel behind them: tap, `AF_PACKET`, `AF_XDP`, on interfaces made here and
//! removed here.

use std::fs;
use std::process::Command;

use dpdk::port::Settings;
use dpdk::{Eal, Pool, Port};

use crate::lab::{Case, Outcome, Skipped, assert_home, cross, pool, root};

pub(crate) const CASES: &[Case] = &[
    ("exchanges_frames_with_the_kernel_through_a_tap", tap),
    ("gives_a_tap_its_mtu_and_mac", tap_settings),
    ("exchanges_frames_over_a_veth_pair_by_af_packet", af_packet),
    ("exchanges_frames_over_a_veth_pair_by_af_xdp", af_xdp),
    ("opens_several_queues_of_a_tap", tap_queues),
];

/// A veth pair that goes with this value.
struct Veth(String, String);

impl Veth {
    fn new() -> Self {
        let id = std::process::id();
        let pair = Self(format!("mv{id}a"), format!("mv{id}b"));
        ip(&["link", "add", &pair.0, "type", "veth", "peer", "name", &pair.1]);
        for name in [&pair.0, &pair.1] {
            up(name);
        }
        pair
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip of iproute2");
    assert!(status.success(), "ip {arguments:?}");
}

fn up(name: &str) {
    // Without IPv6 the kernel sends nothing by itself.
    drop(fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1"));
    ip(&["link", "set", name, "up"]);
}

fn open(eal: &Eal, device: &str, settings: &Settings, pool: &Pool) -> Port {
    Port::open(eal, device, settings, &[pool]).unwrap_or_else(|error| panic!("{error}"))
}

fn tap(eal: &Eal) -> Outcome {
    root()?;
    let name = format!("mt{}", std::process::id());
    let pool = pool(eal, 4095);
    let tap = open(eal, &format!("net_tap0,iface={name}"), &Settings::default(), &pool);
    up(&name);
    // The other side is the kernel's end of the same interface.
    let kernel = open(eal, &format!("net_af_packet0,iface={name}"), &Settings::default(), &pool);
    let mut queues = (tap.take_queue(0).expect("a queue"), kernel.take_queue(0).expect("a queue"));
    cross(&pool, &mut queues.0, &mut queues.1, 0..20);
    cross(&pool, &mut queues.1, &mut queues.0, 20..40);
    assert!(tap.statistics().received >= 20 && tap.statistics().transmitted >= 20);
    drop((queues, kernel, tap));
    assert_home(&pool);
    assert!(
        !fs::exists(format!("/sys/class/net/{name}")).expect("sysfs"),
        "the interface goes with the port"
    );
    Ok(())
}

fn tap_settings(eal: &Eal) -> Outcome {
    root()?;
    let name = format!("ms{}", std::process::id());
    let pool = pool(eal, 4095);
    let settings = Settings { mtu: Some(1400), promiscuous: true, ..Settings::default() };
    let tap = open(eal, &format!("net_tap1,iface={name}"), &settings, &pool);
    tap.set_mac([2, 0, 0, 0, 0, 7]).expect("a MAC address");
    let read =
        |file: &str| fs::read_to_string(format!("/sys/class/net/{name}/{file}")).expect("sysfs");
    assert_eq!((read("mtu").trim(), read("address").trim()), ("1400", "02:00:00:00:00:07"));
    assert_eq!((tap.mtu(), tap.mac()), (1400, [2, 0, 0, 0, 0, 7]));
    assert!(tap.set_mac([0xff; 6]).is_err(), "broadcast is nobody's address");
    Ok(())
}

fn af_packet(eal: &Eal) -> Outcome {
    root()?;
    let veth = Veth::new();
    let pool = pool(eal, 4095);
    let a = open(eal, &format!("net_af_packet1,iface={}", veth.0), &Settings::default(), &pool);
    let b = open(eal, &format!("net_af_packet2,iface={}", veth.1), &Settings::default(), &pool);
    let mut queues = (a.take_queue(0).expect("a queue"), b.take_queue(0).expect("a queue"));
    cross(&pool, &mut queues.0, &mut queues.1, 0..20);
    cross(&pool, &mut queues.1, &mut queues.0, 20..40);
    drop((queues, a, b));
    assert_home(&pool);
    Ok(())
}

fn af_xdp(eal: &Eal) -> Outcome {
    root()?;
    let veth = Veth::new();
    let (pool_a, pool_b) = (pool(eal, 8191), pool(eal, 8191));
    let a = open(eal, &format!("net_af_xdp0,iface={}", veth.0), &Settings::default(), &pool_a);
    let b = open(eal, &format!("net_af_xdp1,iface={}", veth.1), &Settings::default(), &pool_b);
    let mut queues = (a.take_queue(0).expect("a queue"), b.take_queue(0).expect("a queue"));
    cross(&pool_a, &mut queues.0, &mut queues.1, 0..20);
    cross(&pool_b, &mut queues.1, &mut queues.0, 20..40);
    Ok(())
}

fn tap_queues(eal: &Eal) -> Outcome {
    root()?;
    let pool = pool(eal, 4095);
    let settings = Settings { queues: 4, ..Settings::default() };
    let device = format!("net_tap2,iface=mq{}", std::process::id());
    let tap = Port::open(eal, &device, &settings, &[&pool])
        .map_err(|error| Skipped(error.to_string()))?;
    assert!((0..4).all(|index| tap.take_queue(index).is_some()));
    Ok(())
}
