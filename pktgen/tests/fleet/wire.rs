//! What travels at the router, as tcpdump writes it down: which packets come out of which server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::process::Signal;

use super::router::{Router, Subnet};
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::until;

const ETHERNET_LEN: usize = 14;
const UDP_LEN: usize = 8;
/// GRE-in-UDP (RFC 8086 8.1).
pub(crate) const GRE_PORT: u16 = 4754;

/// A capture under way of what comes from the host of a subnet.
pub(crate) struct Capture<'a> {
    router: &'a Namespace,
    path: String,
    process: Process,
}

impl<'a> Capture<'a> {
    pub(crate) fn start(router: &'a Router, subnet: Subnet) -> Self {
        let path = format!("/run/lab/from{}.pcap", subnet.0);
        let mut command = router.namespace.command("tcpdump");
        command.args([
            "-i",
            &format!("to{}", subnet.0),
            "-Q",
            "in",
            "-n",
            "-U",
            "-w",
            &path,
            "udp",
        ]);
        let process = Process::start("tcpdump", command);
        until("tcpdump listens", 30, || process.mentions("listening on") > 0);
        Self { router: &router.namespace, path, process }
    }

    /// Ends it: the UDP packets from their IP headers on.
    pub(crate) fn end(mut self) -> Vec<Packet> {
        self.process.stop(Signal::INT);
        let root = format!("/proc/{}/root", self.router.pid());
        let file = std::fs::read(format!("{root}{}", self.path)).unwrap();
        let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut packets) = (24, Vec::new());
        while at < file.len() {
            let len = usize::try_from(word(at + 8)).unwrap();
            packets.push(Packet(file[at + 16 + ETHERNET_LEN..at + 16 + len].to_vec()));
            at += 16 + len;
        }
        packets
    }
}

/// A UDP packet over IPv4 or IPv6 without options.
#[derive(Clone)]
pub(crate) struct Packet(Vec<u8>);

impl Packet {
    fn header_len(&self) -> usize {
        if self.0[0] >> 4 == 4 { 20 } else { 40 }
    }

    fn address(&self, (v4, v6): (usize, usize)) -> IpAddr {
        if self.header_len() == 20 {
            let octets: [u8; 4] = self.0[v4..v4 + 4].try_into().unwrap();
            Ipv4Addr::from(octets).into()
        } else {
            let octets: [u8; 16] = self.0[v6..v6 + 16].try_into().unwrap();
            Ipv6Addr::from(octets).into()
        }
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.address((12, 8))
    }

    pub(crate) fn destination(&self) -> IpAddr {
        self.address((16, 24))
    }

    fn port(&self, at: usize) -> u16 {
        let at = self.header_len() + at;
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub(crate) fn source_port(&self) -> u16 {
        self.port(0)
    }

    pub(crate) fn destination_port(&self) -> u16 {
        self.port(2)
    }

    pub(crate) fn checksum(&self) -> u16 {
        self.port(6)
    }

    /// What UDP carries.
    fn payload(&self) -> &[u8] {
        &self.0[self.header_len() + UDP_LEN..]
    }

    pub(crate) fn is_fleet(&self) -> bool {
        self.destination_port() == GRE_PORT
    }
}

/// The GRE messages of these packets as tcpdump reads them, a line each: it knows GRE behind IP, so each gets an IP header.
pub(crate) fn read_as_gre(router: &Router, packets: &[Packet]) -> Vec<String> {
    let mut file: Vec<u8> =
        [0xa1b2_c3d4, 0x0002_0004, 0, 0, 65_535, 101].map(u32::to_be_bytes).concat();
    for packet in packets {
        let len = u16::try_from(20 + packet.payload().len()).unwrap();
        file.extend([0, 0, len.into(), len.into()].map(u32::to_be_bytes).concat());
        file.extend([0x45, 0]);
        file.extend(len.to_be_bytes());
        file.extend([0, 0, 0, 0, 64, 47, 0, 0, 192, 0, 2, 8, 192, 0, 2, 9]);
        file.extend(packet.payload());
    }
    let root = format!("/proc/{}/root", router.namespace.pid());
    std::fs::write(format!("{root}/run/lab/gre.pcap"), file).unwrap();
    let text = router.namespace.run("tcpdump -n -t -r /run/lab/gre.pcap");
    text.lines().filter(|line| line.contains("GREv0")).map(str::to_owned).collect()
}
