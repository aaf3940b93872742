//! The bounded walk of IPv6 extension headers (RFC 8200 4).

use super::Located;
use crate::Malformed;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Extension headers that are walked; a packet with more is refused, so that no packet costs more.
pub const EXTENSION_COUNT_MAX: usize = 8;
/// Octets of extension headers that are walked.
pub const EXTENSION_LEN_MAX: usize = 256;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

const LEN_MAX: usize = 65_535;
/// Next header, length, reserved, SPI, sequence number (RFC 4302 2).
const AUTHENTICATION_LEN_MIN: usize = 12;

/// The first octets of every header but the fragment header: options and routing count units of 8 octets
/// behind the first 8; authentication counts units of 4 behind the first 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Extension {
    next_header: u8,
    length: u8,
    /// Of a routing header.
    routing_type: u8,
    /// Of a routing header.
    segments_left: u8,
}
const _: () = assert!(size_of::<Extension>() == 4);

/// The fragment header (RFC 8200 4.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FragmentHeader {
    next_header: u8,
    reserved: u8,
    offset_more: U16,
    identification: U32,
}
const _: () = assert!(size_of::<FragmentHeader>() == 8);

/// What the fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Octets of the fragmentable part before this fragment; a multiple of 8.
    pub offset: usize,
    /// Octets of the fragmentable part in this fragment: all that is behind the fragment header, in a first fragment perhaps
    /// more extension headers before the upper protocol's.
    pub len: usize,
    /// Whether fragments follow.
    pub more: bool,
    /// Names the packet that the fragment belongs to.
    pub identification: u32,
}

/// Whether a next header value stands for a header that `walk` passes.
#[inline]
pub(super) fn is_walked(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

/// Moves `located` behind the extension headers at the start of `payload`, which ends early unless `is_whole`.
pub(super) fn walk(located: &mut Located, payload: &[u8], is_whole: bool) -> Result<(), Malformed> {
    let mut rest = payload;
    for count in 0..=EXTENSION_COUNT_MAX {
        let walked = payload.len() - rest.len();
        if walked > EXTENSION_LEN_MAX {
            return Err(Malformed::ExtensionHeaders);
        }
        if !is_walked(located.protocol) || located.is_later_fragment() {
            located.payload_offset += walked;
            located.payload_len = rest.len();
            return Ok(());
        }
        if located.protocol == HOP_BY_HOP && count != 0 {
            return Err(Malformed::ExtensionOrder);
        }
        rest = if located.protocol == FRAGMENT {
            pass_fragment(located, rest, is_whole)?
        } else {
            pass(located, rest)?
        };
    }
    Err(Malformed::ExtensionHeaders)
}

/// Notes what the extension header, not a fragment header, at the start of `rest` says and returns what is behind it.
fn pass<'a>(located: &mut Located, rest: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (extension, _) = Extension::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
    let len = if located.protocol == AUTHENTICATION {
        8 + usize::from(extension.length) * 4
    } else {
        8 + usize::from(extension.length) * 8
    };
    if located.protocol == AUTHENTICATION && len < AUTHENTICATION_LEN_MIN {
        return Err(Malformed::HeaderLength);
    }
    if located.protocol == ROUTING {
        if extension.routing_type == 0 {
            return Err(Malformed::RoutingType0);
        }
        located.segments_left = extension.segments_left;
    }
    located.protocol = extension.next_header;
    rest.get(len..).ok_or(Malformed::Truncated)
}

fn pass_fragment<'a>(
    located: &mut Located,
    rest: &'a [u8],
    is_whole: bool,
) -> Result<&'a [u8], Malformed> {
    let (header, behind) =
        FragmentHeader::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
    if located.fragment.is_some() {
        return Err(Malformed::ExtensionHeaders);
    }
    let offset_more = header.offset_more.get();
    let fragment = Fragment {
        offset: usize::from(offset_more & 0xfff8),
        len: behind.len(),
        more: offset_more & 1 == 1,
        identification: header.identification.get(),
    };
    // All fragments but the last are multiples of 8 octets, and none ends past the longest payload (RFC 8200 4.5).
    let ragged = fragment.more && (behind.is_empty() || !behind.len().is_multiple_of(8));
    if is_whole && ragged || fragment.offset + behind.len() > LEN_MAX {
        return Err(Malformed::Fragment);
    }
    located.protocol = header.next_header;
    located.fragment = Some(fragment);
    Ok(behind)
}
