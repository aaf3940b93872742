//! Captures: what is written is read back, every variant means the same, and nothing that is broken gets by.

use super::*;
use proptest::prelude::*;

const AT: u64 = 1_700_000_000_123_456_789;

fn records(file: &[u8]) -> Result<Vec<(u64, Vec<u8>, usize)>, Error> {
    let mut reader = Reader::new(file)?;
    let mut all = Vec::new();
    while let Some(record) = reader.read()? {
        all.push((record.at_ns, record.octets.to_vec(), record.original_len));
    }
    Ok(all)
}

fn written(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (at, frame) in frames {
        writer.write(*at, frame).unwrap();
    }
    writer.finish().unwrap()
}

/// Numbers in the order asked for.
fn put(order: Order, file: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        file.extend(match order {
            Order::Big => word.to_be_bytes(),
            Order::Little => word.to_le_bytes(),
        });
    }
}

fn classic(order: Order, magic: u32, part: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let version = if order == Order::Big { 0x0002_0004 } else { 0x0004_0002 };
    put(order, &mut file, &[magic, version, 0, 0, 96, 1]);
    put(order, &mut file, &[1_700_000_000, part, 5, 60]);
    file.extend(b"abcde");
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len().next_multiple_of(4) + 12).unwrap();
    let mut file = Vec::new();
    put(order, &mut file, &[kind, len]);
    file.extend(body);
    file.resize(file.len().next_multiple_of(4), 0);
    put(order, &mut file, &[len]);
    file
}

fn words(order: Order, list: &[u32], tail: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put(order, &mut body, list);
    body.extend(tail);
    body
}

/// An option's head: its code and length are 16 bits each.
fn option(order: Order, code: u32, len: u32) -> u32 {
    if order == Order::Big { code << 16 | len } else { len << 16 | code }
}

fn section(order: Order) -> Vec<u8> {
    let version = option(order, 1, 0);
    block(order, 0x0a0d_0d0a, &words(order, &[0x1a2b_3c4d, version, u32::MAX, u32::MAX], &[]))
}

/// Two interfaces, of nanoseconds and of 2^-10 seconds, with a block of another kind between.
fn ng(order: Order) -> Vec<u8> {
    let mut file = section(order);
    let link = option(order, 1, 0);
    let resolution = |value| {
        let mut body = words(order, &[link, 3, option(order, 9, 1)], &[value, 0, 0, 0]);
        body.extend([0; 4]);
        body
    };
    file.extend(block(order, 1, &resolution(9)));
    file.extend(block(order, 0x0bad, b"whatever"));
    file.extend(block(order, 1, &resolution(0x80 | 0x0a)));
    let (high, low) = (u32::try_from(AT >> 32).unwrap(), u32::try_from(AT & 0xffff_ffff).unwrap());
    file.extend(block(order, 6, &words(order, &[0, high, low, 5, 60], b"abcde")));
    file.extend(block(order, 6, &words(order, &[1, 0, 1536, 2, 2], b"fg")));
    file.extend(block(order, 3, &words(order, &[7], b"hij")));
    file
}

#[test]
fn every_classic_variant_means_the_same() {
    for order in [Order::Big, Order::Little] {
        let wanted = |at| Ok(vec![(at, b"abcde".to_vec(), 60)]);
        assert_eq!(records(&classic(order, classic::MICROS, 123_456)), wanted(AT / 1000 * 1000));
        assert_eq!(records(&classic(order, classic::NANOS, 123_456_789)), wanted(AT));
    }
}

#[test]
fn interfaces_of_pcapng_count_time_each_in_its_ticks() {
    for order in [Order::Big, Order::Little] {
        let half = 1_500_000_000;
        let wanted = vec![
            (AT, b"abcde".to_vec(), 60),
            (half, b"fg".to_vec(), 2),
            (half, b"hij".to_vec(), 7),
        ];
        assert_eq!(records(&ng(order)), Ok(wanted), "{order:?}");
    }
}

#[test]
fn a_second_section_has_its_own_order_and_interfaces() {
    let mut file = ng(Order::Little);
    file.extend(ng(Order::Big));
    assert_eq!(records(&file).unwrap().len(), 6);
    let mut file = ng(Order::Little);
    file.extend(section(Order::Big));
    file.extend(block(Order::Big, 6, &words(Order::Big, &[0, 0, 0, 0, 0], &[])));
    let error = records(&file).unwrap_err();
    assert!(error.record == 4 && error.what.contains("interface 0"), "{error}");
}

#[test]
fn check_sequences_are_taken_off() {
    let mut file = classic(Order::Big, classic::NANOS, 0);
    file[20..24].copy_from_slice(&(0x2400_0001_u32).to_be_bytes());
    file[36..40].copy_from_slice(&7_u32.to_be_bytes());
    assert_eq!(
        records(&file).unwrap()[0].1,
        b"abc",
        "five of seven octets, four of them the check"
    );
}

#[test]
fn what_is_broken_is_named_with_its_place() {
    let good = classic(Order::Little, classic::MICROS, 0);
    let changed = |at: usize, octets: &[u8]| {
        let mut file = good.clone();
        file[at..at + octets.len()].copy_from_slice(octets);
        file
    };
    let cut = |len: usize| good[..len].to_vec();
    let old = ng(Order::Big);
    let mut lying = old.clone();
    *lying.last_mut().unwrap() ^= 4;
    let cases: [(Vec<u8>, u64, u64, &str); 8] = [
        (Vec::new(), 0, 0, "the file ends"),
        (b"GIF89a".to_vec(), 0, 0, "neither pcap nor pcapng"),
        (changed(20, &[113]), 0, 4, "link type 113 is not Ethernet"),
        (cut(30), 1, 24, "after 6 of 16 octets"),
        (cut(43), 1, 40, "after 3 of 5 octets"),
        (cut(40), 1, 40, "where 5 octets more are due"),
        (changed(32, &[255, 255, 255, 255]), 1, 40, "more than the 1048576"),
        (lying, 3, old.len() as u64 - 12, "at its start and"),
    ];
    for (file, record, offset, what) in cases {
        let error = records(&file).unwrap_err();
        assert!(error.what.contains(what), "{error}");
        assert_eq!((error.record, error.offset), (record, offset), "{error}");
    }
}

#[test]
fn a_capture_fills_up_cut_frames_and_leaves_out_long_ones() {
    let mut file = classic(Order::Big, classic::NANOS, 5);
    put(Order::Big, &mut file, &[1_700_000_000, 3, 1, 9000]);
    file.extend(b"x");
    put(Order::Big, &mut file, &[1_700_000_001, 5, 2, 2]);
    file.extend(b"yz");
    let capture = Capture::read(&file[..], 1518).unwrap();
    let frames = capture.frames();
    assert_eq!((frames.len(), capture.too_long, capture.cut), (2, 1, 1));
    assert_eq!(capture.octets(&frames[0]).len(), 60);
    assert_eq!((frames[1].at_ns, capture.span_ns()), (1_000_000_000, 1_000_000_000));
    let changed =
        capture.map(|frame, is_cut| if is_cut { frame.truncate(3) } else { frame.push(b'!') });
    let all: Vec<_> = changed.frames().iter().map(|frame| changed.octets(frame)).collect();
    assert_eq!(all, [&b"abc"[..], b"yz!"]);
    let error = Capture::read(&written(&[])[..], 1518).unwrap_err();
    assert!(error.what.contains("no packet"), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        frames in prop::collection::vec((0..4_000_000_000_000_000_000_u64, prop::collection::vec(any::<u8>(), 0..200)), 0..20)
    ) {
        let wanted: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.clone(), frame.len())).collect();
        prop_assert_eq!(records(&written(&frames)).unwrap(), wanted);
    }

    #[test]
    fn any_octets_end_in_records_or_in_an_error(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(records(&octets));
    }

    /// Behind good headers, random octets reach every branch.
    #[test]
    fn any_change_of_a_good_file_ends_in_records_or_in_an_error(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let order = if which.is_multiple_of(2) { Order::Big } else { Order::Little };
        let mut file = if which < 2 { ng(order) } else { classic(order, classic::NANOS, 7) };
        for (at, octet) in changes {
            let at = at.index(file.len());
            file[at] = octet;
        }
        file.truncate(cut.index(file.len()) + 1);
        drop(records(&file));
        drop(Capture::read(&file[..], 1518));
    }
}
