//! Segments as octets: what travels here is what would travel there, checksum included.

use std::net::{IpAddr, SocketAddr};

use wire::checksum::Sum;
use wire::tcp::{self, Fields, Flags, Located};

/// A segment on its way.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) segment: Vec<u8>,
}

pub(crate) fn pseudo(source: IpAddr, destination: IpAddr, len: usize) -> Sum {
    let len = u16::try_from(len).unwrap();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Sum::pseudo_v4(source, destination, tcp::PROTOCOL, len)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Sum::pseudo_v6(source, destination, tcp::PROTOCOL, len)
        }
        _ => panic!("two families in one frame"),
    }
}

impl Frame {
    pub(crate) fn new(
        (source, destination): (SocketAddr, SocketAddr),
        (flags, window): (Flags, u16),
        (sequence_number, acknowledgment_number): (u32, u32),
        options: &[u8],
        payload: &[u8],
    ) -> Self {
        let mut segment = vec![0; 20 + options.len()];
        segment.extend(payload);
        let fields = Fields {
            source_port: source.port(),
            destination_port: destination.port(),
            sequence_number,
            acknowledgment_number,
            flags,
            window,
        };
        let pseudo = pseudo(source.ip(), destination.ip(), segment.len());
        tcp::emit(&mut segment, &fields, options, pseudo).unwrap();
        Self { source: source.ip(), destination: destination.ip(), segment }
    }

    pub(crate) fn header(&self) -> Located {
        let sum = pseudo(self.source, self.destination, self.segment.len());
        tcp::verify(sum, &self.segment).expect("a wrong checksum");
        tcp::parse(&self.segment).unwrap()
    }

    pub(crate) fn options(&self) -> &[u8] {
        &self.segment[20..self.header().payload_offset]
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.segment[self.header().payload_offset..]
    }

    pub(crate) fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.header().source_port)
    }

    pub(crate) fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.header().destination_port)
    }
}
