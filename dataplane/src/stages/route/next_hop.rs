//! Where a route leads.

/// The next hop of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// Nowhere, as nothing leads there.
    None,
    /// Nowhere, by somebody's will.
    Reject,
    /// This machine's kernel, through the `[local]` interface.
    Local,
    /// A WireGuard client, by its number on the server.
    Client(u32),
    /// A tunnel to a tenant, by its number.
    Tunnel(u16),
    /// The Internet, as it is.
    Direct,
    /// The Internet, by the data centre with this number.
    Via(u16),
}
