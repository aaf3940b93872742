//! What went wrong at start-up, in one sentence, and what to do about it.

use std::ffi::{CStr, CString};
use std::fmt;

/// Which kind of thing went wrong, for callers that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The environment has been started in this process before.
    AlreadyStarted,
    /// Too few free hugepages.
    Hugepages,
    /// The process may not do what was asked.
    Permission,
    /// A setting makes no sense by itself.
    Options,
    /// EAL itself refused to start.
    Eal,
    /// Memory ran out, or a name was taken, while a pool or ring was made.
    Memory,
    /// No driver of that name is linked in.
    UnknownDriver,
    /// The kernel has no interface of that name.
    MissingInterface,
    /// There is no such device, or it is not on the allow-list.
    MissingDevice,
    /// A kernel driver holds the PCI device.
    KernelDriver,
    /// The device has fewer queues than were asked for.
    Queues,
    /// The driver refused the device or a setting.
    Device,
    /// A thread could not be started, pinned or registered.
    Thread,
}

/// One sentence that says what failed, and one that says what to do; `Display` prints both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    reason: String,
    remedy: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), remedy: remedy.into() }
    }

    /// The kind, for callers that act on it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, without a full stop.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do about it, without a full stop.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

impl std::error::Error for Error {}

/// The text of an errno, of either sign, as DPDK returns them.
pub(crate) fn errno_text(errno: i32) -> String {
    // SAFETY: rte_strerror returns a pointer into thread-local or static text, which lives beyond
    // this call.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(errno.wrapping_abs())) };
    text.to_string_lossy().into_owned()
}

/// The calling thread's `rte_errno`.
pub(crate) fn errno() -> i32 {
    // SAFETY: reads a thread-local integer.
    unsafe { dpdk_sys::millrace_errno() }
}

/// `text` for C; a zero octet inside, or more than `len_max` octets, is an error that names `what`.
pub(crate) fn c_string(text: &str, len_max: usize, what: &str) -> Result<CString, Error> {
    let checked =
        if text.is_empty() || text.len() > len_max { None } else { CString::new(text).ok() };
    checked.ok_or_else(|| {
        let reason =
            format!("{what} {text:?} is empty, longer than {len_max} octets or holds a zero octet");
        Error::new(Kind::Options, reason, "choose another one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_reason_and_the_remedy() {
        let error = Error::new(Kind::Hugepages, "no hugepage is free", "run scripts/hugepages 512");
        assert_eq!(error.to_string(), "no hugepage is free; run scripts/hugepages 512");
    }

    #[test]
    fn refuses_names_that_c_cannot_hold() {
        assert!(c_string("", 4, "name").is_err());
        assert!(c_string("abcde", 4, "name").is_err());
        assert!(c_string("a\0b", 4, "name").is_err());
        assert!(c_string("abcd", 4, "name").is_ok());
    }
}
