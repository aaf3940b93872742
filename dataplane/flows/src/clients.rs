//! What is known of each client: how much it has, its egress addresses, and one of its flows.

use crate::line::NONE;

/// A client's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its newest flow.
    pub(crate) newest: u32,
    pub(crate) flows: u32,
    pub(crate) ports: u32,
    pub(crate) setups: u32,
    /// Its addresses of IPv4 and IPv6, as numbers of the pool's; kept for good (RFC 4787 REQ-2).
    pub(crate) addresses: [u16; 2],
}

/// No address was chosen yet.
pub(crate) const NO_ADDRESS: u16 = u16::MAX;

const NOTHING: Row =
    Row { newest: NONE, flows: 0, ports: 0, setups: 0, addresses: [NO_ADDRESS; 2] };

/// What a client has at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Flows, also those that are over and not swept yet.
    pub flows: u32,
    /// Ports of the pool.
    pub ports: u32,
    /// TCP connections that are not established yet.
    pub setups: u32,
}

/// All rows, by the client's number.
pub(crate) struct Clients(Box<[Row]>);

impl Clients {
    pub(crate) fn new(count: u32) -> Self {
        Self(vec![NOTHING; count as usize].into_boxed_slice())
    }

    pub(crate) fn octets(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline]
    pub(crate) fn of(&self, client: u32) -> Option<&Row> {
        self.0.get(client as usize)
    }

    #[inline]
    pub(crate) fn of_mut(&mut self, client: u32) -> Option<&mut Row> {
        self.0.get_mut(client as usize)
    }
}
