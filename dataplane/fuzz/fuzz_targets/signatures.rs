//! Programs of any octets: what is verified runs on any packet to an end, and a set of programs finds what each of them
//! finds alone.
#![no_main]

use cbpf::{INSTRUCTIONS_MAX, Instruction, Program, Set};
use libfuzzer_sys::fuzz_target;

/// An instruction as libpcap's files and the kernel have it.
fn instruction(octets: &[u8; 8]) -> Instruction {
    let [high, low, jt, jf, k @ ..] = *octets;
    Instruction { code: u16::from_be_bytes([high, low]), jt, jf, k: u32::from_be_bytes(k) }
}

/// An octet with the count of instructions, then 8 octets for each.
fn program(octets: &[u8]) -> Option<(Vec<Instruction>, &[u8])> {
    let (count, rest) = octets.split_first()?;
    let (code, rest) = rest.split_at_checked(usize::from(*count) * 8)?;
    Some((code.as_chunks().0.iter().map(instruction).collect(), rest))
}

fuzz_target!(|octets: &[u8]| {
    // So many programs, then packets, each behind an octet with its length.
    let Some((count, mut rest)) = octets.split_first() else { return };
    let mut programs = Vec::new();
    for _ in 0..*count {
        let Some((code, behind)) = program(rest) else { break };
        rest = behind;
        match Program::verify(&code) {
            Ok(program) => programs.push(program),
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
    let slots: Vec<(u16, &Program)> = (0..).zip(&programs).collect();
    let seed = octets.len() as u64;
    let set = Set::build(&slots, seed);
    if let Ok(set) = &set {
        assert!(set.instructions() <= INSTRUCTIONS_MAX);
    }
    while let Some((len, behind)) = rest.split_first() {
        let (packet, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = behind;
        let is_ip = packet.first().is_some_and(|first| matches!(first >> 4, 4 | 6));
        let alone = slots.iter().filter(|(_, program)| program.matches(packet) && is_ip);
        let alone: Vec<u16> = alone.map(|(slot, _)| *slot).collect();
        let Ok(set) = &set else { continue };
        let mut found = Vec::new();
        set.for_each_match(packet, |slot| {
            found.push(slot);
            true
        });
        assert_eq!(found, alone);
    }
});
