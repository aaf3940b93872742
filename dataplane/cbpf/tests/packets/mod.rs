//! Packets from a seed: IP of both versions with few different values, so that programs about them often match,
//! and with everything that is odd about packets.

/// A stream of numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

pub(crate) const PORTS: [u16; 8] = [53, 80, 123, 443, 1900, 11211, 51820, 65535];
pub(crate) const PROTOCOLS: [u8; 8] = [6, 6, 6, 17, 17, 17, 1, 47];
pub(crate) const ADDRESSES4: [[u8; 4]; 6] = [
    [192, 0, 2, 1],
    [192, 0, 2, 2],
    [198, 51, 100, 7],
    [10, 1, 2, 3],
    [10, 200, 0, 1],
    [203, 0, 113, 9],
];

/// Small numbers in three networks.
fn address6(random: &mut Random) -> [u8; 16] {
    let mut address = [0; 16];
    let head: &[u8] =
        random.pick(&[&[0x20, 1, 0xd, 0xb8], &[0x20, 1, 0xd, 0xb8, 0, 1], &[0xfe, 0x80]]);
    address[..head.len()].copy_from_slice(head);
    address[15] = random.below(3) as u8 + 1;
    address
}

/// One packet; some are cut short.
pub(crate) fn packet(random: &mut Random) -> Vec<u8> {
    let protocol = random.pick(&PROTOCOLS);
    let upper = upper(random, protocol);
    let mut packet = if random.below(3) == 0 {
        six(random, protocol, &upper)
    } else {
        four(random, protocol, &upper)
    };
    if random.below(16) == 0 {
        packet.truncate(random.below(packet.len() as u64 + 1) as usize);
    }
    packet
}

fn four(random: &mut Random, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let words = if random.below(4) == 0 { random.pick(&[6u8, 8, 15]) } else { 5 };
    let mut packet = vec![0; usize::from(words) * 4];
    packet[0] = 0x40 | words;
    packet[1] = random.pick(&[0, 0, 0xb8]);
    let len = (packet.len() + upper.len()) as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    let fragment = random.pick(&[0u16, 0, 0, 0x4000, 0x4000, 0x2000, 0x2010, 0x0020]);
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = random.pick(&[1, 32, 64, 255]);
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&random.pick(&ADDRESSES4));
    packet[16..20].copy_from_slice(&random.pick(&ADDRESSES4));
    packet.extend_from_slice(upper);
    packet
}

fn six(random: &mut Random, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[3] = random.below(2) as u8;
    packet[6] = if protocol == 1 { 58 } else { protocol };
    packet[7] = random.pick(&[1, 64, 255]);
    packet[8..24].copy_from_slice(&address6(random));
    packet[24..40].copy_from_slice(&address6(random));
    if random.below(4) == 0 {
        packet.extend_from_slice(&[packet[6], 0, 0, 1, 0, 0, 0, 9]);
        packet[6] = 44;
    }
    packet.extend_from_slice(upper);
    let len = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet
}

/// A UDP or TCP header, or something like an echo, with up to 60 octets behind it.
fn upper(random: &mut Random, protocol: u8) -> Vec<u8> {
    let mut upper = vec![0; 8];
    if protocol == 1 {
        upper[0] = random.pick(&[0, 8, 3, 11, 128]);
    } else {
        upper[..2].copy_from_slice(&random.pick(&PORTS).to_be_bytes());
        upper[2..4].copy_from_slice(&random.pick(&PORTS).to_be_bytes());
    }
    if protocol == 6 {
        upper.extend_from_slice(&[
            0,
            0,
            0,
            0,
            0x50,
            random.pick(&[2, 0x12, 0x10, 0x18, 4, 0x11, 0]),
            0,
            0,
        ]);
        upper.extend_from_slice(&[0; 4]);
    }
    let payload = random.pick(&[0u64, 1, 8, 24, 60]);
    upper.extend((0..payload).map(|_| random.pick(&[0u8, 1, 0x17, 0xff])));
    if protocol == 17 {
        let len = (upper.len() as u16).to_be_bytes();
        upper[4..6].copy_from_slice(&len);
    }
    upper
}
