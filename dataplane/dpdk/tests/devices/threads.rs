//! Threads and the rings between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpdk::error::Kind;
use dpdk::{Eal, lcore, ring};

use crate::lab::{Burst, Case, Outcome, assert_home, frame, frames, number, pool, unique, wait};

pub(crate) const CASES: &[Case] = &[
    ("pins_a_thread_to_its_core", pins),
    ("refuses_a_core_that_does_not_exist", no_core),
    ("hands_on_a_panic_of_a_thread", panics),
    ("returns_the_buffers_that_an_ended_thread_had_cached", cached),
    ("keeps_order_and_what_found_no_room_in_a_ring", order),
    ("keeps_the_tag_through_a_ring", tag),
    ("frees_what_is_left_in_a_dropped_ring", left),
    ("carries_a_hundred_thousand_packets_between_two_threads_in_order", between),
    ("mixes_several_senders_without_loss", several),
];

fn pins(eal: &Eal) -> Outcome {
    let allowed = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("own status");
        status.lines().find_map(|line| {
            line.strip_prefix("Cpus_allowed_list:").map(|list| list.trim().to_owned())
        })
    };
    let pinned =
        lcore::spawn(eal, "pinned", Some(0), allowed).expect("a thread").join().expect("its cores");
    assert_eq!(pinned.as_deref(), Some("0"));
    let free =
        lcore::spawn(eal, "free", None, allowed).expect("a thread").join().expect("its cores");
    let plain = eal.clone();
    let pinned = std::thread::spawn(move || lcore::pin(&plain, Some(0)).map(|()| allowed()));
    let pinned = pinned.join().expect("no panic").expect("core 0");
    assert_eq!(pinned.as_deref(), Some("0"), "a thread that DPDK does not know can be pinned too");
    assert_eq!(free, allowed(), "a thread without a core may use all of the process's");
    Ok(())
}

fn no_core(eal: &Eal) -> Outcome {
    for core in [1023, 1024, usize::MAX] {
        let error = lcore::spawn(eal, "nowhere", Some(core), || ()).expect_err("no such core");
        assert_eq!(error.kind(), Kind::Thread, "{error}");
    }
    Ok(())
}

fn panics(eal: &Eal) -> Outcome {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = lcore::spawn(eal, "panics", None, || panic!("on purpose"))
        .map(lcore::JoinHandle::<()>::join);
    std::panic::set_hook(hook);
    assert!(result.expect("a thread").is_err());
    Ok(())
}

fn cached(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let worker = pool.clone();
    let work = move || drop(std::iter::from_fn(|| worker.allocate()).take(40).collect::<Vec<_>>());
    lcore::spawn(eal, "caches", None, work).expect("a thread").join().expect("no panic");
    let all: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
    assert_eq!(all.len(), 255, "no buffer stays in the ended thread's cache");
    Ok(())
}

fn order(eal: &Eal) -> Outcome {
    let pool = pool(eal, 127);
    let (mut sender, mut receiver) = ring::channel(eal, &unique("r"), 10).expect("a ring");
    let mut burst = frames(&pool, 0..16);
    assert_eq!(sender.send(&mut burst), 10);
    assert_eq!(burst.iter().filter_map(number).collect::<Vec<_>>(), (10..16).collect::<Vec<_>>());
    assert_eq!((sender.send(&mut burst), burst.len(), receiver.backlog()), (0, 6, 10));
    let mut out = Burst::new();
    out.push(frame(&pool, 99));
    assert_eq!(receiver.receive(&mut out), 10);
    assert_eq!(sender.send(&mut burst), 6);
    assert_eq!(receiver.receive(&mut out), 6);
    let numbers: Vec<_> = out.iter().filter_map(number).collect();
    assert_eq!(numbers, std::iter::once(99).chain(0..16).collect::<Vec<_>>());
    drop((out, burst));
    assert_home(&pool);
    Ok(())
}

fn tag(eal: &Eal) -> Outcome {
    let pool = pool(eal, 31);
    let (mut sender, mut receiver) = ring::channel(eal, &unique("t"), 8).expect("a ring");
    let mut burst = frames(&pool, 0..1);
    burst[0].set_tag(0x0123_4567_89ab_cdef);
    sender.send(&mut burst);
    receiver.receive(&mut burst);
    assert_eq!((burst[0].tag(), number(&burst[0])), (0x0123_4567_89ab_cdef, Some(0)));
    Ok(())
}

fn left(eal: &Eal) -> Outcome {
    let pool = pool(eal, 127);
    let (mut sender, receiver) = ring::channel(eal, &unique("l"), 100).expect("a ring");
    for _ in 0..3 {
        sender.send(&mut frames(&pool, 0..32));
    }
    drop(receiver);
    assert_eq!(pool.in_use(), 96);
    drop(sender);
    assert_home(&pool);
    Ok(())
}

fn between(eal: &Eal) -> Outcome {
    const COUNT: u32 = 100_000;
    let pool = pool(eal, 1023);
    let (mut sender, mut receiver) = ring::channel(eal, &unique("w"), 64).expect("a ring");
    let source = pool.clone();
    let sending = lcore::spawn(eal, "sends", None, move || {
        let (mut next, mut waiting) = (0, Burst::new());
        while next < COUNT || !waiting.is_empty() {
            if next < COUNT && !waiting.is_full() {
                waiting.push(frame(&source, next));
                next += 1;
            }
            if sender.send(&mut waiting) == 0 {
                std::thread::yield_now();
            }
        }
    });
    let (mut expected, mut burst) = (0, Burst::new());
    wait("all packets", || {
        receiver.receive(&mut burst);
        for mbuf in burst.drain(..) {
            assert_eq!(number(&mbuf), Some(expected));
            expected += 1;
        }
        expected == COUNT
    });
    sending.expect("a thread").join().expect("no panic");
    assert_home(&pool);
    Ok(())
}

fn several(eal: &Eal) -> Outcome {
    const EACH: u32 = 5_000;
    let pool = pool(eal, 1023);
    let (sender, mut receiver) = ring::shared_channel(eal, &unique("m"), 64).expect("a ring");
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3_u32)
        .map(|thread| {
            let (mut sender, pool, stop) = (sender.clone(), pool.clone(), Arc::clone(&stop));
            lcore::spawn(eal, "mixes", None, move || {
                for index in 0..EACH {
                    let mut one: Burst =
                        std::iter::once(frame(&pool, thread * EACH + index)).collect();
                    while sender.send(&mut one) == 0 && !stop.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                }
            })
            .expect("a thread")
        })
        .collect();
    let (mut next, mut burst) = ([0, EACH, 2 * EACH], Burst::new());
    wait("all packets", || {
        receiver.receive(&mut burst);
        for mbuf in burst.drain(..) {
            let number = number(&mbuf).expect("one of ours");
            let expected = &mut next[(number / EACH) as usize];
            assert_eq!(number, *expected, "each sender's packets keep their order");
            *expected += 1;
        }
        next == [EACH, 2 * EACH, 3 * EACH]
    });
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_home(&pool);
    Ok(())
}
