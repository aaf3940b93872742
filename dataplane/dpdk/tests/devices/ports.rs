//! Ports without a kernel behind them: null, ring, pairs of rings, files.

use std::fs;
use std::path::PathBuf;

use dpdk::mbuf::OutOfRange;
use dpdk::port::Settings;
use dpdk::{Eal, Port, lcore, vdev};

use crate::lab::{Burst, Case, Outcome, assert_home, cross, frames, number, pool, unique};

pub(crate) const CASES: &[Case] = &[
    ("receives_from_null_without_leak", null),
    ("loops_a_ring_device_and_empties_it_when_closed", ring_loop),
    ("connects_a_pair_of_ports_both_ways_on_every_queue", pair),
    ("leaves_the_unsent_rest_in_order", rest),
    ("zeroes_the_tag_of_a_received_packet", tag),
    ("hands_out_each_queue_once_and_keeps_the_port_open_for_it", queue_once),
    ("opens_a_device_with_fewer_queues_where_that_is_allowed", fewer),
    ("lets_a_queue_move_to_another_thread", moves),
    ("opens_a_device_again_after_it_was_closed", again),
    ("reads_and_writes_capture_files", files),
    ("shows_a_packet_of_several_segments", segments),
    ("counts_a_lack_of_buffers", without_buffer),
];

fn open(eal: &Eal, device: &str, queues: u16, pool: &dpdk::Pool) -> Port {
    Port::open(eal, device, &Settings { queues, ..Settings::default() }, &[pool]).expect("a port")
}

fn null(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    let port = open(eal, "net_null0,size=100", 1, &pool);
    let mut queue = port.take_queue(0).expect("a queue");
    let mut burst = Burst::new();
    assert_eq!(queue.receive(&mut burst), 32);
    assert_eq!(queue.receive(&mut burst), 0, "a full vector receives nothing");
    assert!(burst.iter().all(|mbuf| mbuf.len() == 100 && mbuf.segments() == 1));
    assert_eq!(queue.transmit(&mut burst), 32);
    assert!(burst.is_empty());
    let statistics = port.statistics();
    assert_eq!((statistics.received, statistics.transmitted), (32, 32));
    assert!(port.link_up() && port.mac() != [0; 6] && port.mtu() == 1500);
    assert_eq!(port.capabilities().driver, "net_null");
    drop((queue, port));
    assert_home(&pool);
    Ok(())
}

fn ring_loop(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    let port = open(eal, "net_ring0", 2, &pool);
    let mut queues = [port.take_queue(0).expect("queue 0"), port.take_queue(1).expect("queue 1")];
    for queue in &mut queues {
        queue.transmit(&mut frames(&pool, 0..32));
        let mut burst = Burst::new();
        assert_eq!(queue.receive(&mut burst), 32);
        assert_eq!(
            burst.iter().filter_map(number).collect::<Vec<_>>(),
            (0..32).collect::<Vec<_>>()
        );
        queue.transmit(&mut burst);
    }
    assert_eq!(pool.in_use(), 64);
    drop(port);
    assert_eq!(pool.in_use(), 64, "queues keep the port");
    drop(queues);
    assert_home(&pool);
    Ok(())
}

fn pair(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    let (a, b) = vdev::ring_pair(eal, &unique("v"), 2, 128, &pool).expect("a pair");
    for index in 0..2 {
        let mut a = a.take_queue(index).expect("a queue");
        let mut b = b.take_queue(index).expect("a queue");
        cross(&pool, &mut a, &mut b, 0..30);
        cross(&pool, &mut b, &mut a, 30..60);
        a.transmit(&mut frames(&pool, 0..20));
    }
    assert_eq!(b.statistics().received, 60);
    drop(a);
    assert_eq!(pool.in_use(), 40, "what is on its way belongs to both ports");
    drop(b);
    assert_home(&pool);
    Ok(())
}

fn rest(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let (a, b) = vdev::ring_pair(eal, &unique("f"), 1, 20, &pool).expect("a pair");
    let (mut sends, mut receives) =
        (a.take_queue(0).expect("a queue"), b.take_queue(0).expect("a queue"));
    let mut waiting = frames(&pool, 0..32);
    assert_eq!((sends.transmit(&mut waiting), waiting.len()), (20, 12));
    assert_eq!((sends.transmit(&mut waiting), waiting.len()), (0, 12));
    let mut burst = Burst::new();
    receives.receive(&mut burst);
    assert_eq!(sends.transmit(&mut waiting), 12);
    receives.receive(&mut burst);
    assert_eq!(burst.iter().filter_map(number).collect::<Vec<_>>(), (0..32).collect::<Vec<_>>());
    Ok(())
}

fn tag(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let (a, b) = vdev::ring_pair(eal, &unique("t"), 1, 32, &pool).expect("a pair");
    let (mut sends, mut receives) =
        (a.take_queue(0).expect("a queue"), b.take_queue(0).expect("a queue"));
    let mut burst = frames(&pool, 0..3);
    burst.iter_mut().for_each(|mbuf| mbuf.set_tag(u64::MAX));
    sends.transmit(&mut burst);
    receives.receive(&mut burst);
    assert_eq!(burst.iter().map(dpdk::Mbuf::tag).collect::<Vec<_>>(), [0; 3]);
    Ok(())
}

fn queue_once(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let port = open(eal, "net_null1", 2, &pool);
    let mut queue = port.take_queue(1).expect("the first time");
    assert!(port.take_queue(1).is_none() && port.take_queue(2).is_none());
    assert!(port.take_queue(0).is_some_and(|queue| queue.index() == 0));
    drop(port);
    let mut burst = Burst::new();
    assert_eq!(queue.receive(&mut burst), 32, "the port lives as long as a queue of it");
    let error =
        Port::open(eal, "net_null1", &Settings::default(), &[&pool]).expect_err("still open");
    assert!(error.reason().contains("open already"), "{error}");
    Ok(())
}

/// With a pool for each queue that was wished for, and with one for all.
fn fewer(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    let settings = Settings { queues: 17, fewer_queues: true, ..Settings::default() };
    for pools in [vec![&pool; 17], vec![&pool]] {
        let port = Port::open(eal, "net_ring7", &settings, &pools).expect("a port");
        assert_eq!((port.capabilities().queues, port.capabilities().queues_max), (16, 16));
        assert!(port.take_queue(15).is_some() && port.take_queue(16).is_none());
    }
    let enough = Settings { queues: 2, ..settings };
    let port = Port::open(eal, "net_ring7", &enough, &[&pool]).expect("a port");
    assert_eq!(port.capabilities().queues, 2, "no more than were wished for");
    Ok(())
}

fn moves(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    let port = open(eal, "net_null2", 1, &pool);
    let mut queue = port.take_queue(0).expect("a queue");
    let work = move || {
        let mut burst = Burst::new();
        (0..1000).map(|_| queue.receive(&mut burst) + queue.transmit(&mut burst)).sum::<usize>()
    };
    let moved = lcore::spawn(eal, "moves", None, work).expect("a thread").join().expect("no panic");
    assert_eq!(moved, 64_000);
    drop(port);
    assert_home(&pool);
    Ok(())
}

fn again(eal: &Eal) -> Outcome {
    let pool = pool(eal, 1023);
    for size in [64, 128, 256] {
        let port = open(eal, &format!("net_null3,size={size}"), 1, &pool);
        let mut burst = Burst::new();
        port.take_queue(0).expect("a queue").receive(&mut burst);
        assert_eq!(burst[0].len(), size, "the arguments are the new ones");
    }
    assert_home(&pool);
    Ok(())
}

/// A capture file of frames of these lengths, each filled with its index.
fn capture(lens: &[usize]) -> PathBuf {
    let path = std::env::temp_dir().join(unique("millrace")).with_extension("pcap");
    let mut file = Vec::new();
    // Magic, version 2.4, zone, accuracy, longest packet, Ethernet.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_ne_bytes());
    }
    for (index, &len) in lens.iter().enumerate() {
        let len_word = u32::try_from(len).expect("a short frame");
        for word in [0, 0, len_word, len_word] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(std::iter::repeat_n(u8::try_from(index).expect("few frames"), len));
    }
    fs::write(&path, file).expect("a capture file");
    path
}

fn files(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let lens = [60, 61, 1514];
    let (input, output) =
        (capture(&lens), std::env::temp_dir().join(unique("millrace_out")).with_extension("pcap"));
    let device = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let port = open(eal, &device, 1, &pool);
    let mut queue = port.take_queue(0).expect("a queue");
    let mut burst = Burst::new();
    assert_eq!(queue.receive(&mut burst), 3);
    for (index, (mbuf, len)) in (0_u8..).zip(burst.iter().zip(lens)) {
        assert_eq!(mbuf.frame(), vec![index; len]);
    }
    assert_eq!(queue.transmit(&mut burst), 3);
    drop((queue, port));
    assert_home(&pool);
    let written = fs::read(&output).expect("the output file");
    // A file header of 24 octets, and 16 before each packet.
    assert_eq!(written.len(), 24 + lens.iter().map(|len| 16 + len).sum::<usize>());
    for file in [input, output] {
        fs::remove_file(file).expect("the file");
    }
    Ok(())
}

fn segments(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let input = capture(&[60, 6000]);
    let port = open(eal, &format!("net_pcap1,rx_pcap={}", input.display()), 1, &pool);
    let mut queue = port.take_queue(0).expect("a queue");
    let mut burst = Burst::new();
    assert_eq!(queue.receive(&mut burst), 2);
    let long = &mut burst[1];
    assert!(long.segments() >= 3 && long.total_len() == 6000 && long.len() < 6000);
    assert_eq!(
        long.set_range(0, 60),
        Err(OutOfRange),
        "a chain cannot be cut as if it were one buffer"
    );
    assert!(pool.in_use() >= 4);
    burst.clear();
    drop((queue, port));
    assert_home(&pool);
    fs::remove_file(input).expect("the file");
    Ok(())
}

fn without_buffer(eal: &Eal) -> Outcome {
    let pool = pool(eal, 15);
    let input = capture(&[60; 20]);
    let port = open(eal, &format!("net_pcap2,rx_pcap={}", input.display()), 1, &pool);
    let mut queue = port.take_queue(0).expect("a queue");
    let mut burst = Burst::new();
    while queue.receive(&mut burst) > 0 {}
    assert_eq!((burst.len(), pool.available()), (15, 0));
    assert!(port.statistics().without_buffer > 0, "{:?}", port.statistics());
    burst.clear();
    drop((queue, port));
    assert_home(&pool);
    fs::remove_file(input).expect("the file");
    Ok(())
}
