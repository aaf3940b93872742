//! What is forged is refused, what stands beside it is opened, and no plaintext of it is left.

use wireguard::aead::{Implementation, TAG_LEN};

use crate::batch::{Packet, Stream, implementations, open};

/// Opens the batch and checks that just those of `forged` are refused and stay sealed.
fn refuses(
    implementation: Implementation,
    packets: &[Packet],
    sealed: &[Vec<u8>],
    forged: impl Fn(usize) -> bool,
) {
    for (number, (accepted, text)) in open(implementation, packets, sealed).iter().enumerate() {
        let len = packets[number].text.len();
        assert_eq!(*accepted, !forged(number), "{implementation}, job {number} of {len} octets");
        let expected = if forged(number) { &sealed[number][..len] } else { &packets[number].text };
        assert!(text == expected, "{implementation}, job {number} of {len} octets");
    }
}

#[test]
fn every_bit_of_tag_text_and_key_counts() {
    let mut stream = Stream(5);
    for implementation in implementations("every_bit") {
        for (len, count) in [(0, 1), (1, 2), (15, 9), (16, 3), (17, 17), (63, 5), (64, 8), (65, 16)]
        {
            let packets: Vec<Packet> = (0..count).map(|_| stream.packet(len)).collect();
            let sealed: Vec<Vec<u8>> = packets.iter().map(Packet::sealed).collect();
            for bit in 0..8 * (len + TAG_LEN) {
                let victim = bit % count;
                let mut spoiled = sealed.clone();
                spoiled[victim][bit / 8] ^= 1 << (bit % 8);
                refuses(implementation, &packets, &spoiled, |number| number == victim);
            }
            for bit in 0..256 {
                let victim = bit % count;
                let mut others = packets.clone();
                others[victim].key[bit / 8] ^= 1 << (bit % 8);
                refuses(implementation, &others, &sealed, |number| number == victim);
            }
            for bit in 0..64 {
                let victim = bit % count;
                let mut others = packets.clone();
                others[victim].counter ^= 1 << bit;
                refuses(implementation, &others, &sealed, |number| number == victim);
            }
        }
    }
}

#[test]
fn one_forged_among_63_and_all_forged_are_told_apart() {
    let mut stream = Stream(6);
    for implementation in implementations("one_forged") {
        for mix in 0..40 {
            let packets: Vec<Packet> = (0..64)
                .map(|_| {
                    let len = if mix % 2 == 0 { 36 * mix } else { stream.below(1500) };
                    stream.packet(len)
                })
                .collect();
            let right: Vec<Vec<u8>> = packets.iter().map(Packet::sealed).collect();
            let spoil = |octets: &mut Vec<u8>, at: usize| {
                let at = at % octets.len();
                octets[at] ^= 0x10;
            };
            let victim = stream.below(64);
            let mut one = right.clone();
            spoil(&mut one[victim], stream.below(2000));
            refuses(implementation, &packets, &one, |number| number == victim);
            let mut all = right.clone();
            for octets in &mut all {
                spoil(octets, stream.below(2000));
            }
            refuses(implementation, &packets, &all, |_| true);
            let pattern = stream.next();
            let mut some = right;
            for (number, octets) in some.iter_mut().enumerate() {
                if pattern >> number & 1 == 1 {
                    spoil(octets, stream.below(2000));
                }
            }
            refuses(implementation, &packets, &some, |number| pattern >> number & 1 == 1);
        }
    }
}

#[test]
fn a_forged_packet_in_a_small_batch_is_refused_whatever_its_length() {
    let mut stream = Stream(7);
    for implementation in implementations("small_batches") {
        for count in 1..=12 {
            for round in 0..30 {
                let longest = [70, 600, 1500, 6000][round % 4];
                let packets: Vec<Packet> = (0..count)
                    .map(|_| {
                        let len = stream.below(longest);
                        stream.packet(len)
                    })
                    .collect();
                let mut sealed: Vec<Vec<u8>> = packets.iter().map(Packet::sealed).collect();
                let pattern = stream.next();
                for (number, octets) in sealed.iter_mut().enumerate() {
                    let at = stream.below(octets.len());
                    if pattern >> number & 1 == 1 {
                        octets[at] ^= 1;
                    }
                }
                refuses(implementation, &packets, &sealed, |number| pattern >> number & 1 == 1);
            }
        }
    }
}
