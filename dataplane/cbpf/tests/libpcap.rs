//! Programs that libpcap made: verified, run and matched as a set, each with the verdict that libpcap's own filter gives.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may, and numbers from the seed are small"
)]

mod packets;

use std::io::Write as _;
use std::process::{Command, Stdio};

use cbpf::{Instruction, Program, Set};
use packets::Random;

const SEED: u64 = 0x5eed_0001;
const PACKETS: usize = 4_000;

const EXPRESSIONS: [&str; 64] = [
    "ip",
    "ip6",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ip proto 47",
    "ip6 proto 47",
    "port 53",
    "src port 53",
    "dst port 443",
    "udp and src port 123",
    "udp and src port 123 and greater 60",
    "udp port 1900 or tcp port 80",
    "portrange 100-500",
    "tcp dst portrange 1-1024",
    "host 192.0.2.1",
    "src host 192.0.2.1",
    "dst host 192.0.2.2 and udp",
    "net 10.0.0.0/8",
    "src net 192.0.2.0/24 and not dst net 10.0.0.0/8",
    "dst host 2001:db8::1",
    "src net 2001:db8:1::/48",
    "ip6 and udp dst port 53",
    "host fe80::2 or host 198.51.100.7",
    "len = 28",
    "len = 68 or len = 92",
    "greater 80",
    "less 40",
    "ip[2:2] = 52",
    "ip[0] & 0xf > 5",
    "ip[0] & 0xf != 5 and udp",
    "ip[6:2] & 0x1fff != 0",
    "ip[6:2] & 0x2000 != 0 or ip[6:2] & 0x1fff != 0",
    "ip[8] < 5",
    "ip[8] = 255 and ip[9] = 17",
    "tcp[tcpflags] = tcp-syn",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
    "tcp[tcpflags] & (tcp-rst|tcp-fin) != 0",
    "tcp[13] & 2 != 0 and dst port 443",
    "tcp[tcpflags] = 0",
    "udp[8] = 0x17",
    "udp[8:4] = 0x17010017",
    "udp[8:2] & 0xfff = 0x17 and src port 123",
    "udp[4:2] = 16",
    "udp[4:2] > 20 and udp[4:2] < 50",
    "ip6[40:2] = 53",
    "ip6[6] = 44 and ip6[40] = 17",
    "icmp[icmptype] = icmp-echo",
    "icmp[0] = 8 or icmp[0] = 3",
    "ip[0] >> 4 = 4 and ip[9] & 0xf = 1",
    "ip[ip[0] & 0xf * 4] = 0",
    "udp[udp[8]] = 1",
    "len - 20 = ip[2:2] - 20 and udp",
    "ip[16:4] = ip[12:4]",
    "ip[2:2] / 4 = 13",
    "ip[2:2] % 7 = 1 and tcp",
    "ip[12:4] ^ 0x0a000000 < 0x1000000",
    "(udp src port 53 or udp src port 123 or udp src port 1900 or udp src port 11211) and dst host 192.0.2.1",
    "udp and (src port 53 or 80 or 123 or 443) and (dst port 53 or 80 or 123 or 443)",
    "not ip and not ip6",
    "not tcp and not udp and not icmp",
    "port 53 and not (src port 53 and dst port 53)",
    "(host 192.0.2.1 or host 192.0.2.2) and (port 80 or port 443) and not tcp[13] & 4 != 0",
];

/// Whether there is a tcpdump to ask. Where there is none, it is said.
fn tcpdump_is_there() -> bool {
    let found = Command::new("tcpdump").arg("--version").output().is_ok();
    if !found {
        eprintln!("not run: tcpdump is missing (scripts/setup installs it)");
    }
    found
}

/// `tcpdump -ddd`: a line with the count, then a line for each instruction.
fn compiled(expression: &str) -> Vec<Instruction> {
    let output = Command::new("tcpdump").args(["-ddd", "-y", "RAW", expression]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{expression}: {said}");
    let instruction = |line: &str| {
        let numbers: Vec<u32> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [code, jt, jf, k] = numbers[..] else { panic!("{expression}: {line}") };
        Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k }
    };
    text.lines().skip(1).map(instruction).collect()
}

fn packets() -> Vec<Vec<u8>> {
    let mut random = Random(SEED);
    let mut packets: Vec<_> = (0..PACKETS).map(|_| packets::packet(&mut random)).collect();
    // libpcap's filter is asked about files, which have no packets of zero octets.
    packets.retain(|packet| !packet.is_empty());
    packets
}

/// A capture file in which a packet's number is its time.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    const LINKTYPE_RAW: u32 = 101;
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0xffff, LINKTYPE_RAW] {
        file.extend_from_slice(&u32::to_le_bytes(word));
    }
    for (number, packet) in packets.iter().enumerate() {
        let len = packet.len() as u32;
        for word in [number as u32, 0, len, len] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(packet);
    }
    file
}

/// The numbers of the packets that libpcap lets through.
fn let_through(expression: &str, capture: &[u8]) -> Vec<usize> {
    let mut child = Command::new("tcpdump")
        .args(["-r", "-", "-w", "-", expression])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let octets = capture.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&octets));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    let mut rest = output.stdout.get(24..).unwrap_or_else(|| panic!("{expression}: no answer"));
    let mut numbers = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().unwrap()) as usize;
        numbers.push(word(0));
        rest = &behind[word(8)..];
    }
    numbers
}

fn is_ip(packet: &[u8]) -> bool {
    matches!(packet[0] >> 4, 4 | 6)
}

#[test]
fn gives_the_verdicts_that_libpcap_gives() {
    if !tcpdump_is_there() {
        return;
    }
    let packets = packets();
    let capture = capture(&packets);
    let programs: Vec<Program> = EXPRESSIONS
        .iter()
        .map(|expression| {
            Program::verify(&compiled(expression)).unwrap_or_else(|f| panic!("{expression}: {f}"))
        })
        .collect();
    let slots: Vec<(u16, &Program)> = (0..).zip(&programs).collect();
    let set = Set::build(&slots, SEED).unwrap();
    let mut of_set = vec![Vec::new(); programs.len()];
    for (number, packet) in packets.iter().enumerate() {
        set.for_each_match(packet, |slot| {
            of_set[usize::from(slot)].push(number);
            true
        });
    }
    let mut matching = 0;
    for ((expression, program), of_set) in EXPRESSIONS.iter().zip(&programs).zip(of_set) {
        let wanted = let_through(expression, &capture);
        let found: Vec<usize> =
            (0..packets.len()).filter(|number| program.matches(&packets[*number])).collect();
        assert_eq!(found, wanted, "{expression}, seed {SEED:#x}");
        let wanted: Vec<usize> =
            wanted.into_iter().filter(|number| is_ip(&packets[*number])).collect();
        assert_eq!(of_set, wanted, "{expression} in the set, seed {SEED:#x}");
        matching += usize::from(!wanted.is_empty());
    }
    assert!(matching >= EXPRESSIONS.len() - 2, "only {matching} expressions match anything");
}
