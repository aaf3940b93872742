//! The answers that need no state: a SYN becomes the SYN-ACK with the cookie, a segment becomes the reset of it, in
//! place and back to the station that has sent it.

use wire::tcp::{self, Flags};

use super::Segment;
use super::cookie::Cookie;
use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Entry, Frame, Kind};
use crate::packet::own;

/// What our side offers in its answer to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Octets of payload that we take in one segment.
    pub mss: u16,
    /// Octets that we take before anything else is said; not scaled.
    pub window: u16,
    /// By how many bits our later windows are to be shifted.
    pub window_scale: u8,
}

/// A segment that answers another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A SYN-ACK.
    SynAck {
        /// Our sequence number, and what of the client's offer we keep to.
        cookie: Cookie,
        /// One more than the client's sequence number; in a challenge something else.
        acknowledgment_number: u32,
        /// The client's timestamp, echoed if the offer has timestamps.
        echo: u32,
        /// Our side's.
        terms: Terms,
    },
    /// A reset of a segment that acknowledges something (RFC 9293 3.10.7.1).
    Reset,
}

/// Kinds and lengths of options (RFC 9293 3.2, RFC 2018 2, RFC 7323 2.2 and 3.2); [`NOP`] fills words.
const NOP: u8 = 1;
const MSS: [u8; 2] = [2, 4];
const WINDOW_SCALE: [u8; 3] = [NOP, 3, 3];
const SACK_PERMITTED: [u8; 2] = [4, 2];
const TIMESTAMPS: [u8; 2] = [8, 10];

/// Octets of the options of a SYN-ACK at most: size, timestamps with selective acknowledgments, window scale.
const OPTIONS_MAX: usize = 4 + 12 + 4;

/// The options of a SYN-ACK in the order that Linux's clients know, and their length.
#[inline]
fn options(cookie: &Cookie, echo: u32, terms: Terms) -> ([u8; OPTIONS_MAX], usize) {
    let [m0, m1] = terms.mss.to_be_bytes();
    let [kind, len] = MSS;
    let mss = [kind, len, m0, m1];
    let mut out = [0; OPTIONS_MAX];
    let mut end = 0;
    let mut put = |octets: &[u8]| {
        if let Some(place) = out.get_mut(end..end + octets.len()) {
            place.copy_from_slice(octets);
            end += octets.len();
        }
    };
    put(&mss);
    if cookie.offer.timestamps {
        put(if cookie.offer.sack { &SACK_PERMITTED } else { &[NOP, NOP] });
        put(&TIMESTAMPS);
        put(&cookie.timestamp.to_be_bytes());
        put(&echo.to_be_bytes());
        if cookie.offer.window_scale.is_some() {
            put(&WINDOW_SCALE);
            put(&[terms.window_scale]);
        }
    }
    (out, end)
}

/// Makes the packet that `frame` holds from its IP header on the answer to it. `segment` must be what was read of it.
///
/// # Errors
/// `ParseSegmented` for a buffer without the few octets of room that the options may take, `LinkNoRoute` for a frame
/// that has not come in on the wire.
#[inline]
pub fn write(frame: &mut Frame<'_>, segment: &Segment, answer: &Answer) -> Result<(), Fate> {
    let no_route = Fate::Drop(DropReason::LinkNoRoute);
    let Entry::Wire(port) = frame.note.entry else { return Err(no_route) };
    let asked = &segment.tcp;
    let mut fields = tcp::Fields {
        source_port: asked.destination_port,
        destination_port: asked.source_port,
        sequence_number: asked.acknowledgment_number,
        acknowledgment_number: 0,
        flags: Flags::RST,
        window: 0,
    };
    let mut out = ([0; OPTIONS_MAX], 0);
    if let Answer::SynAck { cookie, acknowledgment_number, echo, terms } = answer {
        fields.sequence_number = cookie.sequence_number;
        fields.acknowledgment_number = *acknowledgment_number;
        fields.flags = Flags::SYN | Flags::ACK;
        fields.window = terms.window;
        out = options(cookie, *echo, *terms);
    }
    let (options, len) = &out;
    emit(frame, segment, &fields, options.get(..*len).unwrap_or_default())?;
    let note = &mut *frame.note;
    let (remote, local) = (segment.source, segment.destination);
    note.endpoint = Endpoint { remote, local, remote_port: asked.source_port, port };
    note.kind = Kind::Outer;
    // The source is not proven: the answer goes back to the station that sent the question, and asks for no neighbour.
    note.turned = true;
    Ok(())
}

/// Writes both headers, from the segment's destination to its source. The class is the ordinary one: a stranger shall
/// not choose how urgent our answers are.
#[inline]
fn emit(
    frame: &mut Frame<'_>,
    segment: &Segment,
    fields: &tcp::Fields,
    options: &[u8],
) -> Result<(), Fate> {
    let no_room = Fate::Drop(DropReason::ParseSegmented);
    let payload_len = tcp::HEADER_LEN + options.len();
    let len = u16::try_from(payload_len).map_err(|_| no_room)?;
    let ends = (segment.destination, segment.source);
    frame.set_len(own::header_len(segment.source) + payload_len)?;
    let about = (tcp::PROTOCOL, 0);
    let header_len = own::emit(frame.data_mut(), ends, about, payload_len).map_err(|_| no_room)?;
    let pseudo = own::pseudo(ends, tcp::PROTOCOL, len);
    let segment = frame.data_mut().get_mut(header_len..).unwrap_or_default();
    tcp::emit(segment, fields, options, pseudo).map_err(|_| no_room)?;
    Ok(())
}

#[cfg(test)]
mod tests;
