//! Names that nft has for numbers: protocols, ports, types and codes of ICMP, code points.

use crate::rules::Field;

/// What the numbers of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V4,
    V6,
    Family,
    Protocol,
    Port,
    Flags,
    IcmpType,
    IcmpCode,
    Icmpv6Type,
    Icmpv6Code,
    Length,
    Dscp,
}

type Names = &'static [(&'static str, u8)];

const FAMILIES: Names = &[("ipv4", 2), ("ipv6", 10)];

/// Of several names for a number, the first is printed.
const PROTOCOLS: Names = &[
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("igmp", 2),
    ("ipencap", 4),
    ("ipip", 4),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("eigrp", 88),
    ("ospf", 89),
    ("etherip", 97),
    ("pim", 103),
    ("ipcomp", 108),
    ("comp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

const ICMP_TYPES: Names = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMP_CODES: Names = &[
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("frag-needed", 4),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];

const ICMPV6_TYPES: Names = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

const ICMPV6_CODES: Names = &[
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];

/// Class selectors (RFC 2474 4.2.2), assured forwarding (RFC 2597 6), and the code points of RFC 3246, 5865 and 8622.
const DSCP: Names = &[
    ("cs0", 0),
    ("df", 0),
    ("be", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("va", 44),
    ("ef", 46),
    ("lephb", 1),
    ("le", 1),
];

/// The control bits of TCP, each by its bit (RFC 9293 3.1); nft calls ECE `ecn`.
const FLAGS: Names = &[
    ("fin", 0x01),
    ("syn", 0x02),
    ("rst", 0x04),
    ("psh", 0x08),
    ("ack", 0x10),
    ("urg", 0x20),
    ("ecn", 0x40),
    ("cwr", 0x80),
];

/// Services as IANA has them, and a few other names that are common for them.
const SERVICES: &[(&str, u16)] = &[
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("snmptrap", 162),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("submissions", 465),
    ("isakmp", 500),
    ("syslog", 514),
    ("submission", 587),
    ("ldaps", 636),
    ("domain-s", 853),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("radius", 1812),
    ("radius-acct", 1813),
    ("nfs", 2049),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("ipsec-nat-t", 4500),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("postgresql", 5432),
    ("http-alt", 8080),
];

impl Kind {
    pub(crate) const fn of(field: Field) -> Self {
        match field {
            Field::IpSaddr | Field::IpDaddr => Self::V4,
            Field::Ip6Saddr | Field::Ip6Daddr => Self::V6,
            Field::Nfproto => Self::Family,
            Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => Self::Protocol,
            Field::TcpSport
            | Field::TcpDport
            | Field::UdpSport
            | Field::UdpDport
            | Field::ThSport
            | Field::ThDport => Self::Port,
            Field::TcpFlags => Self::Flags,
            Field::IcmpType => Self::IcmpType,
            Field::IcmpCode => Self::IcmpCode,
            Field::Icmpv6Type => Self::Icmpv6Type,
            Field::Icmpv6Code => Self::Icmpv6Code,
            Field::Length | Field::IpLength => Self::Length,
            Field::IpDscp | Field::Ip6Dscp => Self::Dscp,
        }
    }

    /// What people call such a number, for messages.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::V4 => "an IPv4 address",
            Self::V6 => "an IPv6 address",
            Self::Family => "`ipv4` or `ipv6`",
            Self::Protocol => "a protocol",
            Self::Port => "a port",
            Self::Flags => "a flag of TCP",
            Self::IcmpType => "a type of ICMP",
            Self::IcmpCode => "a code of ICMP",
            Self::Icmpv6Type => "a type of ICMPv6",
            Self::Icmpv6Code => "a code of ICMPv6",
            Self::Length => "a length",
            Self::Dscp => "a DSCP",
        }
    }

    /// The largest number.
    pub(crate) const fn most(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
            Self::Port | Self::Length => u16::MAX as u128,
            Self::Dscp => 63,
            Self::Family | Self::Protocol | Self::Flags => u8::MAX as u128,
            Self::IcmpType | Self::IcmpCode | Self::Icmpv6Type | Self::Icmpv6Code => {
                u8::MAX as u128
            }
        }
    }

    /// The length of an address in bits; none for what is not an address.
    pub(crate) const fn bits(self) -> Option<u32> {
        match self {
            Self::V4 => Some(32),
            Self::V6 => Some(128),
            Self::Family
            | Self::Protocol
            | Self::Port
            | Self::Flags
            | Self::IcmpType
            | Self::IcmpCode
            | Self::Icmpv6Type
            | Self::Icmpv6Code
            | Self::Length
            | Self::Dscp => None,
        }
    }

    const fn names(self) -> Names {
        match self {
            Self::Family => FAMILIES,
            Self::Protocol => PROTOCOLS,
            Self::Flags => FLAGS,
            Self::IcmpType => ICMP_TYPES,
            Self::IcmpCode => ICMP_CODES,
            Self::Icmpv6Type => ICMPV6_TYPES,
            Self::Icmpv6Code => ICMPV6_CODES,
            Self::Dscp => DSCP,
            Self::V4 | Self::V6 | Self::Port | Self::Length => &[],
        }
    }

    /// The number that the name stands for.
    pub(crate) fn number(self, name: &str) -> Option<u128> {
        if self == Self::Port {
            let found = SERVICES.iter().find(|(known, _)| *known == name);
            return found.map(|(_, port)| u128::from(*port));
        }
        let found = self.names().iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| u128::from(*number))
    }

    /// The name to print for the number. Codes of ICMP mean another thing for each type, and a port another service for
    /// each protocol: they are printed as numbers.
    pub(crate) fn name(self, number: u128) -> Option<&'static str> {
        if matches!(self, Self::IcmpCode | Self::Icmpv6Code) {
            return None;
        }
        let found = self.names().iter().find(|(_, known)| u128::from(*known) == number);
        found.map(|(name, _)| *name)
    }
}

/// The words of a field, by which rules name it.
pub(crate) const fn words(field: Field) -> &'static str {
    match field {
        Field::IpSaddr => "ip saddr",
        Field::IpDaddr => "ip daddr",
        Field::Ip6Saddr => "ip6 saddr",
        Field::Ip6Daddr => "ip6 daddr",
        Field::Nfproto => "meta nfproto",
        Field::IpProtocol => "ip protocol",
        Field::Ip6Nexthdr => "ip6 nexthdr",
        Field::L4proto => "meta l4proto",
        Field::TcpSport => "tcp sport",
        Field::TcpDport => "tcp dport",
        Field::UdpSport => "udp sport",
        Field::UdpDport => "udp dport",
        Field::ThSport => "th sport",
        Field::ThDport => "th dport",
        Field::TcpFlags => "tcp flags",
        Field::IcmpType => "icmp type",
        Field::IcmpCode => "icmp code",
        Field::Icmpv6Type => "icmpv6 type",
        Field::Icmpv6Code => "icmpv6 code",
        Field::Length => "meta length",
        Field::IpLength => "ip length",
        Field::IpDscp => "ip dscp",
        Field::Ip6Dscp => "ip6 dscp",
    }
}
