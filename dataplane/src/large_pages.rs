//! Large pages for all that a program has in memory. Tables are read at random, and with small pages the core waits for where a
//! line lies, too.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::{env, io};

/// Where the C library is told how to manage memory. It looks there when a program starts, and never again (glibc's manual,
/// "Memory Allocation Tunables").
const TUNABLES: &str = "GLIBC_TUNABLES";
/// The tunable by which it asks the kernel for large pages, where that gives them to who asks (`transparent_hugepage` at `madvise`).
const HUGETLB: &str = "glibc.malloc.hugetlb";
/// Says that the program was begun anew: a program with capabilities of its own does not get to see the tunables.
const ASKED: &str = "MILLRACE_LARGE_PAGES";

/// Begins the program anew, once, as one that asks for large pages; call it before anything else is begun. Who has said what the
/// C library is to ask for, in `GLIBC_TUNABLES`, is not overruled.
///
/// # Errors
/// The program could not be begun anew, and goes on as it is.
pub fn ask() -> io::Result<()> {
    let Some(tunables) = with_large_pages(env::var_os(TUNABLES), env::var_os(ASKED).is_some())
    else {
        return Ok(());
    };
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut anew = Command::new("/proc/self/exe");
    Err(anew.arg0(name).args(arguments).env(TUNABLES, tunables).env(ASKED, "1").exec())
}

/// The tunables with the one for large pages; none when it is among them, or was asked for before.
fn with_large_pages(tunables: Option<OsString>, was_asked: bool) -> Option<OsString> {
    let mut tunables = tunables.unwrap_or_default();
    let is_said =
        tunables.as_encoded_bytes().windows(HUGETLB.len()).any(|part| part == HUGETLB.as_bytes());
    if is_said || was_asked {
        return None;
    }
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(HUGETLB);
    tunables.push(OsStr::new("=1"));
    Some(tunables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_and_overrules_nobody() {
        let with = |tunables: &str| with_large_pages(Some(tunables.into()), false);
        assert_eq!(with_large_pages(None, false).unwrap(), "glibc.malloc.hugetlb=1");
        let other = with("glibc.malloc.arena_max=1").unwrap();
        assert_eq!(other, "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1");
        assert_eq!(with("glibc.malloc.hugetlb=0"), None);
        assert_eq!(with_large_pages(Some(other), false), None);
        assert_eq!(with_large_pages(None, true), None);
    }
}
