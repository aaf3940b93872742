//! What the two ends of a connection agree on in their SYNs: four options that a splice can carry, all others stay out.

use wire::tcp::{OptionField, Options};

use crate::limits::WINDOW_SCALE_MAX;

/// Kinds that prove each segment by a secret of the ends (RFC 2385, RFC 5925): what is rewritten fails the proof.
const MD5: u8 = 19;
const AUTHENTICATION: u8 = 29;
/// Kinds and lengths that are written.
const NOP: u8 = 1;
const MSS: [u8; 2] = [2, 4];
const WINDOW_SCALE: [u8; 3] = [NOP, 3, 3];
const SACK_PERMITTED: [u8; 2] = [4, 2];
const SACK: u8 = 5;
const TIMESTAMPS: [u8; 2] = [8, 10];
/// Octets of the options that are written at most.
pub(crate) const OPTIONS_LEN_MAX: usize = 4 + 12 + 4;

/// `TSval` and `TSecr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) value: u32,
    pub(crate) echo: u32,
}

/// The options of a SYN, as far as they are passed on (TCP Fast Open, multipath and the unknown are not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) stamps: Option<Stamps>,
}

/// Why a SYN's options cannot be spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Malformed,
    Authenticated,
}

impl Offer {
    /// Reads the options of a SYN.
    pub(crate) fn of(options: &[u8]) -> Result<Self, Unfit> {
        let mut offer = Self::default();
        for option in Options::of(options) {
            match option.map_err(|_| Unfit::Malformed)? {
                OptionField::MaximumSegmentSize(mss) => offer.mss = Some(mss),
                OptionField::WindowScale(shift) => {
                    offer.window_scale = Some(shift.min(WINDOW_SCALE_MAX));
                }
                OptionField::SackPermitted => offer.sack = true,
                OptionField::Timestamps { value, echo } => {
                    offer.stamps = Some(Stamps { value, echo });
                }
                OptionField::Other { kind: MD5 | AUTHENTICATION, .. } => {
                    return Err(Unfit::Authenticated);
                }
                OptionField::Sack(_) | OptionField::Other { .. } => {}
            }
        }
        Ok(offer)
    }
}

/// Octets of options, padded to words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    octets: [u8; OPTIONS_LEN_MAX],
    len: usize,
}

impl Written {
    /// The options of a SYN, in the order that Linux's clients know.
    pub(crate) fn syn(offer: &Offer) -> Self {
        let mut written = Self::default();
        if let Some(mss) = offer.mss {
            written.put(&MSS);
            written.put(&mss.to_be_bytes());
        }
        if offer.sack != offer.stamps.is_some() {
            written.put(&[NOP, NOP]);
        }
        if offer.sack {
            written.put(&SACK_PERMITTED);
        }
        if let Some(stamps) = offer.stamps {
            written.put_stamps(stamps);
        }
        if let Some(shift) = offer.window_scale {
            written.put(&WINDOW_SCALE);
            written.put(&[shift]);
        }
        written
    }

    /// The options of any other segment.
    pub(crate) fn stamps(stamps: Option<Stamps>) -> Self {
        let mut written = Self::default();
        if let Some(stamps) = stamps {
            written.put(&[NOP, NOP]);
            written.put_stamps(stamps);
        }
        written
    }

    fn put_stamps(&mut self, stamps: Stamps) {
        self.put(&TIMESTAMPS);
        self.put(&stamps.value.to_be_bytes());
        self.put(&stamps.echo.to_be_bytes());
    }

    fn put(&mut self, octets: &[u8]) {
        if let Some(place) = self.octets.get_mut(self.len..self.len + octets.len()) {
            place.copy_from_slice(octets);
            self.len += octets.len();
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// The timestamps of a segment.
#[inline]
pub(crate) fn stamps(options: &[u8]) -> Option<Stamps> {
    // The form that everybody sends is seen at a glance (RFC 7323 appendix A).
    if let [NOP, NOP, 8, 10, a, b, c, d, e, f, g, h, ..] = *options {
        let value = u32::from_be_bytes([a, b, c, d]);
        return Some(Stamps { value, echo: u32::from_be_bytes([e, f, g, h]) });
    }
    Options::of(options).find_map(|option| match option {
        Ok(OptionField::Timestamps { value, echo }) => Some(Stamps { value, echo }),
        _ => None,
    })
}

/// The first sequence number of the first block of selective acknowledgment.
#[inline]
pub(crate) fn first_block(options: &[u8]) -> Option<u32> {
    if !options.contains(&SACK) {
        return None;
    }
    Options::of(options).find_map(|option| match option {
        Ok(OptionField::Sack(blocks)) => {
            blocks.first_chunk::<4>().map(|edge| u32::from_be_bytes(*edge))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for bits in 0..16_u8 {
            let offer = Offer {
                mss: (bits & 1 != 0).then_some(1460),
                window_scale: (bits & 2 != 0).then_some(7),
                sack: bits & 4 != 0,
                stamps: (bits & 8 != 0).then_some(Stamps { value: 1, echo: 0x0203_0405 }),
            };
            let written = Written::syn(&offer);
            assert!(written.octets().len().is_multiple_of(4), "{offer:?}");
            assert_eq!(Offer::of(written.octets()), Ok(offer));
            assert_eq!(stamps(written.octets()), offer.stamps);
        }
    }
}
