//! Everything that needs a running DPDK: pools, rings, ports of every kind the machine allows,
//! several processes.
//!
//! DPDK's environment exists once per process, so this program starts itself once per kind of
//! memory, and again as the peer of some cases. Each case is named and reported; what cannot run
//! here says why. Arguments filter by name.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test program; clippy grants these to #[test] functions only"
)]
#![expect(
    clippy::unnecessary_wraps,
    reason = "all cases have one signature; some cannot be skipped"
)]

#[path = "devices/buffers.rs"]
mod buffers;
#[path = "devices/instances.rs"]
mod instances;
#[path = "devices/kernel.rs"]
mod kernel;
#[path = "devices/lab.rs"]
mod lab;
#[path = "devices/ports.rs"]
mod ports;
#[path = "devices/refusals.rs"]
mod refusals;
#[path = "devices/threads.rs"]
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

use dpdk::eal::{Eal, Memory};
use lab::{Case, Skipped};

/// Tells a child what to be: a kind of memory to run the cases with, or a peer.
pub(crate) const ROLE: &str = "MILLRACE_TEST_ROLE";

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("ordinary") => run("ordinary", Memory::Ordinary { megabytes: 256 }),
        Ok("hugepages") => run("hugepages", Memory::Hugepages { megabytes: None }),
        Ok(peer) => instances::peer(peer),
        Err(_) => all(),
    }
}

/// The cases with every kind of memory that the machine has.
fn all() -> ExitCode {
    let free = std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    let pages: u32 = free.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut kinds = vec!["ordinary"];
    if pages >= 64 {
        kinds.push("hugepages");
    } else {
        println!(
            "skipped: all cases with hugepages ({pages} of 64 are free; run scripts/hugepages 128)"
        );
    }
    let program = std::env::current_exe().expect("the path of this program");
    let good = kinds.into_iter().filter(|kind| {
        let mut child = Command::new(&program);
        child.args(std::env::args().skip(1)).env(ROLE, kind);
        !child.status().is_ok_and(|status| status.success())
    });
    if good.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(kind: &str, memory: Memory) -> ExitCode {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let eal = Eal::start(&lab::options(memory)).expect("DPDK's environment");
    let cases: Vec<Case> = [
        buffers::CASES,
        threads::CASES,
        ports::CASES,
        refusals::CASES,
        kernel::CASES,
        instances::CASES,
    ]
    .concat();
    let (mut passed, mut skipped, mut failed) = (0, 0, 0);
    for (name, case) in cases {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| case(&eal))) {
            Ok(Ok(())) => {
                passed += 1;
                println!("{kind}: {name} ... ok");
            }
            Ok(Err(Skipped(why))) => {
                skipped += 1;
                println!("{kind}: {name} ... skipped: {why}");
            }
            Err(_) => {
                failed += 1;
                println!("{kind}: {name} ... FAILED");
            }
        }
    }
    println!("{kind}: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
