//! Capture files with nanoseconds (the classic format, little endian).

use std::time::Duration;

const MAGIC: u32 = 0xa1b2_3c4d;
/// Link type of Ethernet frames.
pub(crate) const ETHERNET: u32 = 1;
/// Link type of packets that begin with their IP header.
pub(crate) const RAW: u32 = 101;
const FILE_HEADER_LEN: usize = 24;
const FRAME_HEADER_LEN: usize = 16;

/// A frame and the Unix time at which it was seen.
pub(crate) type Frame = (Duration, Vec<u8>);

pub(crate) fn write(link: u32, frames: &[Frame]) -> Vec<u8> {
    let mut file = Vec::new();
    // Magic, version 2.4, zone, accuracy, longest frame, link type.
    for word in [MAGIC, 4 << 16 | 2, 0, 0, 65_535, link] {
        file.extend(word.to_le_bytes());
    }
    for (at, octets) in frames {
        let len = u32::try_from(octets.len()).unwrap();
        let seconds = u32::try_from(at.as_secs()).unwrap();
        for word in [seconds, at.subsec_nanos(), len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(octets);
    }
    file
}

pub(crate) fn read(file: &[u8]) -> Vec<Frame> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(word(0), MAGIC, "nanoseconds, little endian");
    let mut frames = Vec::new();
    let mut at = FILE_HEADER_LEN;
    while at < file.len() {
        let time = Duration::new(word(at).into(), word(at + 4));
        let (start, len) = (at + FRAME_HEADER_LEN, word(at + 8) as usize);
        frames.push((time, file[start..start + len].to_vec()));
        at = start + len;
    }
    frames
}

#[test]
fn what_is_written_is_read() {
    let frames =
        vec![(Duration::new(1_700_000_000, 5), vec![1; 60]), (Duration::new(9, 1), vec![])];
    assert_eq!(read(&write(RAW, &frames)), frames);
}
