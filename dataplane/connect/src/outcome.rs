//! What becomes of segments and of set-ups, each by its name.

use core::net::SocketAddr;
use core::time::Duration;

use crate::head::{Request, Status};
use crate::segment::{Arrived, Leg, Segment};
use crate::splice::Splice;

/// What the caller does with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to no set-up. A SYN may open one: [`crate::Connect::open`], [`crate::Connect::accept`].
    Unknown,
    /// It is dealt with; the caller frees it.
    Taken,
    /// It belongs to a spliced flow that is still watched: the caller rewrites it and sends it on.
    Pass,
    /// It is dropped.
    Dropped(Dropped),
}

/// Why a segment is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Opens a connection towards who opens one itself (RFC 9293 3.5, simultaneous open), which is not supported.
    SimultaneousOpen,
    /// A SYN that came before and is being worked on.
    Repeated,
    /// A segment of the client before it was answered.
    NotYet,
    /// A reset that does not fit the connection (RFC 5961 3).
    ResetElsewhere,
    /// A FIN where neither side can close yet.
    CloseElsewhere,
    /// An acknowledgment of what was never sent; it has been answered by a reset.
    Unacceptable,
    /// Neither SYN nor acknowledgment.
    Unasked,
    /// Comes before what is missing; the sender sends it again.
    OutOfOrder,
    /// Was there before; it has been acknowledged again.
    Stale,
    /// Payload behind a request, before its answer; the sender sends it again.
    TooEarly,
    /// No buffer is left for a part of a head or for early payload; the sender sends it again.
    BuffersFull,
    /// The hold for early payload is full; the sender sends it again.
    HoldFull,
    /// Reports as received twice what the client has not sent: the request.
    OldBlock,
    /// Acknowledges less than our answer, which is sent again.
    BelowHead,
}

/// Why a set-up was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// All places for set-ups are taken.
    SetupsFull,
    /// All that one client, or one address, may have.
    HolderFull,
    /// TCP-AO or MD5 (kinds 29 and 19), which a splice would break.
    Authenticated,
    /// Options that cannot be read.
    Malformed,
    /// Not a SYN alone.
    NotOpen,
    /// No next hop was given.
    NoRoute,
    /// No port is left towards any of the next hops.
    PortsExhausted,
    /// Each next hop is of the other version of IP.
    OtherFamily,
    /// The target is longer than a request can say.
    TargetTooLong,
}

/// Why a set-up, or a young flow, ended without the caller's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Who opened it has reset it.
    NearReset,
    /// Who opened it has opened another one with the same ends.
    NearRestarted,
    /// Who opened it has closed it before it was there.
    NearClosed,
    /// Who opened it does not acknowledge.
    NearSilent,
    /// The request did not come whole in time.
    RequestLate,
    /// The request is not one.
    RequestWrong,
    /// The request is longer than 8 KiB.
    RequestTooLong,
    /// The policy does not allow the target.
    Forbidden,
    /// No relay may follow.
    HopsUsedUp,
    /// The next hop or origin refuses the connection.
    FarRefused,
    /// The next hop or origin does not answer.
    FarSilent,
    /// The next hop or origin has reset or closed it.
    FarReset,
    /// Old connections are in the way of each port that was tried.
    FarChallenges,
    /// The options of the origin's SYN cannot be spliced.
    FarOptions,
    /// The origin understands less than was promised; the answer was 421 with a hint.
    Promised,
    /// The next hop's answer is not a head of HTTP, or changes the protocol.
    AnswerWrong,
    /// The next hop's head is longer than 8 KiB, or has too many interim ones before it.
    AnswerTooLong,
    /// The next hop has answered with this status.
    Answered(u16),
    /// No port was left.
    PortsExhausted,
    /// The caller had no room for the flow.
    FlowsFull,
    /// The origin is of the other version of IP than who asks.
    OtherFamily,
    /// The client is no more.
    ClientGone,
}

/// A set-up that is over, or a young flow that no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The caller's word.
    pub tag: u64,
    /// The leg of who opened it.
    pub near: Leg,
    /// The other one, if there was one; its port has been returned unless the flow was spliced.
    pub far: Option<Leg>,
    /// What has happened.
    pub why: Why,
    /// Whether it was told as spliced before: the caller's flow ends with it.
    pub was_spliced: bool,
}

/// Where an exit shall connect a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the origin itself.
    Dial {
        /// Its address and port.
        origin: SocketAddr,
        /// The round trip to it, if it is known.
        rtt: Option<Duration>,
        /// What it takes in one packet of ours, less headers.
        mss_max: u16,
    },
    /// To another PoP, which is asked in turn.
    Relay(NextHop),
    /// Not at all.
    Refuse(Status),
}

/// A machine that is asked to connect further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its address and port.
    pub address: SocketAddr,
    /// The round trip to it.
    pub rtt: Duration,
    /// Whether it is one of ours and takes the request in the SYN.
    pub takes_syn_payload: bool,
    /// What a packet to it carries, less headers.
    pub mss_max: u16,
    /// How many relays may follow; `None` for proxies that are not ours.
    pub hops: Option<u8>,
    /// The site at which the connection shall leave.
    pub site: Option<u16>,
}

/// What a set-up needs of its surroundings.
pub trait World {
    /// Sends a segment.
    fn send(&mut self, segment: &Segment<'_>);
    /// An address and port of ours for a connection to `remote`, which has rested long enough.
    fn take_port(&mut self, tag: u64, remote: SocketAddr) -> Option<SocketAddr>;
    /// Takes a port back that no flow uses; it is to rest as the other end may remember it.
    fn return_port(&mut self, local: SocketAddr, remote: SocketAddr);
    /// Where a request from `near` is connected to. Names are resolved here, and targets judged.
    fn admit(&mut self, near: &Leg, tag: u64, request: &Request<'_>) -> Decision;
    /// A number that nobody can guess.
    fn random(&mut self) -> u32;
    /// Both legs are one flow from now on. False when there is no room for it, and then the set-up fails.
    fn splice(&mut self, splice: &Splice) -> bool;
    /// A set-up, or a young flow, is over.
    fn ended(&mut self, ended: &Ended);
}

/// What a client's SYN is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The SYN.
    pub syn: &'a Arrived<'a>,
    /// A word of the caller's that comes back with each outcome.
    pub tag: u64,
    /// The next hops in the order in which they are tried; at most [`crate::limits::ROUTES_MAX`] are.
    pub routes: &'a [NextHop],
    /// What one packet to the client carries, less headers.
    pub mss_max: u16,
    /// Seconds of silence after which the exit is to probe the origin.
    pub keepalive_secs: u16,
}

/// What a SYN to our own port is accepted with.
#[derive(Clone, Copy, Debug)]
pub struct Accepting<'a> {
    /// The SYN.
    pub syn: &'a Arrived<'a>,
    /// A word of the caller's that comes back with each outcome.
    pub tag: u64,
    /// Whether the sender is a PoP of ours: its SYN may bear the request, which may lack `Host`.
    pub is_ours: bool,
    /// What one packet to it carries, less headers.
    pub mss_max: u16,
}
