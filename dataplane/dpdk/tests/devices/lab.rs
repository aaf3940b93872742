//! What the cases share: pools of unique names, frames that can be told apart, waiting with a
//! deadline.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use dpdk::eal::{Eal, Memory, Options};
use dpdk::{Mbuf, Pool, Queue};

/// Why a case cannot run on this machine.
pub(crate) struct Skipped(pub(crate) String);

pub(crate) type Outcome = Result<(), Skipped>;
pub(crate) type Case = (&'static str, fn(&Eal) -> Outcome);
pub(crate) type Burst = ArrayVec<Mbuf, 32>;

/// IEEE's ethertype for local experiments: the kernel leaves such frames alone.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
pub(crate) const FRAME_LEN: usize = 64;

pub(crate) fn options(memory: Memory) -> Options {
    let verbose = std::env::var_os("MILLRACE_TEST_VERBOSE").is_some();
    Options { memory, verbose, ..Options::default() }
}

/// A name that nothing else in this process or on this machine has.
pub(crate) fn unique(word: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{word}{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn pool(eal: &Eal, count: u32) -> Pool {
    Pool::new(eal, &unique("p"), count, 2048).expect("a pool")
}

/// A frame that bears `number`.
pub(crate) fn frame(pool: &Pool, number: u32) -> Mbuf {
    let mut mbuf = pool.allocate().expect("a buffer");
    let start = mbuf.start();
    mbuf.set_range(start, FRAME_LEN).expect("room for a frame");
    let octets = &mut mbuf.octets_mut()[start..start + FRAME_LEN];
    octets.fill(0);
    octets[..6].fill(0xff);
    octets[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    octets[12..14].copy_from_slice(&ETHERTYPE);
    octets[14..18].copy_from_slice(&number.to_be_bytes());
    mbuf
}

/// The number of one of our frames; `None` for what the kernel sends by itself.
pub(crate) fn number(mbuf: &Mbuf) -> Option<u32> {
    let octets = mbuf.frame();
    let ours = octets.len() >= FRAME_LEN && octets[12..14] == ETHERTYPE;
    ours.then(|| u32::from_be_bytes([octets[14], octets[15], octets[16], octets[17]]))
}

pub(crate) fn frames(pool: &Pool, numbers: std::ops::Range<u32>) -> Burst {
    numbers.map(|number| frame(pool, number)).collect()
}

/// Polls until `done`, ten seconds at most.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited 10 s for {what}");
        std::thread::yield_now();
    }
}

/// Sends `numbers` on one queue and waits until the other has received all of them in order; frames
/// that are not ours are passed over.
pub(crate) fn cross(pool: &Pool, from: &mut Queue, to: &mut Queue, numbers: std::ops::Range<u32>) {
    let mut waiting = frames(pool, numbers.clone());
    let mut seen = Vec::new();
    let mut burst = Burst::new();
    wait("frames to cross", || {
        from.transmit(&mut waiting);
        to.receive(&mut burst);
        seen.extend(burst.iter().filter_map(number));
        burst.clear();
        seen.len() >= numbers.len()
    });
    assert_eq!(seen, numbers.collect::<Vec<_>>());
}

/// Every buffer is back in its pool.
pub(crate) fn assert_home(pool: &Pool) {
    assert_eq!(pool.in_use(), 0, "buffers leaked");
}

pub(crate) fn root() -> Outcome {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if root { Ok(()) } else { Err(Skipped("needs root".to_owned())) }
}
