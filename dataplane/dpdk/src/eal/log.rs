//! DPDK's own log: kept in memory, so that an error can say what DPDK said; printed only when
//! verbose.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Enough for all that one failing call logs.
const LINES_MAX: usize = 32;
/// Lines that an error quotes: the last ones are nearest to the cause.
const LINES_QUOTED: usize = 3;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Directs DPDK's log here; without memory for the stream it goes where DPDK sends it by itself.
pub(super) fn capture(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
    // SAFETY: `keep` has the signature that the stream calls and never unwinds; the stream lives as
    // long as the process.
    unsafe {
        let stream = dpdk_sys::millrace_log_stream(Some(keep));
        if !stream.is_null() {
            dpdk_sys::rte_openlog_stream(stream);
        }
    }
}

/// Forgets what was said so far, before a call whose failure is to be explained.
pub(crate) fn forget() {
    lines().clear();
}

/// The last lines since `forget`, as the tail of a sentence: ` (DPDK says: …)`, or nothing.
pub(crate) fn said() -> String {
    let lines = lines();
    let skipped = lines.len().saturating_sub(LINES_QUOTED);
    let quoted: Vec<&str> = lines.iter().skip(skipped).map(String::as_str).collect();
    if quoted.is_empty() { String::new() } else { format!(" (DPDK says: {})", quoted.join(" / ")) }
}

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn keep(octets: *const c_char, len: usize) {
    if octets.is_null() {
        return;
    }
    // SAFETY: C's stream hands over `len` readable octets for the length of this call.
    let octets = unsafe { std::slice::from_raw_parts(octets.cast::<u8>(), len) };
    if VERBOSE.load(Ordering::Relaxed) {
        // A closed standard error must not stop the dataplane.
        drop(std::io::stderr().write_all(octets));
    }
    let text = String::from_utf8_lossy(octets);
    let mut lines = lines();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(200).collect());
    }
}
