//! Where a route leads.

/// The next hop of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// Nowhere.
    None,
    /// This machine's kernel, through the `[local]` interface.
    Local,
    /// A WireGuard client, by its number in the configuration.
    Client(u32),
}
