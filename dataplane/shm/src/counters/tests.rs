//! The counters page: what a writer lays out is read, and nothing that leads out of the page.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::memory::private;

type Words = Arc<[AtomicU64]>;

fn page() -> (Words, Page<Words>, Reader<Words>) {
    let room = Room::new(20, 3).unwrap();
    let memory = private(room.words());
    let page = Page::new(memory.clone(), room).unwrap();
    (memory.clone(), page, Reader::new(memory))
}

#[test]
fn a_reader_sees_names_blocks_and_values() {
    let (_, mut page, mut reader) = page();
    assert_eq!(reader.read(), Err(Unreadable::Empty));
    let blocks =
        page.lay_out(&["received", "drop.parse_truncated"], &["worker0", "keeper"]).unwrap();
    blocks[0].add(0, 5);
    blocks[0].add(0, 6);
    blocks[1].set(0, 7);
    blocks[1].set_all([100, 3, 9, 9]);
    blocks[1].add(2, 1);
    let table = reader.read().unwrap();
    assert_eq!(table.counters, ["received", "drop.parse_truncated"]);
    assert_eq!(table.blocks, ["worker0", "keeper"]);
    assert_eq!(
        (table.block(0), table.block(1), table.block(2)),
        (&[11, 0][..], &[100, 3][..], &[][..])
    );
    assert_eq!((table.total("received"), table.total("lost")), (Some(111), None));
}

#[test]
fn blocks_share_no_cache_line() {
    let (memory, mut page, _) = page();
    let blocks = page.lay_out(&["a", "b", "c"], &["x", "y", "z"]).unwrap();
    for block in &blocks {
        block.set(0, 77);
        block.set(2, 77);
    }
    let lines: Vec<usize> = (0..memory.len())
        .filter(|at| memory[*at].load(Relaxed) == 77)
        .map(|at| at / LINE_WORDS)
        .collect();
    assert_eq!(lines.len(), 6);
    assert!(lines.windows(4).all(|window| window[0] != window[3]), "{lines:?}");
    let line = &blocks[0].words()[0];
    let distance =
        std::ptr::from_ref(&blocks[1].words()[0]).addr() - std::ptr::from_ref(line).addr();
    assert_eq!(distance % (LINE_WORDS * WORD_LEN), 0);
}

#[test]
fn a_new_layout_is_a_new_epoch_from_zero_and_waits_for_its_writers() {
    let (_, mut page, mut reader) = page();
    let blocks = page.lay_out(&["a"], &["x"]).unwrap();
    blocks[0].add(0, 5);
    let first = reader.read().unwrap().epoch;
    assert_eq!(page.lay_out(&["b"], &["x"]).err(), Some(LayoutError::InUse));
    drop(blocks);
    let _blocks = page.lay_out(&["b"], &["x"]).unwrap();
    let table = reader.read().unwrap();
    assert_eq!((table.counters[0].as_str(), table.block(0)), ("b", &[0][..]));
    assert_ne!(table.epoch, first);
}

#[test]
fn refuses_names_that_are_none_and_what_has_no_room() {
    let (_, mut page, _) = page();
    let long = "a".repeat(65);
    for name in ["", "Upper", "with space", "ä", &long] {
        let refused = page.lay_out(&["a", name], &["x"]).err();
        assert_eq!(refused, Some(LayoutError::Name(name.to_owned())));
    }
    assert_eq!(page.lay_out(&["a", "a"], &["x"]).err(), Some(LayoutError::Name("a".to_owned())));
    assert_eq!(page.lay_out(&["a"], &["w", "x", "y", "z"]).err(), Some(LayoutError::NoRoom));
    assert!(page.lay_out(&["a", &long[1..]], &["x"]).is_ok());
    assert_eq!(Room::new(COUNTERS_MAX + 1, 1), None);
    assert_eq!(Page::new(private(9), Room::new(1, 1).unwrap()).err(), Some(TooShort));
}

#[test]
fn a_reader_refuses_a_shape_that_leaves_the_page() {
    let (memory, mut page, _) = page();
    let _blocks = page.lay_out(&["a", "b"], &["x", "y"]).unwrap();
    for (at, value) in [
        (1, COUNTERS_MAX as u64 + 1),
        (2, BLOCKS_MAX as u64 + 1),
        (2, u64::MAX),
        (3, u64::MAX),
        (4, memory.len() as u64 - 15),
        (5, u64::MAX - 1),
        (6, 1),
        (6, u64::MAX),
    ] {
        let sound = memory[EPOCH + at].swap(value, Relaxed);
        assert_eq!(
            Reader::new(memory.clone()).read(),
            Err(Unreadable::Shape),
            "word {at}: {value}"
        );
        memory[EPOCH + at].store(sound, Relaxed);
    }
    memory[NAMES].store(u64::from_ne_bytes(*b"a\0b\0\0\0\0\0"), Relaxed);
    assert_eq!(Reader::new(memory.clone()).read(), Err(Unreadable::Name));
    memory[EPOCH].store(3, Relaxed);
    assert_eq!(Reader::new(memory).read(), Err(Unreadable::Changing));
}
