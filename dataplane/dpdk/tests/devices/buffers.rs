//! Pools and buffers.

use arrayvec::ArrayVec;
use dpdk::error::Kind;
use dpdk::mbuf::{Checksum, HEADROOM, OutOfRange, free_bulk};
use dpdk::{Eal, Mbuf, Pool};

use crate::lab::{Case, Outcome, assert_home, frame, number, pool, unique};

pub(crate) const CASES: &[Case] = &[
    ("counts_exhaustion_and_gets_every_buffer_back", exhaustion),
    ("allocates_in_bulk_all_or_nothing", bulk),
    ("moves_the_frame_within_the_buffer_only", range),
    ("lends_headroom_and_tailroom_too", whole_buffer),
    ("packs_buffers_closer_than_pages", packed),
    ("knows_nothing_of_checksums_in_a_fresh_buffer", checksums),
    ("keeps_a_dropped_pool_until_its_last_buffer_is_home", buried_pool),
    ("refuses_a_second_pool_of_the_same_name", same_name),
    ("says_when_memory_is_too_small_for_a_pool", too_large),
];

fn exhaustion(eal: &Eal) -> Outcome {
    let pool = pool(eal, 255);
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.allocate()).collect();
    assert_eq!((all.len(), pool.in_use(), pool.available()), (255, 255, 0));
    assert!(pool.allocate().is_none());
    drop(all);
    assert_home(&pool);
    assert_eq!(pool.available(), pool.count());
    Ok(())
}

fn bulk(eal: &Eal) -> Outcome {
    let pool = pool(eal, 100);
    let mut burst = ArrayVec::<Mbuf, 64>::new();
    assert_eq!(pool.allocate_bulk(&mut burst, 65), 0, "more than the vector takes");
    assert_eq!(pool.allocate_bulk(&mut burst, 40), 40);
    burst[3].set_tag(7);
    let mut more = ArrayVec::<Mbuf, 64>::new();
    assert_eq!(pool.allocate_bulk(&mut more, 61), 0, "more than the pool has");
    assert_eq!(pool.in_use(), 40);
    assert_eq!(pool.allocate_bulk(&mut burst, 24), 24);
    assert_eq!(burst[3].tag(), 7, "what was there before is untouched");
    free_bulk(&mut burst);
    assert!(burst.is_empty());
    assert_home(&pool);
    assert_eq!(pool.allocate_bulk(&mut burst, 50), 50);
    assert!(burst.iter().all(|mbuf| mbuf.tag() == 0), "a tag does not outlive its packet");
    Ok(())
}

fn range(eal: &Eal) -> Outcome {
    let pool = pool(eal, 31);
    let mut mbuf = frame(&pool, 5);
    let room = mbuf.octets().len();
    assert_eq!(room, usize::from(HEADROOM) + 2048);
    for (start, len) in [(0, room + 1), (room, 1), (room + 1, 0), (usize::MAX, 2), (1, usize::MAX)]
    {
        assert_eq!(mbuf.set_range(start, len), Err(OutOfRange), "{start}+{len}");
    }
    assert_eq!(number(&mbuf), Some(5), "a refused range changes nothing");
    for (start, len) in [(0, room), (room, 0), (0, 0), (14, 60)] {
        assert_eq!(mbuf.set_range(start, len), Ok(()));
        assert_eq!((mbuf.start(), mbuf.len(), mbuf.total_len()), (start, len, len));
        assert_eq!(mbuf.frame().len(), len);
    }
    mbuf.prefetch();
    Ok(())
}

fn whole_buffer(eal: &Eal) -> Outcome {
    let pool = pool(eal, 31);
    let (mut one, mut other) = (frame(&pool, 1), frame(&pool, 2));
    one.octets_mut().fill(0xaa);
    other.octets_mut().fill(0xbb);
    assert!(one.octets().iter().all(|&octet| octet == 0xaa), "buffers do not overlap");
    assert_eq!(
        (one.segments(), one.len(), other.len()),
        (1, 64, 64),
        "buffers do not reach into their headers"
    );
    Ok(())
}

/// With a page each, the same octets of all packets would fall into one set of the first cache. Where the
/// pool's memory is in several pieces, there is a gap between them.
fn packed(eal: &Eal) -> Outcome {
    const PAGE: usize = 4096;
    let pool = pool(eal, 63);
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.allocate()).collect();
    let mut places: Vec<usize> = all.iter().map(|mbuf| mbuf.octets().as_ptr().addr()).collect();
    places.sort_unstable();
    let apart = places.windows(2).filter(|pair| pair[1] - pair[0] >= PAGE).count();
    assert!(apart < places.len() / 4, "{apart} of {} lie a page apart", places.len());
    Ok(())
}

fn checksums(eal: &Eal) -> Outcome {
    let pool = pool(eal, 31);
    let checksums = frame(&pool, 1).checksums();
    assert_eq!((checksums.ip, checksums.l4), (Checksum::Unknown, Checksum::Unknown));
    Ok(())
}

fn buried_pool(eal: &Eal) -> Outcome {
    let name = unique("b");
    let pool = Pool::new(eal, &name, 63, 256).expect("a pool");
    let mut mbuf = pool.allocate().expect("a buffer");
    drop(pool);
    mbuf.octets_mut().fill(0x5a);
    let taken = Pool::new(eal, &name, 63, 256).expect_err("the old pool is still there");
    assert_eq!(taken.kind(), Kind::Memory);
    assert!(mbuf.octets().iter().all(|&octet| octet == 0x5a));
    drop(mbuf);
    drop(Pool::new(eal, &name, 63, 256).expect("the old pool is gone"));
    Ok(())
}

fn same_name(eal: &Eal) -> Outcome {
    let name = unique("s");
    let first = Pool::new(eal, &name, 63, 256).expect("a pool");
    let error = Pool::new(eal, &name, 63, 256).expect_err("the name is taken");
    assert!(error.to_string().contains(&name), "{error}");
    drop(first);
    assert!(Pool::new(eal, &name, 63, 256).is_ok());
    Ok(())
}

fn too_large(eal: &Eal) -> Outcome {
    let error = Pool::new(eal, &unique("l"), 50_000_000, 60_000).expect_err("3 TB");
    assert_eq!(error.kind(), Kind::Memory);
    assert!(error.remedy().contains("memory"), "{error}");
    Ok(())
}
