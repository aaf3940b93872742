//! A job's octets are all that it touches, to the last octet before a page that does not exist.
#![expect(unsafe_code, reason = "maps pages to make an access fail that should not happen")]

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use wireguard::aead::{Implementation, Job, Key, TAG_LEN, TAILROOM, open_with, seal_with};
use wireguard::secret::Secret;

use crate::batch::{Packet, Stream, implementations};

/// Pages with one that cannot be touched before them and one behind.
pub(crate) struct Guarded {
    start: *mut u8,
    pages: usize,
}

pub(crate) const PAGE: usize = 4096;

impl Guarded {
    pub(crate) fn new(pages: usize) -> Self {
        let len = (pages + 2) * PAGE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, of which the first and the last page are made inaccessible before
        // anybody has a reference into it.
        unsafe {
            let at = mmap_anonymous(core::ptr::null_mut(), len, protection, MapFlags::PRIVATE);
            let at = at.unwrap();
            mprotect(at, PAGE, MprotectFlags::empty()).unwrap();
            mprotect(at.byte_add(len - PAGE), PAGE, MprotectFlags::empty()).unwrap();
            Self { start: at.byte_add(PAGE).cast(), pages }
        }
    }

    pub(crate) fn octets(&mut self) -> &mut [u8] {
        // SAFETY: the pages between the guards, borrowed as long as the mapping is.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.pages * PAGE) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; no reference into it is left.
        unsafe { munmap(self.start.sub(PAGE).cast(), (self.pages + 2) * PAGE).unwrap() };
    }
}

/// Seals and opens packets whose octets lie where `place` says in pages of their own.
fn on_the_edge(implementation: Implementation, packets: &[Packet], at_end: bool) {
    let keys: Vec<Key> = packets.iter().map(|one| Key::new(Secret::new(one.key))).collect();
    let mut mapped: Vec<Guarded> = packets.iter().map(|_| Guarded::new(1)).collect();
    let place = |len: usize| if at_end { PAGE - len - TAILROOM..PAGE } else { 0..len + TAILROOM };
    for seal in [true, false] {
        let mut jobs = Vec::new();
        for ((pages, one), key) in mapped.iter_mut().zip(packets).zip(&keys) {
            let octets = &mut pages.octets()[place(one.text.len())];
            if seal {
                octets[..one.text.len()].copy_from_slice(&one.text);
            }
            jobs.push(Job::new(key, one.counter, octets, one.text.len()).unwrap());
        }
        let run = if seal { seal_with } else { open_with };
        run(implementation, &mut jobs);
        assert!(jobs.iter().all(Job::accepted));
        for (pages, one) in mapped.iter_mut().zip(packets) {
            let octets = &pages.octets()[place(one.text.len())];
            let expected = if seal { one.sealed() } else { one.text.clone() };
            assert_eq!(octets[..expected.len()], expected);
        }
    }
}

#[test]
fn frames_at_the_end_and_at_the_start_of_a_page_do_not_fault() {
    let mut stream = Stream(8);
    for implementation in implementations("pages") {
        for len in (0..200).chain((200..1500).step_by(7)).chain((1500..3900).step_by(61)) {
            for at_end in [false, true] {
                let count = 1 + len % 19;
                let packets: Vec<Packet> = (0..count).map(|_| stream.packet(len)).collect();
                on_the_edge(implementation, &packets, at_end);
            }
        }
        for round in 0..60 {
            let packets: Vec<Packet> = (0..=stream.below(40))
                .map(|_| {
                    let len = stream.below(1500);
                    stream.packet(len)
                })
                .collect();
            on_the_edge(implementation, &packets, round % 2 == 0);
        }
    }
}

#[test]
fn octets_around_a_job_stay_as_they_are() {
    const MARGIN: usize = 128;
    let mut stream = Stream(9);
    for implementation in implementations("octets_around") {
        for round in 0..400 {
            let packets: Vec<Packet> = (0..=stream.below(40))
                .map(|_| {
                    let len = stream.below([70, 300, 1500][round % 3]);
                    stream.packet(len)
                })
                .collect();
            let keys: Vec<Key> = packets.iter().map(|one| Key::new(Secret::new(one.key))).collect();
            // All jobs lie in one piece of memory, one behind the other with a margin between.
            let mut memory = vec![0xa5; MARGIN];
            for (number, one) in packets.iter().enumerate() {
                let forged = number % 5 == 4;
                let mut sealed = one.sealed();
                sealed[one.text.len()] ^= u8::from(forged);
                memory.extend_from_slice(&sealed);
                memory.resize(memory.len() + TAILROOM - TAG_LEN + MARGIN, 0xa5);
            }
            for run in [open_with, seal_with] {
                let mut rest = memory.as_mut_slice();
                let mut jobs = Vec::new();
                let mut margins = Vec::new();
                for (one, key) in packets.iter().zip(&keys) {
                    let (margin, behind) = rest.split_at_mut(MARGIN);
                    let (octets, behind) = behind.split_at_mut(one.text.len() + TAILROOM);
                    margins.push(margin);
                    jobs.push(Job::new(key, one.counter, octets, one.text.len()).unwrap());
                    rest = behind;
                }
                run(implementation, &mut jobs);
                margins.push(rest);
                assert!(margins.iter().all(|margin| margin.iter().all(|octet| *octet == 0xa5)));
            }
        }
    }
}
