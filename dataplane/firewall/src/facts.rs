//! What rules can see of a packet.

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One packet, or one datagram of which fragments were put together: all that a rule may ask for. What a packet does not
/// have (ports of ICMP, flags of UDP) is 0; rules that ask for it ask for the protocol as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its version.
    pub family: Family,
    /// Its source; an IPv4 address in the low 32 bits.
    pub source: u128,
    /// Its destination, likewise.
    pub destination: u128,
    /// The upper protocol, behind any extension headers.
    pub protocol: u8,
    /// The source port of TCP, UDP, UDP-Lite, DCCP and SCTP.
    pub source_port: u16,
    /// Their destination port.
    pub destination_port: u16,
    /// The eight control bits of TCP (RFC 9293 3.1), FIN the lowest.
    pub tcp_flags: u8,
    /// Type and code of ICMP or ICMPv6, the type in the upper octet.
    pub icmp: u16,
    /// Octets from the IP header on.
    pub length: u16,
    /// The differentiated services code point, 6 bits.
    pub dscp: u8,
}
