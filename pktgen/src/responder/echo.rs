//! The echo: answers inner echo requests and UDP echo (RFC 862), as a host at the far end would. What it sends
//! back is what it got, so a measuring trailer returns to its sender.

use std::net::IpAddr;

use wire::{icmp, udp};

use crate::packet::{Content, Located};

/// The port on which UDP is echoed (RFC 862).
pub const ECHO_PORT: u16 = 7;

/// Whether a packet asks for its echo.
pub const fn asks(packet: &Located<'_>) -> bool {
    match packet.content {
        Content::EchoRequest(_) => true,
        // Two echo services would send to each other for ever.
        Content::Udp(ports) => ports.destination == ECHO_PORT && ports.source != ECHO_PORT,
        Content::EchoReply(_) | Content::Other => false,
    }
}

/// The answer to `inner`, which was read as `located`, written into `answer`; false when it wants none, and `answer` is
/// empty then.
pub fn answer(inner: &[u8], located: &Located<'_>, answer: &mut Vec<u8>) -> bool {
    answer.clear();
    if !asks(located) {
        return false;
    }
    answer.extend_from_slice(inner.get(..located.len).unwrap_or_default());
    let Some((header, message)) = answer.split_at_mut_checked(located.header_len) else {
        return false;
    };
    swap_addresses(header, located.source);
    match located.content {
        Content::EchoRequest(_) if located.source.is_ipv4() => {
            icmp::v4::answer_echo(message).is_ok()
        }
        Content::EchoRequest(_) => icmp::v6::answer_echo(message).is_ok(),
        Content::Udp(_) => swap_ports(message),
        Content::EchoReply(_) | Content::Other => false,
    }
}

/// The checksums stay right: sums do not depend on the order of what they sum.
fn swap_addresses(header: &mut [u8], family: IpAddr) {
    let (at, len) = if family.is_ipv4() { (12, 4) } else { (8, 16) };
    if let Some((source, destination)) =
        header.get_mut(at..at + 2 * len).map(|both| both.split_at_mut(len))
    {
        source.swap_with_slice(destination);
    }
}

fn swap_ports(datagram: &mut [u8]) -> bool {
    let Some((header, _)) = datagram.split_at_mut_checked(udp::HEADER_LEN) else { return false };
    if let Some((source, destination)) = header.get_mut(..4).map(|both| both.split_at_mut(2)) {
        source.swap_with_slice(destination);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet;
    use std::net::SocketAddr;
    use wire::icmp::Echo;

    fn answered(inner: &[u8], reply: &mut Vec<u8>) -> bool {
        packet::read(inner).is_some_and(|located| answer(inner, &located, reply))
    }

    fn ends(v6: bool, port: u16) -> (SocketAddr, SocketAddr) {
        let hosts: (IpAddr, IpAddr) = if v6 {
            ("fd07::2".parse().unwrap(), "fd07::1".parse().unwrap())
        } else {
            ("10.7.0.2".parse().unwrap(), "10.7.0.1".parse().unwrap())
        };
        ((hosts.0, 4000).into(), (hosts.1, port).into())
    }

    #[test]
    fn echoes_datagrams_and_pings_unchanged_in_both_families() {
        for v6 in [false, true] {
            let (from, to) = ends(v6, ECHO_PORT);
            let mut request = vec![b'e'; 99];
            packet::emit_udp(&mut request, from, to).unwrap();
            let mut reply = Vec::new();
            assert!(answered(&request, &mut reply));
            let back = packet::read(&reply).unwrap();
            assert_eq!((back.source, back.destination), (to.ip(), from.ip()));
            let ports = udp::Ports { source: ECHO_PORT, destination: 4000 };
            assert_eq!(back.content, Content::Udp(ports));
            assert_eq!(back.payload, packet::read(&request).unwrap().payload);

            let echo = Echo { identifier: 1, sequence: 2 };
            packet::emit_echo(&mut request, from.ip(), to.ip(), echo).unwrap();
            assert!(answered(&request, &mut reply));
            let back = packet::read(&reply).unwrap();
            assert_eq!((back.source, back.content), (to.ip(), Content::EchoReply(echo)));
            assert!(!answered(&reply.clone(), &mut reply), "an answer is not answered");
        }
    }

    #[test]
    fn what_asks_for_no_echo_gets_none() {
        let mut reply = Vec::new();
        let (from, to) = ends(false, 53);
        let mut packet = vec![0; 60];
        packet::emit_udp(&mut packet, from, to).unwrap();
        assert!(!answered(&packet, &mut reply));
        let loop_end: SocketAddr = "10.7.0.2:7".parse().unwrap();
        packet::emit_udp(&mut packet, loop_end, ends(false, ECHO_PORT).1).unwrap();
        assert!(!answered(&packet, &mut reply), "two echo services would never end");
        assert!(!answered(&[0; 3], &mut reply));
        assert!(reply.is_empty());
    }
}
