//! Every capacity and time of a set-up, with its reason.

use core::time::Duration;

/// Octets of a head at most, all interim answers aside: what common servers take.
pub const HEAD_LEN_MAX: usize = 8192;
/// Header lines of a head at most.
pub const HEADERS_MAX: usize = 16;
/// Octets of a request that we write: a name of 253 octets stands in it twice.
pub const REQUEST_LEN_MAX: usize = 768;
/// Octets of an answer that we write.
pub const ANSWER_LEN_MAX: usize = 192;
/// Interim answers (1xx) before the final one; a next hop that sends more is not worth the wait.
pub const INTERIMS_MAX: u8 = 8;
/// Next hops that are tried for one connection.
pub const ROUTES_MAX: usize = 3;
/// Data centres through which a connection may go between the first and the last. Whatever a request says, no
/// more follow, so that it cannot go round for longer.
pub const RELAYS_MAX: u8 = 1;
/// Ports that are tried towards one next hop when old connections are in the way.
pub const PORTS_MAX: u8 = 3;
/// Segments of 1460 octets that a next hop may send before the client is connected.
pub const HOLD_SEGMENTS: u16 = 4;
/// Octets of payload that a segment has at least room for, when no option says more (RFC 9293 3.7.1).
pub const MSS_DEFAULT_V4: u16 = 536;
/// Likewise over IPv6.
pub const MSS_DEFAULT_V6: u16 = 1220;
/// Who says that it takes less in a segment is not believed, as it would have us send without end.
pub const MSS_MIN: u16 = 64;
/// Largest shift of a window (RFC 7323 2.3).
pub const WINDOW_SCALE_MAX: u8 = 14;

/// Seconds between probes that a request may ask for: less would make us send for others, more is longer than any flow is
/// kept idle.
pub const KEEPALIVE_SECS: core::ops::RangeInclusive<u16> = 5..=7200;

/// Capacities and times that the caller chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Set-ups at the same time, the ones that only linger among them.
    pub setups: u32,
    /// Buffers of [`HEAD_LEN_MAX`] octets for split heads and early payload. Who finds none is asked to send again.
    pub buffers: u32,
    /// Set-ups of one client that wait for an answer: 256 within a round trip of 200 ms are a thousand in a second.
    pub setups_per_client: u32,
    /// Likewise of one machine of a PoP of ours, which asks for many clients.
    pub setups_per_peer: u32,
    /// Likewise of any other address.
    pub setups_per_stranger: u32,
    /// First wait for an answer to our segment is three times the path's round trip, but at least this.
    pub rto_min: Duration,
    /// First wait where the round trip is not known (RFC 6298 2.1).
    pub rto_unknown: Duration,
    /// Origins of which it is remembered how long they took to answer, and what they understand.
    pub remembered: u32,
    /// For how long it is.
    pub remembered_time: Duration,
    /// No wait is longer.
    pub rto_max: Duration,
    /// After this the next route is tried, if there is one: clients repeat a SYN after a second.
    pub route_time: Duration,
    /// After this an ingress gives up, before clients do. A relay does after three quarters of it and an exit after half, so
    /// that who asked hears who was silent.
    pub setup_time: Duration,
    /// How long who opens a connection to us may take until its acknowledgment: as long as a NAT keeps a SYN that nobody has
    /// asked for (RFC 5382 REQ-4).
    pub syn_time: Duration,
    /// How long a request may take to come whole.
    pub request_time: Duration,
    /// How long a set-up stays after the client is connected, to catch what the next hop sends again.
    pub young_time: Duration,
    /// What an exit that does not know the origin yet says that it takes in one segment: as much as a packet holds that every
    /// link of IPv6 carries (RFC 8200 5). Hardly any origin takes less, and what an ingress sends needs no cutting. From one that does
    /// the ingress hears by 421.
    pub exit_mss: u16,
    /// By how many bits its windows are shifted; a shift of 8 announces 16 MiB.
    pub exit_window_scale: u8,
    /// Whether it promises selective acknowledgments although the origin may know none: such a connection is refused
    /// with 421 and a hint then, which only our own ingress understands.
    pub exit_promises_sack: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            setups: 1 << 16,
            buffers: 1 << 12,
            setups_per_client: 256,
            setups_per_peer: 1 << 14,
            setups_per_stranger: 64,
            rto_min: Duration::from_millis(50),
            rto_unknown: Duration::from_secs(1),
            remembered: 1 << 12,
            remembered_time: Duration::from_mins(10),
            rto_max: Duration::from_secs(8),
            route_time: Duration::from_secs(1),
            setup_time: Duration::from_secs(20),
            syn_time: Duration::from_secs(6),
            request_time: Duration::from_secs(10),
            young_time: Duration::from_secs(1),
            exit_mss: MSS_DEFAULT_V6,
            exit_window_scale: 8,
            exit_promises_sack: false,
        }
    }
}
