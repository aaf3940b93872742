//! Rules of a kind, as libpcap compiles them, and packets that they are about.

use cbpf::{Fault, Instruction, Program};

use super::Packet;

/// IPv4, UDP and 36 octets behind.
pub(super) const PACKET_LEN: usize = 64;

/// What the rules of a set ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `udp and src port N`
    Ports,
    /// `ip dst host N`
    Hosts,
    /// `udp and udp[8:4] = N`
    Payloads,
    /// Rules of these three kinds in turn.
    Mixed,
    /// `udp and udp[8:4] > N`: no field has a known value but the protocol.
    Unindexable,
}

/// What stands in the fields that rules of other numbers ask for.
const BASE: u32 = 0x0a00_0000;

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Ports, Self::Hosts, Self::Payloads, Self::Mixed, Self::Unindexable];

    /// The kind of the rule with this number.
    const fn of(self, number: u16) -> Self {
        match (self, number % 3) {
            (Self::Mixed, 0) => Self::Ports,
            (Self::Mixed, 1) => Self::Hosts,
            (Self::Mixed, _) => Self::Payloads,
            (Self::Ports | Self::Hosts | Self::Payloads | Self::Unindexable, _) => self,
        }
    }

    /// The rule with this number.
    pub(super) fn program(self, number: u16) -> Result<Program, Fault> {
        let wanted = BASE + u32::from(number);
        match self.of(number) {
            Self::Ports | Self::Mixed => udp(0x48, 0, (0x15, number.into())),
            Self::Hosts => host(wanted),
            Self::Payloads => udp(0x40, 8, (0x15, wanted)),
            Self::Unindexable => udp(0x40, 8, (0x25, u32::MAX - 1 - u32::from(number))),
        }
    }

    /// A packet that matches the rule with this number and, of those of its kind, no other before it; or one that is like
    /// it and matches none.
    pub(super) fn packet(self, number: u16, matching: bool) -> Option<Packet> {
        let far = if matching { 0 } else { 0x8000 };
        let mut packet = clean();
        let wanted = (BASE + u32::from(number) + far).to_be_bytes();
        let port = number.checked_add(u16::try_from(far).ok()?)?.to_be_bytes();
        let (at, octets): (usize, &[u8]) = match self.of(number) {
            Self::Ports | Self::Mixed => (20, &port),
            Self::Hosts => (16, &wanted),
            Self::Payloads => (28, &wanted),
            Self::Unindexable => (28, if matching { &[0xff; 4] } else { &wanted }),
        };
        packet.get_mut(at..at + octets.len())?.copy_from_slice(octets);
        Some(packet)
    }
}

/// A WireGuard message between ports and hosts that no rule is about.
pub(super) const fn clean() -> Packet {
    let mut packet = [0; PACKET_LEN];
    packet[0] = 0x45;
    packet[3] = 64;
    packet[8] = 64;
    packet[9] = 17;
    packet[12] = 192;
    packet[16] = 198;
    packet[20] = 0xea;
    packet[22] = 0xca;
    packet[23] = 0x6c;
    packet[25] = 44;
    packet[28] = 4;
    packet
}

fn verified(rows: &[(u16, u8, u8, u32)]) -> Result<Program, Fault> {
    let program: Vec<Instruction> =
        rows.iter().map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
    Program::verify(&program)
}

/// `ip and udp and udp[at:size] TEST k`
fn udp(load: u16, at: u32, (test, k): (u16, u32)) -> Result<Program, Fault> {
    verified(&[
        (0x30, 0, 0, 0),
        (0x54, 0, 0, 0xf0),
        (0x15, 0, 8, 0x40),
        (0x30, 0, 0, 9),
        (0x15, 0, 6, 17),
        (0x28, 0, 0, 6),
        (0x45, 4, 0, 0x1fff),
        (0xb1, 0, 0, 0),
        (load, 0, 0, at),
        (test, 0, 1, k),
        (0x06, 0, 0, 0x4_0000),
        (0x06, 0, 0, 0),
    ])
}

/// `ip dst host ADDRESS`
fn host(address: u32) -> Result<Program, Fault> {
    verified(&[
        (0x30, 0, 0, 0),
        (0x54, 0, 0, 0xf0),
        (0x15, 0, 3, 0x40),
        (0x20, 0, 0, 16),
        (0x15, 0, 1, address),
        (0x06, 0, 0, 0x4_0000),
        (0x06, 0, 0, 0),
    ])
}
