//! Why a request is not granted: a number for `wg`, and a sentence for the log.

use rustix::io::Errno;

use crate::model::{Cause, Refused};

/// A request that is not granted; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What `wg` prints, in the words of its C library.
    pub(super) errno: Errno,
    /// What is wrong, and the remedy. Never holds what a line says, which may be a key.
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn new(errno: Errno, what: impl Into<String>) -> Self {
        Self { errno, what: what.into() }
    }

    /// Words that are not of the protocol's grammar.
    pub(super) fn grammar(what: impl Into<String>) -> Self {
        Self::new(Errno::PROTO, what)
    }

    /// A key or value that means nothing.
    pub(super) fn meaning(what: impl Into<String>) -> Self {
        Self::new(Errno::INVAL, what)
    }

    /// The answer on the wire. The number is negative, as `wg` expects it.
    pub(super) fn answer(&self) -> String {
        format!("errno={}\n\n", -self.errno.raw_os_error())
    }
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        let errno = match refused.cause {
            Cause::Invalid => Errno::INVAL,
            Cause::Conflict => Errno::EXIST,
            Cause::Unknown => Errno::NOENT,
            Cause::Full => Errno::NOSPC,
            Cause::Declared => Errno::PERM,
            Cause::Dataplane | Cause::Disk => Errno::IO,
            Cause::Ended => Errno::SHUTDOWN,
        };
        Self::new(errno, refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_the_number_that_the_c_library_words_best() {
        let cases = [
            (Cause::Invalid, "errno=-22\n\n"),
            (Cause::Conflict, "errno=-17\n\n"),
            (Cause::Unknown, "errno=-2\n\n"),
            (Cause::Full, "errno=-28\n\n"),
            (Cause::Declared, "errno=-1\n\n"),
            (Cause::Dataplane, "errno=-5\n\n"),
            (Cause::Ended, "errno=-108\n\n"),
        ];
        for (cause, answer) in cases {
            assert_eq!(Wrong::from(Refused::new(cause, "no")).answer(), answer);
        }
    }
}
