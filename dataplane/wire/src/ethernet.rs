//! Ethernet II frames, with at most one 802.1Q tag.

use crate::{Malformed, NoRoom};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 48-bit link-layer address as it stands on the wire.
pub type Mac = [u8; 6];

/// Every station.
pub const BROADCAST: Mac = [0xff; 6];
/// Ethertype of an 802.1Q customer tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Ethertype of an 802.1ad service tag.
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// Ethertype that carried the outer of two tags before 802.1ad.
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
/// Octets of the header without a tag.
pub const HEADER_LEN: usize = 14;
/// Octets of the header with a tag.
pub const TAGGED_HEADER_LEN: usize = HEADER_LEN + TAG_LEN;
const TAG_LEN: usize = 4;

/// The untagged header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// The station that shall take the frame.
    pub destination: Mac,
    /// The station that sent it.
    pub source: Mac,
    /// Protocol of the payload; values below 0x0600 are the length of an LLC frame.
    pub ethertype: U16,
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// What follows the ethertype 0x8100.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag {
    control: U16,
    ethertype: U16,
}
const _: () = assert!(size_of::<Tag>() == TAG_LEN);

/// The fields of a checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The station that shall take the frame.
    pub destination: Mac,
    /// The station that sent it.
    pub source: Mac,
    /// The VLAN, 1..=4094; `None` without a tag and with a mere priority tag (id 0).
    pub vlan_id: Option<u16>,
    /// Protocol of the payload, behind the tag.
    pub ethertype: u16,
    /// Octets before the payload: 14 or 18.
    pub payload_offset: usize,
}

/// Reads the header of a frame without preamble and check sequence.
///
/// Errors: `Truncated`, `StackedTags`, and `Reserved` for VLAN id 0xfff.
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let (header, rest) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let located = Located {
        destination: header.destination,
        source: header.source,
        vlan_id: None,
        ethertype: header.ethertype.get(),
        payload_offset: HEADER_LEN,
    };
    match located.ethertype {
        ETHERTYPE_VLAN => untag(located, rest),
        ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => Err(Malformed::StackedTags),
        _ => Ok(located),
    }
}

#[inline]
fn untag(outer: Located, rest: &[u8]) -> Result<Located, Malformed> {
    let (tag, _) = Tag::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
    let vlan_id = match tag.control.get() & 0x0fff {
        0 => None,
        0x0fff => return Err(Malformed::Reserved),
        id => Some(id),
    };
    match tag.ethertype.get() {
        ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => Err(Malformed::StackedTags),
        ethertype => Ok(Located { vlan_id, ethertype, payload_offset: TAGGED_HEADER_LEN, ..outer }),
    }
}

/// Writes the header, with a tag of priority 0 when `vlan_id` is given, and returns its length.
#[inline]
pub fn emit(
    out: &mut [u8],
    destination: Mac,
    source: Mac,
    vlan_id: Option<u16>,
    ethertype: u16,
) -> Result<usize, NoRoom> {
    let first = if vlan_id.is_some() { ETHERTYPE_VLAN } else { ethertype };
    let header = Header { destination, source, ethertype: first.into() };
    header.write_to_prefix(out).map_err(|_| NoRoom)?;
    let Some(id) = vlan_id else { return Ok(HEADER_LEN) };
    let tag = Tag { control: (id & 0x0fff).into(), ethertype: ethertype.into() };
    let room = out.get_mut(HEADER_LEN..).ok_or(NoRoom)?;
    tag.write_to_prefix(room).map_err(|_| NoRoom)?;
    Ok(TAGGED_HEADER_LEN)
}

/// Whether the address names a group of stations (broadcast included).
#[inline]
pub fn is_multicast(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const DST: Mac = [0x02, 0, 0, 0, 0, 0x01];
    const SRC: Mac = [0x02, 0, 0, 0, 0, 0x02];
    const PLAIN: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    const TAGGED: [u8; 18] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x00, 0x64, 0x86, 0xdd];

    #[test]
    fn a_golden_plain_header_goes_both_ways() {
        let located = Located {
            destination: DST,
            source: SRC,
            vlan_id: None,
            ethertype: 0x0800,
            payload_offset: 14,
        };
        assert_eq!(parse(&PLAIN), Ok(located));
        let mut out = [0; 14];
        assert_eq!(emit(&mut out, DST, SRC, None, 0x0800), Ok(14));
        assert_eq!(out, PLAIN);
    }

    #[test]
    fn a_golden_tagged_header_goes_both_ways() {
        let located = Located {
            destination: DST,
            source: SRC,
            vlan_id: Some(100),
            ethertype: 0x86dd,
            payload_offset: 18,
        };
        assert_eq!(parse(&TAGGED), Ok(located));
        let mut out = [0; 18];
        assert_eq!(emit(&mut out, DST, SRC, Some(100), 0x86dd), Ok(18));
        assert_eq!(out, TAGGED);
    }

    #[test]
    fn ignores_the_priority_and_reads_a_priority_tag_as_no_vlan() {
        let mut octets = TAGGED;
        octets[14] = 0xe0;
        assert_eq!(parse(&octets).unwrap().vlan_id, Some(100));
        octets[15] = 0;
        let located = parse(&octets).unwrap();
        assert_eq!((located.vlan_id, located.payload_offset), (None, 18));
    }

    #[test]
    fn refuses_stacked_tags_and_the_reserved_id() {
        for inner in [0x8100_u16, 0x88a8, 0x9100] {
            let mut octets = TAGGED;
            octets[16..18].copy_from_slice(&inner.to_be_bytes());
            assert_eq!(parse(&octets), Err(Malformed::StackedTags));
        }
        let mut service = TAGGED;
        service[12..14].copy_from_slice(&ETHERTYPE_SERVICE_VLAN.to_be_bytes());
        assert_eq!(parse(&service), Err(Malformed::StackedTags));
        let mut reserved = TAGGED;
        reserved[14..16].copy_from_slice(&[0x0f, 0xff]);
        assert_eq!(parse(&reserved), Err(Malformed::Reserved));
    }

    #[test]
    fn refuses_every_truncation() {
        for len in 0..18 {
            assert_eq!(parse(&TAGGED[..len]), Err(Malformed::Truncated), "len {len}");
            let mut out = vec![0; len];
            assert_eq!(emit(&mut out, DST, SRC, Some(1), 0x0800), Err(NoRoom));
        }
    }
}
