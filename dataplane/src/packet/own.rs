//! Headers of whole packets that are made here, of either family.

use wire::checksum::Sum;
use wire::{NoRoom, ipv4, ipv6};

use super::Address;

/// Hops that a packet of ours may take (RFC 1700, IP TIME TO LIVE PARAMETER).
pub const HOP_LIMIT: u8 = 64;

/// Octets of the header of a packet to this address.
#[inline]
pub const fn header_len(destination: Address) -> usize {
    if destination.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN }
}

/// Writes the header of a packet that is never fragmented at the start of `out`, before `payload_len` octets, and gives its
/// length. What needs no name has none (RFC 6864 4.1).
///
/// Errors: `NoRoom` also for a payload that no packet can have.
#[inline]
pub fn emit(
    out: &mut [u8],
    (source, destination): (Address, Address),
    (protocol, tos): (u8, u8),
    payload_len: usize,
) -> Result<usize, NoRoom> {
    if let (Some(source), Some(destination)) = (source.v4(), destination.v4()) {
        let fields = ipv4::Fields {
            source,
            destination,
            protocol,
            ttl: HOP_LIMIT,
            tos,
            identification: 0,
            dont_fragment: true,
            payload_len,
        };
        return ipv4::emit(out, &fields);
    }
    let fields = ipv6::Fields {
        source: source.v6(),
        destination: destination.v6(),
        protocol,
        hop_limit: HOP_LIMIT,
        traffic_class: tos,
        flow_label: 0,
        payload_len,
    };
    ipv6::emit(out, &fields)
}

/// The sum of the pseudo header before `len` octets of the upper protocol.
#[inline]
pub fn pseudo((source, destination): (Address, Address), protocol: u8, len: u16) -> Sum {
    match (source.v4(), destination.v4()) {
        (Some(source), Some(destination)) => Sum::pseudo_v4(source, destination, protocol, len),
        _ => Sum::pseudo_v6(source.v6(), destination.v6(), protocol, len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::tcp;

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        for (source, destination) in
            [("192.0.2.1", "198.51.100.9"), ("2001:db8::1", "2001:db8:9::9")]
        {
            let address = |text: &str| Address::from(text.parse::<std::net::IpAddr>().unwrap());
            let ends = (address(source), address(destination));
            let mut packet = [0; 60];
            let len = emit(&mut packet, ends, (tcp::PROTOCOL, 0xb8), 20).unwrap();
            assert_eq!(len, header_len(ends.1));
            let mut ip = super::super::Ip::NONE;
            assert_eq!(ip.read(&packet[..len + 20]), Ok(ends.0));
            let found = (ip.destination, ip.protocol, ip.tos, ip.hop_limit, ip.fragment);
            assert_eq!(found, (ends.1, tcp::PROTOCOL, 0xb8, HOP_LIMIT, false));
            assert_eq!((usize::from(ip.payload_offset), usize::from(ip.len)), (len, len + 20));
            assert_eq!(
                (ip.source_in(&packet), ip.destination_in(&packet)),
                (Some(ends.0), Some(ends.1))
            );
            assert!(emit(&mut packet[..19], ends, (tcp::PROTOCOL, 0), 20).is_err());
        }
    }
}
