//! Why a packet is not carried or a flow not opened, by name.

/// A refusal. The caller counts it and says what is to be told to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The upper protocol's header is not all there, or the packet is shorter than its headers say.
    Truncated,
    /// Neither TCP, UDP nor ICMP: only addresses could be told apart. The sender is owed a "protocol unreachable".
    Protocol,
    /// A message of ICMP that is neither an echo nor an error that is translated, or an error in pieces.
    Icmp,
    /// An address of IPv6 where IPv4 is translated.
    Family,
    /// A TCP segment that begins nothing and belongs to nothing. Its sender is owed a reset (RFC 9293 3.5.2).
    NoFlow,
    /// From outside, to an address and port that nobody has.
    NoMapping,
    /// From outside, to a mapping that has not sent anything to this address (RFC 4787 REQ-8, RFC 5382 REQ-3).
    Filtered,
    /// The client's number is beyond those that the table was made for.
    Client,
    /// The client has as many flows as one may have.
    ClientFlows,
    /// The client has as many ports as one may have.
    ClientPorts,
    /// The client has as many connections half open as one may have.
    ClientSetups,
    /// All flows are in use.
    TableFull,
    /// All ports of the client's address are in use or at rest.
    PortsExhausted,
    /// There is no egress address of this family.
    NoAddress,
    /// Two flows would look the same from outside, or from the client.
    Conflict,
    /// An ICMP error about no packet of a live flow (RFC 5508 REQ-4).
    ErrorUnmatched,
    /// An ICMP error about a TCP segment that is not under way (RFC 5927 4).
    ErrorImplausible,
    /// An ICMP error whose checksum is wrong (RFC 5508 REQ-3).
    ErrorChecksum,
    /// A later fragment of which the first was not seen (yet).
    FragmentEarly,
}
