//! Addresses, prefixes and endpoints in messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::{Malformed, reserved};
use crate::layout::{self, wire};

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, Address::SHAPE);
    let hash = layout::number(hash, Prefix::SHAPE);
    layout::number(hash, Endpoint::SHAPE)
};

wire! {
    /// An address: IPv4 stands in the first four octets.
    struct Address {
        octets: [u8; 16],
        /// 4 or 6; 0 when there is none.
        family: u8,
    }

    /// A prefix without host bits.
    struct Prefix {
        address: Address,
        len: u8,
    }

    /// An address with a port.
    struct Endpoint {
        port: [u8; 2],
        address: Address,
        reserved: u8,
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                Self { octets: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], family: 4 }
            }
            IpAddr::V6(address) => Self { octets: address.octets(), family: 6 },
        }
    }
}

impl Address {
    /// No address.
    pub(super) const NONE: Self = Self { octets: [0; 16], family: 0 };

    /// The address, or none.
    pub(super) fn read(&self) -> Result<Option<IpAddr>, Malformed> {
        let [a, b, c, d, rest @ ..] = self.octets;
        match self.family {
            0 => reserved(&self.octets).map(|()| None),
            4 => reserved(&rest).map(|()| Some(Ipv4Addr::new(a, b, c, d).into())),
            6 => Ok(Some(Ipv6Addr::from(self.octets).into())),
            other => Err(Malformed::Family(other)),
        }
    }

    /// The address, which must be there.
    pub(super) fn required(&self) -> Result<IpAddr, Malformed> {
        self.read()?.ok_or(Malformed::Family(0))
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        Self { address: net.network().into(), len: net.prefix_len() }
    }
}

impl Prefix {
    /// A table without any.
    pub(super) const fn table<const K: usize>() -> [Self; K] {
        [const { Self { address: Address::NONE, len: 0 } }; K]
    }

    /// The prefix, or none.
    pub(super) fn read(&self) -> Result<Option<IpNet>, Malformed> {
        let Some(address) = self.address.read()? else {
            return reserved(&[self.len]).map(|()| None);
        };
        prefix(address, self.len).map(Some)
    }

    /// The prefix, which must be there.
    pub(super) fn required(&self) -> Result<IpNet, Malformed> {
        self.read()?.ok_or(Malformed::Family(0))
    }
}

/// A prefix, which must be without host bits.
pub(super) fn prefix(address: IpAddr, len: u8) -> Result<IpNet, Malformed> {
    let net = IpNet::new(address, len).map_err(|_| Malformed::PrefixLen(len))?;
    if net.network() == address { Ok(net) } else { Err(Malformed::HostBits) }
}

impl From<Option<SocketAddr>> for Endpoint {
    /// Flow label and scope of an IPv6 endpoint do not travel.
    fn from(endpoint: Option<SocketAddr>) -> Self {
        let address = endpoint.map_or(Address::NONE, |endpoint| endpoint.ip().into());
        let port = endpoint.map_or(0, |endpoint| endpoint.port());
        Self { port: port.to_ne_bytes(), address, reserved: 0 }
    }
}

impl Endpoint {
    /// The endpoint, or none.
    pub(super) fn read(&self) -> Result<Option<SocketAddr>, Malformed> {
        reserved(&[self.reserved])?;
        let port = u16::from_ne_bytes(self.port);
        match (self.address.read()?, port) {
            (None, 0) => Ok(None),
            (None, _) => Err(Malformed::Reserved),
            (Some(_), 0) => Err(Malformed::Port),
            (Some(address), port) => Ok(Some(SocketAddr::new(address, port))),
        }
    }

    /// The endpoint, which must be there.
    pub(super) fn required(&self) -> Result<SocketAddr, Malformed> {
        self.read()?.ok_or(Malformed::Family(0))
    }
}

/// Fills a table of prefixes from the front; gives how many there were room for.
pub(super) fn put_all<const K: usize>(table: &mut [Prefix; K], nets: &[IpNet]) -> u8 {
    let mut count = 0;
    for (place, net) in table.iter_mut().zip(nets) {
        *place = Prefix::from(*net);
        count += 1;
    }
    count
}

/// Reads a table of prefixes of which `count` are used.
pub(super) fn read_all<const K: usize>(
    table: &[Prefix; K],
    count: u8,
) -> Result<Vec<IpNet>, Malformed> {
    let Some((used, unused)) = table.split_at_checked(usize::from(count)) else {
        return Err(Malformed::AddressCount(count));
    };
    if unused.iter().any(|prefix| !matches!(prefix.read(), Ok(None))) {
        return Err(Malformed::Reserved);
    }
    used.iter().map(Prefix::required).collect()
}
