//! Choices among few: an octet of a message each, of which 0 is none.

use super::Malformed;

/// An enumeration each of whose values is an octet of a message.
macro_rules! choices {
    ($($(#[doc = $title:literal])+ $type:ident {
        $($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+
    })+) => {$(
        $(#[doc = $title])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $type {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its octet in a message.
            pub(super) const fn code(self) -> u8 {
                self as u8
            }

            /// The choice behind an octet.
            pub(super) const fn read(code: u8) -> Result<Self, Malformed> {
                match code {
                    $($code => Ok(Self::$name),)+
                    other => Err(Malformed::Choice(other)),
                }
            }
        }
    )+};
}

choices! {
    /// What becomes of packets that a rule judges to be dropped.
    Mode {
        /// They are not judged.
        Off = 1,
        /// They are counted and go on.
        Monitor = 2,
        /// They are dropped.
        Enforce = 3,
    }

    /// What a packet is to a limit.
    Class {
        /// Anything.
        Any = 1,
        /// A TCP segment with SYN and without ACK.
        Syn = 2,
        /// Another TCP segment.
        Tcp = 3,
        /// UDP that is none of the following.
        Udp = 4,
        /// ICMP of either family.
        Icmp = 5,
        /// A fragment, of whatever.
        Fragment = 6,
        /// A handshake message of `WireGuard` to our port.
        Handshake = 7,
        /// Data of `WireGuard` to our port.
        Data = 8,
        /// Any other protocol.
        Other = 9,
    }

    /// What a limit counts.
    Unit {
        /// Packets.
        Packets = 1,
        /// Octets of them, from the IP header on.
        Octets = 2,
    }

    /// A check of packets that no honest sender fails.
    Check {
        /// Fragments that overlap a header, reach beyond the largest packet, or are none.
        Fragment = 1,
        /// TCP flags that exclude each other.
        Flags = 2,
        /// A transport header that is cut off, or ports and lengths that cannot be.
        Transport = 3,
        /// A packet from the address that it goes to.
        Land = 4,
        /// A packet from an address that nobody has.
        Bogon = 5,
        /// An answer of a service that is misused to reflect, to somebody who has not asked.
        Reflection = 6,
    }

    /// What a tunnel does where a packet may not be fragmented.
    DontFragment {
        /// A packet that says so and is too long is answered; outer packets say it as well.
        Honour = 1,
        /// A longer packet of IPv4 is fragmented whatever it says; outer packets may be fragmented on their way.
        Clear = 2,
    }

    /// How a tunnel is probed.
    ProbeStyle {
        /// An echo request goes in, and the far end answers it.
        Request = 1,
        /// An echo reply to ourselves goes in, and the far end routes it back.
        Reply = 2,
    }

    /// How a tunnel stands.
    TunnelState {
        /// Nobody looks.
        Unprobed = 1,
        /// Probes are answered.
        Up = 2,
        /// Some are.
        Degraded = 3,
        /// None is.
        Down = 4,
    }

    /// Why a connection to a destination did not come about.
    DialFailure {
        /// The destination refused it.
        Refused = 1,
        /// The exit could not reach the destination.
        Unreachable = 2,
        /// The destination did not answer.
        TimedOut = 3,
        /// The exit itself did not answer, or not as it should.
        Exit = 4,
    }

    /// How a tenant's servers are guarded against floods of SYNs.
    SynGuard {
        /// Not at all.
        Off = 1,
        /// A cookie in an answer proves the source, which then is reset and comes again.
        CookieReset = 2,
        /// A source's first SYN is dropped; a real one sends it again.
        FirstDrop = 3,
    }
}

impl Check {
    /// What becomes of what fails it where no rule says otherwise: what cannot be is dropped, what only looks suspicious
    /// is counted.
    pub const fn default_mode(self) -> Mode {
        match self {
            Self::Fragment | Self::Flags | Self::Transport | Self::Land => Mode::Enforce,
            Self::Bogon | Self::Reflection => Mode::Monitor,
        }
    }
}
