//! What a client hears when its packet cannot be translated, and another data centre when it speaks of a connection that is not
//! known here; made in place of the packet.

use flows::Refusal;
use wire::icmp::v4::Error;
use wire::tcp::{self, Flags};
use wire::{icmp, ipv4};

use crate::frame::Frame;
use crate::limiter::Limiter;
use crate::limits::{ICMP_ERRORS_BURST, ICMP_ERRORS_PER_SECOND};
use crate::packet::own;
use crate::stages::route::icmp::write_v4;

use super::Outside;

/// The limits of what clients are told, one for each kind: who provokes one kind does not silence another.
#[derive(Debug)]
pub(super) struct Answers {
    protocol: Limiter,
    prohibited: Limiter,
    reset: Limiter,
    forbidden: Limiter,
    elsewhere: Limiter,
}

impl Default for Answers {
    fn default() -> Self {
        let each = Limiter::new(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
        Self { protocol: each, prohibited: each, reset: each, forbidden: each, elsewhere: each }
    }
}

/// What is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Error(Error),
    /// To a segment that belongs to nothing.
    Reset,
    /// The same to one that asks for what clients may not have.
    Forbidden,
    /// The same to another data centre.
    Elsewhere,
}

/// What a refusal is answered with. Whoever finds no room for a flow hears that it is prohibited (RFC 5508 REQ-8); nothing is
/// said about messages of ICMP and about pieces.
pub(super) const fn owed(refusal: Refusal) -> Option<Answer> {
    match refusal {
        Refusal::Protocol => Some(Answer::Error(Error::ProtocolUnreachable)),
        Refusal::NoFlow => Some(Answer::Reset),
        Refusal::Client
        | Refusal::ClientFlows
        | Refusal::ClientPorts
        | Refusal::ClientSetups
        | Refusal::TableFull
        | Refusal::PortsExhausted => Some(Answer::Error(Error::Prohibited)),
        Refusal::Truncated
        | Refusal::Icmp
        | Refusal::Family
        | Refusal::NoAddress
        | Refusal::NoMapping
        | Refusal::Filtered
        | Refusal::Conflict
        | Refusal::ErrorUnmatched
        | Refusal::ErrorImplausible
        | Refusal::ErrorChecksum
        | Refusal::FragmentEarly => None,
    }
}

impl Answers {
    /// Turns a client's packet into what it is owed, within the limits; none when it is owed nothing.
    pub(super) fn turn(
        &mut self,
        frame: &mut Frame<'_>,
        answer: Answer,
        outside: Outside<'_>,
    ) -> Option<()> {
        let Outside { site, counters, now, .. } = outside;
        if frame.note.turned {
            return None;
        }
        let ip = ipv4::parse_unverified(frame.data()).ok()?;
        let payload = frame.data().get(ip.payload_offset..ip.total_len())?;
        match answer {
            Answer::Error(error) => {
                let may = icmp::v4::may_answer(&ip, payload, false);
                let may = may && self.limiter(answer).take(now);
                may.then(|| write_v4(frame, error, site.router4, ip.source))??;
                counters.icmp_errors.add(1);
            }
            Answer::Reset | Answer::Forbidden | Answer::Elsewhere => {
                let fields = reset(&tcp::parse(payload).ok()?)?;
                self.limiter(answer).take(now).then_some(())?;
                write_reset(frame, &ip, &fields)?;
                counters.resets.add(1);
            }
        }
        frame.note.turned = true;
        Some(())
    }

    const fn limiter(&mut self, answer: Answer) -> &mut Limiter {
        match answer {
            Answer::Error(Error::ProtocolUnreachable) => &mut self.protocol,
            Answer::Error(_) => &mut self.prohibited,
            Answer::Reset => &mut self.reset,
            Answer::Forbidden => &mut self.forbidden,
            Answer::Elsewhere => &mut self.elsewhere,
        }
    }
}

/// The reset of a segment that belongs to nothing (RFC 9293 3.5.2 group 1); of a reset there is none.
fn reset(segment: &tcp::Located) -> Option<tcp::Fields> {
    if segment.flags.has(Flags::RST) {
        return None;
    }
    let fields = tcp::Fields {
        source_port: segment.destination_port,
        destination_port: segment.source_port,
        sequence_number: 0,
        acknowledgment_number: 0,
        flags: Flags::RST,
        window: 0,
    };
    if segment.flags.has(Flags::ACK) {
        return Some(tcp::Fields { sequence_number: segment.acknowledgment_number, ..fields });
    }
    let taken = u32::try_from(segment.sequence_len()).ok()?;
    let acknowledgment_number = segment.sequence_number.wrapping_add(taken);
    let flags = Flags(Flags::RST.0 | Flags::ACK.0);
    Some(tcp::Fields { acknowledgment_number, flags, ..fields })
}

/// Puts the segment in the packet's place, from the end that it was for.
fn write_reset(frame: &mut Frame<'_>, ip: &ipv4::Located, fields: &tcp::Fields) -> Option<()> {
    frame.set_len(ipv4::HEADER_LEN + tcp::HEADER_LEN).ok()?;
    let ends = (ip.destination.into(), ip.source.into());
    let (header, segment) = frame.data_mut().split_at_mut_checked(ipv4::HEADER_LEN)?;
    let len = u16::try_from(segment.len()).ok()?;
    tcp::emit(segment, fields, &[], own::pseudo(ends, tcp::PROTOCOL, len)).ok()?;
    own::emit(header, ends, (tcp::PROTOCOL, 0), segment.len()).ok()?;
    frame.read_ip().ok().map(|_| ())
}
