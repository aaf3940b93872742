//! Signatures: tcpdump's expressions, compiled by libpcap for packets that begin at their IP header.
//!
//! libpcap asks the resolver for every word that it does not know, which could take seconds and gives each server
//! another answer. So the words of an expression are looked at first, and none that is a name gets there.

use std::net::Ipv6Addr;

use cbpf::Program;
use pcap::{Capture, Linktype};
use shm::message::Instruction;

/// Octets of the longest expression.
pub const EXPRESSION_MAX: usize = 4_096;

/// What libpcap calls `DLT_RAW`. The crate's constant is the number that stands in files, which is another.
const RAW: Linktype = Linktype(if cfg!(target_os = "openbsd") { 14 } else { 12 });

/// The words of the language that are about IP and what it carries.
const WORDS: &str = "\
    and or not src dst host net mask port portrange proto ip ip6 tcp udp icmp icmp6 sctp igmp \
    igrp pim ah esp vrrp carp len less greater multicast tcpflags tcp-fin tcp-syn tcp-rst \
    tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr icmptype icmpcode icmp-echoreply icmp-unreach \
    icmp-sourcequench icmp-redirect icmp-echo icmp-routeradvert icmp-routersolicit \
    icmp-timxceed icmp-paramprob icmp-tstamp icmp-tstampreply icmp-ireq icmp-ireqreply \
    icmp-maskreq icmp-maskreply icmp6type icmp6code icmp6-destinationunreach \
    icmp6-packettoobig icmp6-timeexceeded icmp6-parameterproblem icmp6-echo icmp6-echoreply \
    icmp6-multicastlistenerquery icmp6-multicastlistenerreportv1 icmp6-multicastlistenerdone \
    icmp6-routersolicit icmp6-routeradvert icmp6-neighborsolicit icmp6-neighboradvert \
    icmp6-redirect icmp6-routerrenum icmp6-nodeinformationquery icmp6-nodeinformationresponse";

/// Those about the link, or about what the kernel knows of a packet.
const LINK: &str = "\
    ether link fddi tr wlan arp rarp vlan mpls pppoed pppoes geneve gateway inbound outbound \
    ifname on ifindex rnr rulenum reason rset ruleset srnr subrulenum action type subtype \
    broadcast";

/// The program of an expression, or a sentence that says what is wrong with it, where, and what to do.
pub fn compile(expression: &str) -> Result<Vec<Instruction>, String> {
    if expression.trim().is_empty() {
        return Err("the expression is empty, which means every packet; say which".to_owned());
    }
    if expression.len() > EXPRESSION_MAX {
        return Err(format!(
            "the expression has {} octets, more than {EXPRESSION_MAX}; split it into several",
            expression.len()
        ));
    }
    let mut before = "";
    for (place, word) in words(expression) {
        judge(before, word).map_err(|why| format!("character {}: \"{word}\" {why}", place + 1))?;
        before = word;
    }
    let libpcap = |error| {
        let text = if let pcap::Error::PcapError(text) = error { text } else { error.to_string() };
        format!("libpcap: {text}")
    };
    let capture = Capture::dead(RAW).map_err(libpcap)?;
    let compiled = capture.compile(expression, true).map_err(libpcap)?;
    let program = compiled.get_instructions().iter().map(instruction).collect::<Option<Vec<_>>>();
    let program = program.ok_or("libpcap: instructions that are not classic BPF")?;
    verified(&program)?;
    Ok(program)
}

/// The program as the dataplane will look at it, or why it would refuse it.
fn verified(program: &[Instruction]) -> Result<Program, String> {
    let program: Vec<cbpf::Instruction> = program
        .iter()
        .map(|&Instruction { code, jt, jf, k }| cbpf::Instruction { code, jt, jf, k })
        .collect();
    Program::verify(&program).map_err(|fault| fault.to_string())
}

/// The crate shows the four numbers of an instruction only as text.
fn instruction(compiled: &pcap::BpfInstruction) -> Option<Instruction> {
    let text = compiled.to_string();
    let mut numbers = text.split(' ');
    let code = numbers.next()?.parse().ok()?;
    let (jt, jf) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let k = numbers.next()?.parse().ok()?;
    Some(Instruction { code, jt, jf, k })
}

/// The words and numbers of an expression, each with its place in characters.
fn words(expression: &str) -> Vec<(usize, &str)> {
    let is_inside = |c: char| !c.is_whitespace() && !"()[]!&|=<>+*/%^".contains(c);
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_inside) {
        let (_, from) = rest.split_at(start);
        let end = from.find(|c| !is_inside(c)).unwrap_or(from.len());
        let (word, behind) = from.split_at(end);
        let before = expression.len() - from.len();
        let place = expression.get(..before).map_or(0, |text| text.chars().count());
        found.push((place, word));
        rest = behind;
    }
    found
}

/// Whether the word can be shown to libpcap behind the one before it.
fn judge(before: &str, word: &str) -> Result<(), &'static str> {
    // A backslash says that a keyword is a name: that of a protocol, or else that of a host. The minus of a
    // difference stands alone.
    let bare = if before == "proto" { word.strip_prefix('\\').unwrap_or(word) } else { word };
    if word == "-" || is_in(WORDS, bare) || is_number(bare) {
        return Ok(());
    }
    let is_range = word.split_once('-').is_some_and(|(from, to)| is_plain(from) && is_plain(to));
    if is_range && before == "portrange" {
        return Ok(());
    }
    Err(if is_range {
        "is a range; write portrange before it, or spaces around the minus of a difference"
    } else if bare == "protochain" {
        "goes through headers in a loop, which no signature may; ask for ip6[6] or proto"
    } else if is_in(LINK, bare) {
        "is not about the packet, which begins at its IP header; leave it out"
    } else {
        "is a name, and names are not looked up; write the address or the number"
    })
}

fn is_in(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

/// Numbers, places with a length such as 2:4, and addresses. What only looks like one of them may be a host's name.
fn is_number(word: &str) -> bool {
    let is_place = word.split_once(':').is_some_and(|(at, len)| is_plain(at) && is_plain(len));
    let is_address =
        word.split('.').count() <= 4 && word.split('.').all(|part| part.parse::<u8>().is_ok());
    is_plain(word) || is_place || is_address || word.parse::<Ipv6Addr>().is_ok()
}

/// A number, decimal or hexadecimal.
fn is_plain(text: &str) -> bool {
    match text.strip_prefix("0x") {
        Some(digits) => !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit()),
        None => !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(expression: &str) -> String {
        compile(expression).unwrap_err()
    }

    fn matches(expression: &str, packet: &[u8]) -> bool {
        let program = compile(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
        verified(&program).unwrap().matches(packet)
    }

    /// From 192.0.2.1 to 198.51.100.7 over UDP, from port 123 to 53.
    const PACKET: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7, 0, 123, 0, 53, 0,
        8, 0, 0,
    ];

    #[test]
    fn compiles_what_is_about_packets() {
        for expression in [
            "udp and src port 123 and less 400",
            "ip[2:2] = 28",
            "len - 20 = 8",
            "src net 192.0.2.0/24 && !(dst host 2001:db8::1)",
            "dst net 198.51.100.0 mask 255.255.255.0",
            "portrange 100-200",
            "ip proto \\udp and udp[4:2] < 0x10",
        ] {
            assert!(matches(expression, &PACKET), "{expression}");
        }
        assert!(!matches("tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", &PACKET));
    }

    #[test]
    fn every_word_for_icmp_is_one_that_libpcap_knows() {
        for word in WORDS.split_whitespace().filter(|word| word.starts_with("icmp-")) {
            compile(&format!("icmp[icmptype] = {word}"))
                .unwrap_or_else(|why| panic!("{word}: {why}"));
        }
        for word in WORDS.split_whitespace().filter(|word| word.starts_with("icmp6-")) {
            compile(&format!("icmp6[icmp6type] = {word}"))
                .unwrap_or_else(|why| panic!("{word}: {why}"));
        }
    }

    #[test]
    fn no_name_reaches_the_resolver() {
        for (expression, place) in [
            ("host example.com", "character 6: \"example.com\""),
            ("udp and port domain", "character 14: \"domain\""),
            ("src 1.de", "character 5: \"1.de\""),
            ("net 0xg", "character 5: \"0xg\""),
            ("host \\udp", "character 6: \"\\udp\""),
            ("host 1.2.3.4.5", "character 6: \"1.2.3.4.5\""),
            ("host 1.2.3.256", "character 6: \"1.2.3.256\""),
            ("host example or host 192.0.2.1", "character 6: \"example\""),
        ] {
            let said = refused(expression);
            assert!(said.starts_with(place) && said.contains("names are not looked up"), "{said}");
        }
    }

    #[test]
    fn what_is_about_the_link_is_refused() {
        for expression in ["ether host 00:11:22:33:44:55", "vlan 7", "inbound", "udp or arp"] {
            assert!(refused(expression).contains("begins at its IP header"), "{expression}");
        }
        assert!(refused("ip6 protochain 6").contains("in a loop"));
        assert!(refused("host 100-200").contains("write portrange before it"));
    }

    #[test]
    fn says_what_libpcap_says() {
        assert!(
            refused("udp and and").contains("libpcap: ")
                && refused("udp and and").contains("syntax")
        );
        assert!(refused("tcp and udp").starts_with("libpcap: "), "{}", refused("tcp and udp"));
        assert!(refused("port 70000").starts_with("libpcap: "));
        assert!(refused("udp\0").starts_with("character 1: "));
    }

    #[test]
    fn refuses_what_is_empty_or_too_long() {
        assert!(refused(" ").contains("empty"));
        assert!(refused(&" ".repeat(EXPRESSION_MAX + 1)).contains("empty"));
        assert!(refused(&"port 1 or ".repeat(500)).contains("more than 4096"));
        let ports: Vec<String> = (0..200).map(|port| format!("ip6[{port}] = 1")).collect();
        assert!(refused(&ports.join(" or ")).contains("more than 256"));
    }
}
