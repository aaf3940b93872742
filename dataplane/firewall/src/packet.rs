//! One packet in words, to ask rules about: the fields of rules, each with one value.

use crate::facts::{Facts, Family};
use crate::names::{Kind, words};
use crate::parse::token::{Compare, Token, Tokens};
use crate::parse::{Fault, Wrong, field, flags, values};
use crate::rules::{Field, WITH_PORTS};

/// The control bits of the first packet of a connection.
const SYN: u8 = 0x02;

/// Reads `ip saddr 198.51.100.1 ip daddr 203.0.113.100 tcp sport 40000 tcp dport 21`. Both addresses, the protocol and what
/// its header begins with (ports, the type of ICMP) must be there. Without words for them, the flags of TCP are `syn`, the
/// length is that of the headers alone, code and DSCP are 0.
pub fn packet(text: &str) -> Result<Facts, Wrong> {
    read(&mut Tokens::new(text)).map_err(|fault| fault.place(text))
}

/// What was said of the packet.
#[derive(Default)]
struct Said {
    family: Option<Family>,
    /// The protocols that it can be of; none when any.
    protocols: Option<Vec<u8>>,
    source: Option<u128>,
    destination: Option<u128>,
    source_port: Option<u128>,
    destination_port: Option<u128>,
    tcp_flags: Option<u128>,
    icmp_type: Option<u128>,
    icmp_code: Option<u128>,
    length: Option<u128>,
    dscp: Option<u128>,
}

fn read(tokens: &mut Tokens<'_>) -> Result<Facts, Fault> {
    let mut said = Said::default();
    while tokens.peek() != Token::Finish {
        if tokens.at_end() {
            return Err(tokens.fault("a packet is written on one line: leave the line end out"));
        }
        if let Some(word @ ("accept" | "drop" | "counter" | "limit" | "comment")) = tokens.word() {
            let what = format!("a packet has only fields: leave `{word}` out");
            return Err(tokens.fault(&what));
        }
        let at = tokens.begin();
        let field = field::read(tokens)?;
        let value = one(field, tokens)?;
        said.put(field, value).map_err(|what| Fault { at, what })?;
    }
    said.facts().map_err(|what| tokens.fault(&what))
}

/// The one value that the field has in a packet.
fn one(field: Field, tokens: &mut Tokens<'_>) -> Result<u128, Fault> {
    tokens.take_if(Token::Compare(Compare::Equal));
    let at = tokens.begin();
    let is_list = tokens.peek() == Token::Open;
    let value = if is_list {
        0
    } else if field == Field::TcpFlags {
        flags::of_packet(tokens)?.into()
    } else {
        values::value(Kind::of(field), tokens)?
    };
    if is_list || matches!(tokens.peek(), Token::Dash | Token::Slash | Token::Comma) {
        let what = format!("a packet has one `{}`: write one value", words(field));
        return Err(Fault { at, what });
    }
    Ok(value)
}

impl Said {
    /// Notes a field, which must agree with what was said before.
    fn put(&mut self, field: Field, value: u128) -> Result<(), String> {
        let family = match (field, value) {
            (Field::Nfproto, 2) => Some(Family::V4),
            (Field::Nfproto, 10) => Some(Family::V6),
            (Field::Nfproto, _) => return Err("a packet is `ipv4` or `ipv6`: write one".into()),
            _ => field.family(),
        };
        let contrary =
            format!("`{}` contradicts what stands before it: leave it out", words(field));
        if family.is_some() && self.family.is_some_and(|said| Some(said) != family) {
            return Err(contrary);
        }
        self.family = family.or(self.family);
        let number = [u8::try_from(value).unwrap_or_default()];
        let is_protocol = Kind::of(field) == Kind::Protocol;
        let protocols = if is_protocol { Some(&number[..]) } else { field.protocols() };
        if !self.agrees(protocols) {
            return Err(contrary);
        }
        let Some(place) = self.place(field) else { return Ok(()) };
        if place.replace(value).is_some_and(|said| said != value) {
            return Err(contrary);
        }
        Ok(())
    }

    /// Leaves only these protocols; whether any is left.
    fn agrees(&mut self, protocols: Option<&[u8]>) -> bool {
        let Some(asked) = protocols else { return true };
        let said = self.protocols.take().unwrap_or_else(|| asked.to_vec());
        let left: Vec<u8> = said.into_iter().filter(|number| asked.contains(number)).collect();
        !self.protocols.insert(left).is_empty()
    }

    fn place(&mut self, field: Field) -> Option<&mut Option<u128>> {
        match field {
            Field::IpSaddr | Field::Ip6Saddr => Some(&mut self.source),
            Field::IpDaddr | Field::Ip6Daddr => Some(&mut self.destination),
            Field::TcpSport | Field::UdpSport | Field::ThSport => Some(&mut self.source_port),
            Field::TcpDport | Field::UdpDport | Field::ThDport => Some(&mut self.destination_port),
            Field::TcpFlags => Some(&mut self.tcp_flags),
            Field::IcmpType | Field::Icmpv6Type => Some(&mut self.icmp_type),
            Field::IcmpCode | Field::Icmpv6Code => Some(&mut self.icmp_code),
            Field::Length | Field::IpLength => Some(&mut self.length),
            Field::IpDscp | Field::Ip6Dscp => Some(&mut self.dscp),
            Field::Nfproto | Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => None,
        }
    }

    /// The packet, or what is missing.
    fn facts(&self) -> Result<Facts, String> {
        let family = self.family.ok_or_else(|| missing("`ip saddr` or `ip6 saddr`"))?;
        let ip = if family == Family::V4 { "ip" } else { "ip6" };
        let source = self.source.ok_or_else(|| missing(&format!("`{ip} saddr`")))?;
        let destination = self.destination.ok_or_else(|| missing(&format!("`{ip} daddr`")))?;
        let Some([protocol]) = self.protocols.as_deref() else {
            return Err(missing("`meta l4proto` with the protocol"));
        };
        self.check(family, *protocol)?;
        let silent_flags = if *protocol == 6 { SYN } else { 0 };
        let headers_len = headers_len(family, *protocol);
        let number = |said: Option<u128>| u16::try_from(said.unwrap_or(0)).unwrap_or_default();
        let octet = |said: Option<u128>| u8::try_from(said.unwrap_or(0)).unwrap_or_default();
        Ok(Facts {
            family,
            source,
            destination,
            protocol: *protocol,
            source_port: number(self.source_port),
            destination_port: number(self.destination_port),
            tcp_flags: self.tcp_flags.map_or(silent_flags, |flags| octet(Some(flags))),
            icmp: u16::from_be_bytes([octet(self.icmp_type), octet(self.icmp_code)]),
            length: self.length.map_or(headers_len, |length| number(Some(length))),
            dscp: octet(self.dscp),
        })
    }

    /// Refuses what lacks the ports or the type that its protocol has.
    fn check(&self, family: Family, protocol: u8) -> Result<(), String> {
        let has_ports = WITH_PORTS.contains(&protocol);
        let has_type = matches!((family, protocol), (Family::V4, 1) | (Family::V6, 58));
        if has_ports && self.source_port.is_none() {
            return Err(missing("`tcp sport`, `udp sport` or `th sport`"));
        }
        if has_ports && self.destination_port.is_none() {
            return Err(missing("`tcp dport`, `udp dport` or `th dport`"));
        }
        if has_type && self.icmp_type.is_none() {
            return Err(missing("`icmp type` or `icmpv6 type`"));
        }
        Ok(())
    }
}

fn missing(what: &str) -> String {
    format!("the packet is not complete: write {what}")
}

/// Octets of the headers of IP and of the protocol, without options.
const fn headers_len(family: Family, protocol: u8) -> u16 {
    let ip = match family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let upper = match protocol {
        6 => 20,
        17 | 136 | 1 | 58 => 8,
        132 | 33 => 12,
        _ => 0,
    };
    ip + upper
}
