//! What cannot be is refused in a sentence that names the thing and the remedy.

use std::fs;

use dpdk::eal::{Eal, Memory, Options};
use dpdk::error::Kind;
use dpdk::port::Settings;
use dpdk::{Error, Port, vdev};

use crate::lab::{Case, Outcome, Skipped, options, pool, root, unique};

pub(crate) const CASES: &[Case] = &[
    ("refuses_to_start_twice", twice),
    ("names_the_remedy_when_hugepages_are_too_few", hugepages),
    ("names_the_kernel_driver_that_holds_a_card", held),
    ("names_a_card_that_is_not_there", absent),
    ("names_an_unknown_driver", driver),
    ("names_a_missing_interface", interface),
    ("names_a_missing_file_in_dpdks_words", file),
    ("says_how_many_queues_there_are", queues),
    ("says_how_large_buffers_have_to_be", room),
    ("says_which_mtu_is_possible", mtu),
    ("gives_a_refused_device_back", given_back),
];

fn twice(_: &Eal) -> Outcome {
    let error =
        Eal::start(&options(Memory::Ordinary { megabytes: 64 })).expect_err("the second start");
    assert_eq!(error.kind(), Kind::AlreadyStarted);
    Ok(())
}

fn hugepages(_: &Eal) -> Outcome {
    let memory = Memory::Hugepages { megabytes: Some(1 << 30) };
    let error = Eal::start(&options(memory)).expect_err("a petabyte");
    assert_eq!(error.kind(), Kind::Hugepages);
    assert!(
        error.remedy().contains("scripts/hugepages 512")
            && error.remedy().contains("memory.hugepages = false")
    );
    Ok(())
}

fn start_with_card(card: &str) -> Error {
    let memory = Memory::Ordinary { megabytes: 64 };
    Eal::start(&Options { pci: vec![card.to_owned()], ..options(memory) })
        .expect_err("the card is refused")
}

/// The check comes before DPDK starts, so the machine's own cards are in no danger.
fn held(_: &Eal) -> Outcome {
    root()?;
    let cards = fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten();
    let mut bound = cards.filter(|card| {
        fs::read_link(card.path().join("driver")).is_ok_and(|to| !to.ends_with("vfio-pci"))
    });
    let card = bound
        .next()
        .ok_or_else(|| Skipped("no PCI device with a kernel driver here".to_owned()))?;
    let name = card.file_name().into_string().expect("an address");
    let error = start_with_card(&name);
    assert_eq!(error.kind(), Kind::KernelDriver, "{error}");
    assert!(
        error.reason().contains("kernel driver")
            && error.remedy() == format!("run scripts/bind vfio {name}"),
        "{error}"
    );
    Ok(())
}

fn absent(_: &Eal) -> Outcome {
    root()?;
    assert_eq!(start_with_card("fffe:1f:1f.7").kind(), Kind::MissingDevice);
    assert_eq!(start_with_card("eth0").kind(), Kind::Options);
    Ok(())
}

fn refused(eal: &Eal, device: &str, settings: &Settings) -> Error {
    let pool = pool(eal, 63);
    Port::open(eal, device, settings, &[&pool]).expect_err("the device is refused")
}

fn driver(eal: &Eal) -> Outcome {
    let error = refused(eal, "net_nonsense0", &Settings::default());
    assert_eq!(error.kind(), Kind::UnknownDriver);
    assert!(
        error.to_string().contains("net_nonsense0") && error.remedy().contains("net_tap"),
        "{error}"
    );
    let error = refused(eal, "0000:01:00.0", &Settings::default());
    assert_eq!(error.kind(), Kind::MissingDevice, "{error}");
    Ok(())
}

fn interface(eal: &Eal) -> Outcome {
    root()?;
    for device in ["net_af_packet0", "net_af_xdp0"] {
        let error = refused(eal, &format!("{device},iface=nowhere0"), &Settings::default());
        assert_eq!(error.kind(), Kind::MissingInterface);
        assert!(error.reason().contains("\"nowhere0\""), "{error}");
        assert_eq!(refused(eal, device, &Settings::default()).kind(), Kind::Options);
    }
    Ok(())
}

fn file(eal: &Eal) -> Outcome {
    let error = refused(eal, "net_pcap9,rx_pcap=/nonexistent.pcap", &Settings::default());
    assert_eq!(error.kind(), Kind::Device);
    assert!(error.reason().contains("/nonexistent.pcap"), "{error}");
    Ok(())
}

fn queues(eal: &Eal) -> Outcome {
    let error = refused(eal, "net_ring9", &Settings { queues: 17, ..Settings::default() });
    assert_eq!(error.kind(), Kind::Queues);
    assert!(error.reason().contains("at most 16 queues, 17 are wanted"), "{error}");
    assert_eq!(
        refused(eal, "net_null9", &Settings { queues: 0, ..Settings::default() }).kind(),
        Kind::Queues
    );
    let pool = pool(eal, 63);
    assert_eq!(
        vdev::ring_pair(eal, &unique("q"), 17, 8, &pool).expect_err("too many").kind(),
        Kind::Queues
    );
    Ok(())
}

fn room(eal: &Eal) -> Outcome {
    let error = refused(eal, "net_null9", &Settings { mtu: Some(9000), ..Settings::default() });
    assert_eq!(error.kind(), Kind::Options);
    assert!(error.remedy().contains("9022"), "{error}");
    Ok(())
}

fn mtu(eal: &Eal) -> Outcome {
    let error = refused(eal, "net_null9", &Settings { mtu: Some(10), ..Settings::default() });
    assert_eq!(error.kind(), Kind::Options);
    assert!(error.reason().contains("MTU of 10"), "{error}");
    Ok(())
}

fn given_back(eal: &Eal) -> Outcome {
    let settings = Settings { queues: 2000, ..Settings::default() };
    assert_eq!(refused(eal, "net_null8", &settings).kind(), Kind::Queues);
    let pool = pool(eal, 63);
    assert!(Port::open(eal, "net_null8", &Settings::default(), &[&pool]).is_ok());
    Ok(())
}
