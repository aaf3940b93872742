//! The header between servers of one fleet: a whole IP packet in GRE in UDP (RFC 8086), with key and sequence number.
//!
//! The key says why the packet was passed on and by which membership; the sequence field carries a proof that a member
//! did so, which is made and checked elsewhere.
//!
//! ```text
//! key       generation 16 | hops 4 | step 2 | inner 1 | named 1 | position 8
//! sequence  proof 32
//! ```

use crate::{Malformed, NoRoom, gre, ipv4, ipv6, udp};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The port of GRE in UDP (RFC 8086).
pub const PORT: u16 = 4754;
/// Octets from the start of the UDP header to the carried packet.
pub const HEADER_LEN: usize = udp::HEADER_LEN + GRE_LEN;
/// The most hops that the header can count.
pub const HOPS_MAX: u8 = 15;

/// GRE with key and sequence number.
pub(crate) const GRE_LEN: usize = gre::HEADER_LEN + 8;
const INNER: u32 = 1 << 9;
const NAMED: u32 = 1 << 8;

/// Why a packet was passed on, and what the receiver is to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The receiver index in it names the receiver.
    Direct,
    /// The receiver owns the id it belongs to.
    First,
    /// The receiver was an owner before: does it still hold the id?
    Ask,
    /// The sender was asked and does not hold the id.
    No,
}

/// What one server tells another about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the membership by which the sender chose; zero with `Step::Direct`, where it does not matter.
    pub generation: u16,
    /// How many servers have passed on what another one should have kept, at most `HOPS_MAX`.
    pub hops: u8,
    /// Why.
    pub step: Step,
    /// It is a packet to a client that some tunnel shall carry, not one that a client sent.
    pub inner: bool,
    /// The sender found out whose it is, since its client sends no id: replies bear zeros.
    pub named: bool,
    /// Which of the previous owners is asked, or was.
    pub position: u8,
    /// Keyed hash that no outsider can make.
    pub proof: u32,
}

impl Header {
    /// The key field. More hops than it can say are written as the most it can, so that no loop begins anew.
    #[inline]
    pub fn key(&self) -> u32 {
        let step: u32 = match self.step {
            Step::Direct => 0,
            Step::First => 1,
            Step::Ask => 2,
            Step::No => 3,
        };
        u32::from(self.generation) << 16
            | u32::from(self.hops.min(HOPS_MAX)) << 12
            | step << 10
            | u32::from(self.inner) << 9
            | u32::from(self.named) << 8
            | u32::from(self.position)
    }

    /// The header with these two fields. Every key means something.
    #[inline]
    pub fn from_key(key: u32, proof: u32) -> Self {
        let [high, low, flags, position] = key.to_be_bytes();
        let step = match flags >> 2 & 3 {
            0 => Step::Direct,
            1 => Step::First,
            2 => Step::Ask,
            _ => Step::No,
        };
        Self {
            generation: u16::from_be_bytes([high, low]),
            hops: flags >> 4,
            step,
            inner: key & INNER != 0,
            named: key & NAMED != 0,
            position,
            proof,
        }
    }
}

/// Reads the payload of a datagram to `PORT`, and says whether the carried packet is IPv6 and where it starts.
/// The proof is not checked, nor is the carried packet beyond its version.
///
/// Errors: those of `gre::parse`; `Kind` for GRE that bears another set of fields, or no IP; `Truncated` when
/// nothing is carried; `Version` for a packet of another version than GRE says.
#[inline]
pub fn parse(udp_payload: &[u8]) -> Result<(Header, bool, usize), Malformed> {
    let ([key, proof], is_v6) = parse_fields(udp_payload)?;
    Ok((Header::from_key(key, proof), is_v6, GRE_LEN))
}

/// The key and the sequence number before a carried packet, and whether that is IPv6; see [`parse`].
#[inline]
pub(crate) fn parse_fields(udp_payload: &[u8]) -> Result<([u32; 2], bool), Malformed> {
    let located = gre::parse(udp_payload)?;
    let (None, Some(key), Some(proof)) = (located.checksum, located.key, located.sequence) else {
        return Err(Malformed::Kind);
    };
    let (version, is_v6) = match located.protocol {
        ipv4::ETHERTYPE => (4, false),
        ipv6::ETHERTYPE => (6, true),
        _ => return Err(Malformed::Kind),
    };
    let first = udp_payload.get(GRE_LEN).ok_or(Malformed::Truncated)?;
    if first >> 4 != version {
        return Err(Malformed::Version);
    }
    Ok(([key, proof], is_v6))
}

/// Both headers as they stand on the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    source_port: U16,
    destination_port: U16,
    length: U16,
    checksum: U16,
    flags_version: U16,
    protocol: U16,
    key: U32,
    sequence: U32,
}
const _: () = assert!(size_of::<Wire>() == HEADER_LEN);

/// Writes both headers before the packet that stands at `out[HEADER_LEN..]`, an IP packet that was checked before.
///
/// The checksum is zero also over IPv6: RFC 6935 allows it to tunnels whose receiver checks what is inside, and
/// here the carried packet has its own and the proof covers these headers (RFC 8086 6).
///
/// Errors: `NoRoom` when nothing is carried, or more than a datagram's 65,535 octets.
#[inline]
pub fn emit(out: &mut [u8], source_port: u16, header: &Header) -> Result<(), NoRoom> {
    emit_fields(out, source_port, [header.key(), header.proof])
}

/// The same with these fields as key and sequence number.
#[inline]
pub(crate) fn emit_fields(
    out: &mut [u8],
    source_port: u16,
    [key, proof]: [u32; 2],
) -> Result<(), NoRoom> {
    let length = u16::try_from(out.len()).map_err(|_| NoRoom)?;
    let (headers, carried) = Wire::mut_from_prefix(out).map_err(|_| NoRoom)?;
    let version = carried.first().ok_or(NoRoom)? >> 4;
    *headers = Wire {
        source_port: source_port.into(),
        destination_port: PORT.into(),
        length: length.into(),
        checksum: 0.into(),
        flags_version: (gre::KEY_PRESENT | gre::SEQUENCE_PRESENT).into(),
        protocol: if version == 6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE }.into(),
        key: key.into(),
        sequence: proof.into(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From port 50,000: generation 258, 3 hops, asks position 7 about a packet of a client without id.
    const GOLDEN: [u8; 22] = [
        0xc3, 0x50, 0x12, 0x92, 0, 22, 0, 0, // UDP
        0x30, 0, 0x08, 0x00, 1, 2, 0x39, 7, 0xde, 0xad, 0xbe, 0xef, // GRE
        0x45, 0x00,
    ];
    const HEADER: Header = Header {
        generation: 258,
        hops: 3,
        step: Step::Ask,
        inner: false,
        named: true,
        position: 7,
        proof: 0xdead_beef,
    };

    /// The golden packet's UDP payload with one octet changed.
    fn with(place: usize, octet: u8) -> Vec<u8> {
        let mut payload = GOLDEN[8..].to_vec();
        payload[place] = octet;
        payload
    }

    #[test]
    fn a_golden_header_goes_both_ways() {
        assert_eq!(parse(&GOLDEN[8..]), Ok((HEADER, false, 12)));
        let mut out = [0xff; 22];
        out[20..].copy_from_slice(&GOLDEN[20..]);
        assert_eq!(emit(&mut out, 50_000, &HEADER), Ok(()));
        assert_eq!(out, GOLDEN);
    }

    #[test]
    fn says_that_ipv6_is_carried() {
        let mut out = [0x60; 21];
        assert_eq!(emit(&mut out, 65_535, &HEADER), Ok(()));
        assert_eq!(out[10..12], [0x86, 0xdd]);
        assert_eq!(parse(&out[8..]), Ok((HEADER, true, 12)));
    }

    #[test]
    fn each_field_has_its_bits() {
        let zero = Header::from_key(0, 0);
        assert_eq!(zero.key(), 0);
        assert_eq!(Header { generation: 0xffff, ..zero }.key(), 0xffff_0000);
        assert_eq!(Header { hops: 15, ..zero }.key(), 0xf000);
        assert_eq!(Header { step: Step::First, ..zero }.key(), 0x0400);
        assert_eq!(Header { step: Step::Ask, ..zero }.key(), 0x0800);
        assert_eq!(Header { step: Step::No, ..zero }.key(), 0x0c00);
        assert_eq!(Header { inner: true, ..zero }.key(), 0x0200);
        assert_eq!(Header { named: true, ..zero }.key(), 0x0100);
        assert_eq!(Header { position: 255, ..zero }.key(), 0x00ff);
        assert_eq!(Header { proof: u32::MAX, ..zero }.key(), 0);
    }

    #[test]
    fn too_many_hops_do_not_begin_again_at_zero() {
        for hops in 15..=255 {
            assert_eq!(Header { hops, ..HEADER }.key() & 0xf000, 0xf000, "{hops} hops");
        }
    }

    #[test]
    fn refuses_every_truncation() {
        for len in 0..=12 {
            assert_eq!(parse(&GOLDEN[8..8 + len]), Err(Malformed::Truncated), "len {len}");
        }
        for len in 0..=HEADER_LEN {
            assert_eq!(emit(&mut vec![0x45; len], 50_000, &HEADER), Err(NoRoom), "len {len}");
        }
        assert_eq!(emit(&mut vec![0x45; 65_535], 50_000, &HEADER), Ok(()));
        assert_eq!(emit(&mut vec![0x45; 65_536], 50_000, &HEADER), Err(NoRoom));
    }

    #[test]
    fn refuses_gre_with_another_set_of_fields() {
        for flags in [0x00, 0x10, 0x20] {
            assert_eq!(parse(&with(0, flags)), Err(Malformed::Kind), "flags {flags:#x}");
        }
        let mut payload = [GOLDEN[8..12].to_vec(), vec![0; 4], GOLDEN[12..].to_vec()].concat();
        payload[0] = 0xb0;
        assert_eq!(parse(&payload), Err(Malformed::Checksum));
        let fields =
            gre::Fields { protocol: 0x0800, key: Some(1), sequence: Some(2), with_checksum: true };
        gre::emit(&mut payload, &fields).unwrap();
        assert_eq!(parse(&payload), Err(Malformed::Kind));
    }

    #[test]
    fn refuses_what_is_not_the_ip_that_it_claims_to_be() {
        assert_eq!(parse(&with(2, 0x65)), Err(Malformed::Kind), "an Ethernet frame");
        assert_eq!(parse(&with(12, 0x60)), Err(Malformed::Version), "IPv6 as IPv4");
        for nibble in (0..16).filter(|nibble| *nibble != 4) {
            assert_eq!(parse(&with(12, nibble << 4)), Err(Malformed::Version), "{nibble}");
        }
        assert_eq!(parse(&with(1, 0x01)), Err(Malformed::Version), "GRE version 1");
    }

    #[test]
    fn udp_reads_what_is_written() {
        let located = udp::parse(&GOLDEN).unwrap();
        assert_eq!(located.ports, udp::Ports { source: 50_000, destination: PORT });
        assert_eq!((located.payload_len, located.checksum), (14, 0));
    }

    proptest! {
        #[test]
        fn every_key_is_read_and_written_alike(key: u32, proof: u32) {
            let header = Header::from_key(key, proof);
            prop_assert!(header.hops <= HOPS_MAX);
            prop_assert_eq!((header.key(), header.proof), (key, proof));
        }

        #[test]
        fn emit_and_parse_agree_and_the_packet_stays(
            key: u32, proof: u32, source_port: u16, is_v6: bool,
            mut carried in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            carried[0] = if is_v6 { 0x60 } else { 0x40 } | carried[0] & 15;
            let header = Header::from_key(key, proof);
            let mut out = [vec![0xa5; HEADER_LEN], carried.clone()].concat();
            emit(&mut out, source_port, &header).unwrap();
            prop_assert_eq!(&out[HEADER_LEN..], &carried[..]);
            let datagram = udp::parse(&out).unwrap();
            prop_assert_eq!(datagram.ports, udp::Ports { source: source_port, destination: PORT });
            prop_assert_eq!(datagram.checksum, 0);
            prop_assert_eq!(parse(&out[udp::HEADER_LEN..]), Ok((header, is_v6, GRE_LEN)));
        }
    }
}
