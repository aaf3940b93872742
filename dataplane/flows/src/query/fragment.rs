//! Which datagram a fragment belongs to.

use wire::{ipv4, ipv6};

use super::{Kind, Query};
use crate::hash::Words;
use crate::refusal::Refusal;

/// Names the datagram of a fragment, and says whether it is a later one, which then asks for its datagram alone.
///
/// The name is a keyed hash of all that tells datagrams apart (RFC 791 3.2, RFC 8200 4.5), and where they came from. Nobody
/// who does not know the key finds two datagrams with the same one, and by chance there are none.
#[cold]
pub(super) fn read(query: &mut Query, words: &Words, octets: &[u8]) -> Result<bool, Refusal> {
    let (identification, is_later) = if query.v6 {
        let located = ipv6::parse(octets).map_err(|_| Refusal::Truncated)?;
        let fragment = located.fragment.ok_or(Refusal::Truncated)?;
        (fragment.identification, located.is_later_fragment())
    } else {
        let located = ipv4::parse_unverified(octets).map_err(|_| Refusal::Truncated)?;
        (located.identification.into(), located.is_later_fragment())
    };
    let [low, high] = [identification & 0xffff, identification >> 16]
        .map(|half| u16::try_from(half).unwrap_or_default());
    let about = (query.realm, query.protocol, query.v6);
    let name = super::hash(words, &query.addresses, [low, high], about);
    // Zero is no name.
    query.datagram = words.hash(name, 2, 3).max(1);
    if is_later {
        query.kind = Kind::Later;
        query.hash = query.datagram;
    }
    Ok(is_later)
}
