//! The ways of packets through a server.

use clap::ValueEnum;
use serde::Serialize;

use crate::service::server::End;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// A frame of this machine's to the network as it is: what forwarding costs without WireGuard.
    Pass,
    /// A client's sealed packet to this machine.
    Open,
    /// A packet of this machine's, sealed for a client.
    Seal,
    /// A client's sealed packet, opened and sealed for another client.
    Clients,
    /// A client's sealed packet, opened and translated, to the Internet.
    Out,
    /// Its answer, translated and sealed for the client.
    Back,
    /// A packet from the Internet to a tenant, into GRE.
    Encap,
    /// A tenant's packet out of GRE, to the Internet.
    Decap,
}

impl Way {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pass,
        Self::Open,
        Self::Seal,
        Self::Clients,
        Self::Out,
        Self::Back,
        Self::Encap,
        Self::Decap,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "forward",
            Self::Open => "client to machine",
            Self::Seal => "machine to client",
            Self::Clients => "client to client",
            Self::Out => "client to Internet, NAT44",
            Self::Back => "Internet to client, NAT44",
            Self::Encap => "GRE encap",
            Self::Decap => "GRE decap",
        }
    }

    /// Where its packets come in, and where they leave.
    pub(crate) const fn ends(self) -> (End, End) {
        match self {
            Self::Pass => (End::Kernel, End::Wire),
            Self::Open => (End::Wire, End::Local),
            Self::Seal => (End::Local, End::Wire),
            Self::Clients | Self::Out | Self::Back | Self::Encap | Self::Decap => {
                (End::Wire, End::Wire)
            }
        }
    }

    /// Whether what leaves is sealed for a client.
    pub(crate) const fn is_sealed(self) -> bool {
        matches!(self, Self::Seal | Self::Clients | Self::Back)
    }
}
