//! Claims about virtual reassembly, and a naive receiver that it is held against.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

mod reading;

const START: Instant = Instant(1_000_000_000);
const QUARTER: u16 = FRAGMENTS_DATAGRAMS / FRAGMENTS_TENANT_SHARE;
const PIECES: u16 = 64;
const _: () = assert!(FRAGMENTS_PIECES_MAX == PIECES as usize);
const LOST: DropReason = DropReason::TenantFragmentLost;
const FULL: DropReason = DropReason::TenantFragmentsFull;
const BAD: DropReason = DropReason::TenantFragment;

fn name(identification: u32) -> Name {
    let (source, destination) = ([198, 51, 100, 7], [203, 0, 113, 9]);
    Name {
        source: Ipv4Addr::from(source).into(),
        destination: Ipv4Addr::from(destination).into(),
        identification,
        protocol: 17,
    }
}

/// A piece of a UDP datagram from this port.
fn from_port(port: u16, identification: u32, (offset, len, more): (u16, u16, bool)) -> Piece {
    let upper = Upper::read(17, &[port.to_be_bytes(), [0, 99]].concat());
    let first = upper.map(|upper| First { upper, tos: 0xb8, header_len: 20 });
    let first = first.filter(|_| offset == 0);
    Piece { name: name(identification), offset, len, more, first }
}

fn piece(identification: u32, range: (u16, u16, bool)) -> Piece {
    from_port(9, identification, range)
}

/// All that there is to tell.
fn ended(fragments: &mut Fragments, now: Instant) -> Vec<(u32, End)> {
    std::iter::from_fn(|| fragments.next_ended(now)).collect()
}

/// Takes the pieces of datagram 1 for tenant 1, which must not end before the last of them; gives what becomes of that one, and
/// of the datagram.
fn take_all(fragments: &mut Fragments, pieces: &[Piece]) -> (Result<u32, DropReason>, Option<End>) {
    let (last, before) = pieces.split_last().unwrap();
    let ids: Vec<_> = before.iter().map(|piece| fragments.take(piece, 1, START)).collect();
    assert_eq!(ended(fragments, START), [], "{pieces:?}");
    let taken = fragments.take(last, 1, START);
    let ended = ended(fragments, START);
    assert!(ended.len() <= 1 && ended.iter().all(|(id, _)| ids.iter().all(|one| *one == Ok(*id))));
    (taken, ended.first().map(|(_, end)| *end))
}

#[test]
fn a_datagram_is_complete_with_its_last_octet_in_any_order() {
    let pieces = [(0, 16, true), (16, 8, true), (24, 5, false)].map(|range| piece(1, range));
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut fragments = Fragments::new(7);
        let (taken, end) = take_all(&mut fragments, &order.map(|at| pieces[at]));
        let datagram = end.unwrap().unwrap();
        assert!(taken.is_ok());
        assert_eq!((datagram.len, datagram.pieces, datagram.tenant), (49, 3, 1));
        assert_eq!((datagram.upper.source_port, datagram.upper.destination_port), (9, 99));
        assert_eq!((datagram.upper.protocol, datagram.tos), (17, 0xb8));
        assert_eq!((datagram.source, datagram.destination), (name(1).source, name(1).destination));
        assert_eq!(fragments.held(), 0);
    }
}

#[test]
fn a_datagram_that_cannot_be_is_spoiled_with_all_that_waits() {
    let many: Vec<_> = (0..=PIECES).map(|at| piece(1, (at * 16, 8, true))).collect();
    let cases: Vec<(&str, Vec<Piece>)> = vec![
        ("over its beginning", vec![piece(1, (8, 16, true)), piece(1, (0, 16, true))]),
        ("over its end", vec![piece(1, (0, 16, true)), piece(1, (8, 16, true))]),
        ("within", vec![piece(1, (0, 32, true)), piece(1, (8, 8, true))]),
        ("around", vec![piece(1, (8, 8, true)), piece(1, (0, 32, true))]),
        ("shorter", vec![piece(1, (8, 16, true)), piece(1, (8, 8, true))]),
        ("two ends", vec![piece(1, (80, 8, false)), piece(1, (16, 8, false))]),
        ("an end before others", vec![piece(1, (80, 8, true)), piece(1, (16, 8, false))]),
        ("beyond the end", vec![piece(1, (16, 8, false)), piece(1, (24, 8, true))]),
        ("the end and not", vec![piece(1, (16, 8, true)), piece(1, (16, 8, false))]),
        ("two firsts", vec![piece(1, (0, 8, true)), from_port(8, 1, (0, 8, true))]),
        ("empty", vec![piece(1, (8, 8, true)), piece(1, (16, 0, false))]),
        ("beyond 65,535", vec![piece(1, (8, 8, true)), piece(1, (65_528, 8, false))]),
        ("too many", many),
        ("first without its header", {
            let first = Piece { first: None, ..piece(1, (0, 8, true)) };
            vec![piece(1, (8, 8, true)), first]
        }),
    ];
    for (what, pieces) in cases {
        let mut fragments = Fragments::new(7);
        assert_eq!(take_all(&mut fragments, &pieces), (Err(BAD), Some(Err(BAD))), "{what}");
        // What still comes of it is lost at once, until its time is over.
        let late = START + FRAGMENTS_TIME - Duration::from_nanos(1);
        assert_eq!(fragments.take(&piece(1, (4_000, 8, true)), 1, late), Err(BAD), "{what}");
        assert_eq!((ended(&mut fragments, late), fragments.held()), (vec![], 0), "{what}");
        let after = START + FRAGMENTS_TIME;
        assert_eq!(ended(&mut fragments, after), [], "{what}");
        assert!(fragments.take(&piece(1, (4_000, 8, true)), 1, after).is_ok(), "{what}");
    }
}

#[test]
fn a_piece_that_comes_twice_is_lost_alone() {
    let mut fragments = Fragments::new(7);
    let pieces = [(0, 8, true), (8, 8, true), (16, 8, false)].map(|range| piece(1, range));
    for piece in &pieces[..2] {
        fragments.take(piece, 1, START).unwrap();
        assert_eq!(fragments.take(piece, 1, START), Err(BAD));
    }
    let (_, end) = take_all(&mut fragments, &pieces[2..]);
    assert_eq!(end.unwrap().unwrap().pieces, 3);
    // So are those that come when it has gone on.
    for piece in &pieces {
        assert_eq!(fragments.take(piece, 1, START), Err(BAD));
    }
    // By then the sender may have begun anew.
    let (id, later) = (fragments.index.get(name(1)), START + FRAGMENTS_FINISHED_TIME);
    assert!(id.is_some() && fragments.take(&pieces[0], 1, later).is_ok());
}

#[test]
fn takes_as_many_pieces_as_there_may_be_and_as_many_octets() {
    let end = PIECES - 1;
    let many: Vec<_> = (0..=end).rev().map(|at| piece(1, (at * 8, 8, at < end))).collect();
    assert!(take_all(&mut Fragments::new(7), &many).1.unwrap().is_ok());
    for (len, fits) in [(65_515, true), (65_516, false)] {
        let pieces = [piece(1, (0, 65_000, true)), piece(1, (65_000, len - 65_000, false))];
        let (_, end) = take_all(&mut Fragments::new(7), &pieces);
        assert_eq!(
            end.unwrap().map(|datagram| datagram.len),
            if fits { Ok(65_535) } else { Err(BAD) }
        );
    }
}

#[test]
fn ipv6_counts_what_is_behind_its_fixed_header() {
    let six = |offset, len, more| {
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        let mut piece = piece(1, (offset, len, more));
        (piece.name.source, piece.name.destination) = (address("2600::7"), address("2600::9"));
        piece.first = piece.first.map(|first| First { header_len: 48, ..first });
        piece
    };
    for (len, fits) in [(65_527, true), (65_528, false)] {
        let pieces = [six(0, 65_000, true), six(65_000, len - 65_000, false)];
        let (_, end) = take_all(&mut Fragments::new(7), &pieces);
        assert_eq!(
            end.unwrap().map(|datagram| datagram.len),
            if fits { Ok(65_535) } else { Err(BAD) }
        );
    }
}

#[test]
fn what_is_not_complete_in_time_is_lost() {
    let mut fragments = Fragments::new(7);
    let id = fragments.take(&piece(1, (0, 8, true)), 1, START).unwrap();
    let middle = START + FRAGMENTS_TIME / 2;
    let other = fragments.take(&piece(2, (0, 8, true)), 1, middle).unwrap();
    let end = START + FRAGMENTS_TIME;
    assert_eq!(ended(&mut fragments, end - Duration::from_nanos(1)), []);
    // Also when nobody has asked yet.
    assert_eq!(fragments.take(&piece(1, (8, 8, false)), 1, end), Err(LOST));
    assert_eq!(ended(&mut fragments, end), [(id, Err(LOST))]);
    assert_ne!(
        fragments.take(&piece(1, (8, 8, false)), 1, end),
        Ok(id),
        "nothing old waits for it"
    );
    assert_eq!(ended(&mut fragments, middle + FRAGMENTS_TIME), [(other, Err(LOST))]);
}

#[test]
fn a_flood_finds_no_room_and_pushes_nothing_out() {
    let mut fragments = Fragments::new(7);
    let octets = |fragments: &Fragments| (fragments.ended.capacity(), fragments.rows.len());
    let before = octets(&fragments);
    for tenant in 0..FRAGMENTS_TENANT_SHARE {
        for number in 0..10_000 {
            let taken = fragments.take(
                &piece(u32::from(tenant) << 16 | number, (8, 8, true)),
                tenant,
                START,
            );
            assert_eq!(
                taken.err(),
                (number >= QUARTER.into()).then_some(FULL),
                "{tenant} {number}"
            );
        }
    }
    assert_eq!(fragments.take(&piece(u32::MAX, (8, 8, true)), 9, START), Err(FULL));
    assert_eq!((ended(&mut fragments, START), octets(&fragments)), (vec![], before));
    let all = START + FRAGMENTS_TIME;
    let lost = ended(&mut fragments, all);
    assert_eq!(lost.len(), usize::from(FRAGMENTS_DATAGRAMS));
    assert!(lost.iter().all(|(_, end)| *end == Err(LOST)));
    assert!(fragments.index.is_empty() && fragments.shares.is_empty() && fragments.held() == 0);
    assert!(fragments.take(&piece(u32::MAX, (8, 8, true)), 9, all).is_ok());
}

#[test]
fn a_tenant_is_complete_while_another_is_flooded() {
    let mut fragments = Fragments::new(7);
    for number in 0..10_000 {
        let _ = fragments.take(&piece(number, (0, 8, true)), 1, START);
    }
    for number in 20_000..25_000 {
        fragments.take(&piece(number, (0, 8, true)), 2, START).unwrap();
        let id = fragments.take(&piece(number, (8, 8, false)), 2, START).unwrap();
        let ended = ended(&mut fragments, START);
        assert!(
            matches!(ended[..], [(ended, Ok(datagram))] if ended == id && datagram.tenant == 2)
        );
    }
}

#[test]
fn a_datagram_whose_piece_finds_no_room_makes_room() {
    let mut fragments = Fragments::new(7);
    let share = FRAGMENTS_HELD_MAX / FRAGMENTS_TENANT_SHARE;
    let of = |number: u16| piece((number / 64).into(), (8 + number % 64 * 8, 8, true));
    let ids: Vec<_> = (0..share).map(|number| fragments.take(&of(number), 1, START)).collect();
    assert!(ids.iter().all(Result::is_ok));
    assert!(fragments.take(&piece(99, (0, 8, true)), 2, START).is_ok(), "others have room");
    assert_eq!(fragments.take(&piece(1, (0, 8, true)), 1, START), Err(BAD), "the 65th piece");
    assert_eq!(fragments.take(&piece(50, (0, 8, true)), 1, START), Err(FULL));
    let lost = ended(&mut fragments, START);
    assert_eq!(lost[0], (ids[64].unwrap(), Err(BAD)));
    assert_eq!(lost[1].1, Err(FULL));
    assert_eq!((lost.len(), fragments.held()), (2, share - 64 + 1));
    assert_eq!(fragments.take(&piece(50, (8, 8, true)), 1, START), Err(FULL), "it stays spoiled");
    assert!(fragments.take(&piece(51, (8, 8, true)), 1, START).is_ok());
}

#[test]
fn a_call_looks_at_few_rows() {
    let mut fragments = Fragments::new(7);
    for number in 0..QUARTER.into() {
        fragments.take(&piece(number, (0, 8, true)), 1, START).unwrap();
        fragments.take(&piece(number, (0, 16, true)), 1, START).unwrap_err();
    }
    while fragments.next_ended(START).is_some() {}
    let (over, turns) = (START + FRAGMENTS_TIME, usize::from(QUARTER) / TIMERS_PER_TURN);
    for turn in 1..=turns {
        assert_eq!(fragments.next_ended(over), None);
        assert_eq!(fragments.index.len(), usize::from(QUARTER) - turn * TIMERS_PER_TURN);
    }
}

/// What a naive receiver knows of one name: it paints octets.
#[derive(Clone, Debug)]
enum Known {
    Open { id: u32, until: Instant, pieces: Vec<Piece> },
    Spoiled { until: Instant },
    Finished { until: Instant },
}

/// What becomes of a piece by painting, beside those that were there; none when it is there already.
fn painted(pieces: &[Piece], piece: &Piece) -> Option<Result<bool, DropReason>> {
    let range = |piece: &Piece| (piece.offset, piece.len, piece.more);
    let same = pieces.iter().find(|other| range(other) == range(piece));
    if let Some(same) = same {
        return if same.first == piece.first { None } else { Some(Err(BAD)) };
    }
    let all: Vec<_> = pieces.iter().chain([piece]).collect();
    let mut octets = vec![0; 1_000];
    for piece in &all {
        for at in piece.offset..piece.offset + piece.len {
            octets[usize::from(at)] += 1;
        }
    }
    let ends: Vec<_> = all.iter().filter(|piece| !piece.more).map(|p| p.offset + p.len).collect();
    let end = ends.first().map_or(octets.len(), |end| usize::from(*end));
    if ends.len() > 1 || octets.iter().any(|times| *times > 1) || octets[end..].contains(&1) {
        return Some(Err(BAD));
    }
    Some(Ok(ends.len() == 1 && !octets[..end].contains(&0)))
}

/// The octets of a datagram, or why it was lost.
type NaiveEnd = Result<u16, DropReason>;

#[derive(Default)]
struct Naive(std::collections::BTreeMap<u32, Known>);

impl Naive {
    /// Lets time pass; gives the ids of what was lost.
    fn expire(&mut self, now: Instant) -> Vec<u32> {
        let mut lost = Vec::new();
        self.0.retain(|_, known| match known {
            Known::Open { until, id, .. } if *until <= now => {
                lost.push((*until, *id));
                false
            }
            Known::Spoiled { until } | Known::Finished { until } => *until > now,
            Known::Open { .. } => true,
        });
        lost.sort_unstable();
        lost.into_iter().map(|(_, id)| id).collect()
    }

    /// What has to become of a piece, and of its datagram if that ends; `id` is the one that it was given.
    fn take(
        &mut self,
        piece: &Piece,
        id: u32,
        now: Instant,
    ) -> (Result<u32, DropReason>, Option<(u32, NaiveEnd)>) {
        let begun = Known::Open { id, until: now + FRAGMENTS_TIME, pieces: vec![] };
        let known = self.0.entry(piece.name.identification).or_insert(begun);
        let Known::Open { id, until, pieces } = known else { return (Err(BAD), None) };
        let id = *id;
        match painted(pieces, piece) {
            None => (Err(BAD), None),
            Some(Err(reason)) => {
                let waits = !pieces.is_empty();
                *known = Known::Spoiled { until: *until };
                (Err(reason), waits.then_some((id, Err(reason))))
            }
            Some(Ok(true)) => {
                let len = pieces.iter().chain([piece]).map(|piece| piece.len).sum::<u16>() + 20;
                *known = Known::Finished { until: now + FRAGMENTS_FINISHED_TIME };
                (Ok(id), Some((id, Ok(len))))
            }
            Some(Ok(false)) => {
                pieces.push(*piece);
                (Ok(id), None)
            }
        }
    }
}

/// Datagrams cut at the same places, of which the last octets are few; rarely a piece that fits nowhere.
fn any_piece() -> impl Strategy<Value = Piece> {
    let honest = (0_u32..4, 0_u16..6).prop_map(|(number, at)| {
        let len = if at == 5 { 3 } else { 8 * (1 + (at + u16::try_from(number).unwrap()) % 3) };
        let before = |at: u16| 8 * (1 + (at + u16::try_from(number).unwrap()) % 3);
        piece(number, ((0..at).map(before).sum(), len, at < 5))
    });
    let any = (0_u32..4, 0_u16..12, 1_u16..5, any::<bool>(), 8_u16..10).prop_map(
        |(number, eights, len, more, port)| from_port(port, number, (eights * 8, len * 8, more)),
    );
    prop_oneof![12 => honest, 1 => any]
}

proptest! {
    #[test]
    fn a_naive_receiver_says_the_same(
        steps in prop::collection::vec((any_piece(), prop_oneof![9 => 0_u64..20, 1 => 0_u64..900]), 1..200),
    ) {
        let (mut fragments, mut naive, mut now) = (Fragments::new(7), Naive::default(), START);
        for (piece, pause) in steps {
            now = now + Duration::from_millis(pause);
            let lost: Vec<_> =
                naive.expire(now).into_iter().map(|id| (id, Err(LOST))).collect();
            prop_assert_eq!(ended(&mut fragments, now), lost);
            let taken = fragments.take(&piece, 1, now);
            let (want, end) = naive.take(&piece, taken.unwrap_or_default(), now);
            prop_assert_eq!(taken, want, "{:?}", piece);
            let told: Vec<_> = ended(&mut fragments, now)
                .into_iter()
                .map(|(id, end)| (id, end.map(|datagram| datagram.len)))
                .collect();
            prop_assert_eq!(told, end.into_iter().collect::<Vec<_>>(), "{:?}", piece);
        }
    }
}
