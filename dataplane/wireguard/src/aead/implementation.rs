//! Which implementation runs: the fastest that the processor can, or the one that the operator names.

use core::fmt;
use std::ffi::OsString;
use std::sync::LazyLock;

/// The environment variable that names an implementation; read once per process.
pub const VARIABLE: &str = "MILLRACE_AEAD";

/// A way to compute the AEAD, and the MACs of handshake messages. All give the same octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// 512-bit vectors with 52-bit multiplications (AVX-512 F, BW, VL, IFMA, VBMI2).
    Avx512,
    /// 256-bit vectors.
    Avx2,
    /// The `chacha20poly1305` crate, packet by packet.
    Portable,
}

/// Why the operator's wish was not followed; [`fmt::Display`] gives a sentence with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No implementation has this name.
    Unknown(OsString),
    /// This processor cannot.
    Unsupported(Implementation),
}

impl Implementation {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Its name, as in the environment variable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether this processor can.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::avx512::available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::avx2::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// What [`super::open`] and [`super::seal`] use in this process.
    pub fn chosen() -> Self {
        CHOICE.0
    }

    /// What was wrong with the wish in [`VARIABLE`], if anything: then the fastest was chosen.
    pub fn refused() -> Option<&'static Refused> {
        CHOICE.1.as_ref()
    }

    /// The implementation for a wish; the fastest when there is none, or none that can be followed.
    fn choose(wish: Option<OsString>) -> (Self, Option<Refused>) {
        let fastest = Self::ALL.into_iter().find(|one| one.available()).unwrap_or(Self::Portable);
        let Some(wish) = wish else { return (fastest, None) };
        match Self::ALL.into_iter().find(|one| wish == one.name()) {
            Some(wished) if wished.available() => (wished, None),
            Some(wished) => (fastest, Some(Refused::Unsupported(wished))),
            None => (fastest, Some(Refused::Unknown(wish))),
        }
    }
}

static CHOICE: LazyLock<(Implementation, Option<Refused>)> =
    LazyLock::new(|| Implementation::choose(std::env::var_os(VARIABLE)));

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "{VARIABLE}={} names no implementation: set it to avx512, avx2 or portable, or unset it",
                name.display()
            ),
            Self::Unsupported(wished) => write!(
                f,
                "{VARIABLE}={wished} needs instructions that this processor lacks: unset it to get the fastest that runs here"
            ),
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_fastest_without_a_wish() {
        let (chosen, refused) = Implementation::choose(None);
        assert!(chosen.available() && refused.is_none());
        let faster = Implementation::ALL.into_iter().take_while(|one| *one != chosen);
        assert!(faster.into_iter().all(|one| !one.available()));
    }

    #[test]
    fn follows_a_wish_that_can_be_followed() {
        for wished in Implementation::ALL.into_iter().filter(|one| one.available()) {
            assert_eq!(Implementation::choose(Some(wished.name().into())), (wished, None));
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_wish_and_goes_on() {
        let (chosen, refused) = Implementation::choose(Some("sse9".into()));
        assert!(chosen.available());
        let sentence = refused.unwrap().to_string();
        assert!(sentence.contains("MILLRACE_AEAD=sse9") && sentence.contains("avx2"), "{sentence}");
        let sentence = Refused::Unsupported(Implementation::Avx512).to_string();
        assert!(sentence.contains("MILLRACE_AEAD=avx512") && sentence.contains("unset"));
    }
}
