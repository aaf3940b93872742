//! Programs at random against a naive interpreter, and sets of them against each program alone.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may, and numbers from the seed are small"
)]

mod naive;
mod packets;
mod programs;

use cbpf::{Instruction, Kind, Program, Set};
use packets::Random;
use programs::{any_expression, any_program, compile};
use proptest::prelude::*;

const PACKETS: usize = 100;

fn packets(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    (0..PACKETS).map(|_| packets::packet(&mut random)).collect()
}

/// Both verdicts are the same, and no way is longer than the program says.
fn agrees(
    program: &[Instruction],
    verified: &Program,
    packet: &[u8],
) -> Result<bool, TestCaseError> {
    let ran = naive::run(program, packet);
    let found = verified.matches(packet);
    let steps = ran.map(|(_, steps)| steps);
    prop_assert_eq!(ran.map(|(verdict, _)| verdict), Ok(found), "packet {:02x?}", packet);
    prop_assert!(steps.is_ok_and(|steps| steps <= usize::from(verified.instructions())));
    Ok(found)
}

/// The slots that the set finds, in the order in which it says them.
fn found(set: &Set, packet: &[u8]) -> Vec<u16> {
    let mut slots = Vec::new();
    set.for_each_match(packet, |slot| {
        slots.push(slot);
        true
    });
    slots
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn runs_as_the_paper_says(program in any_program(), seed: u64) {
        if let Ok(verified) = Program::verify(&program) {
            for packet in packets(seed).iter().take(10) {
                agrees(&program, &verified, packet)?;
            }
        }
    }

    #[test]
    fn runs_expressions_as_the_paper_says(expression in any_expression(), seed: u64) {
        if let Some(program) = compile(&expression) {
            let verified = Program::verify(&program).unwrap();
            for packet in packets(seed).iter().take(20) {
                agrees(&program, &verified, packet)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_set_finds_what_its_programs_find_alone(
        expressions in prop::collection::vec(any_expression(), 0..40),
        others in prop::collection::vec(any_program(), 0..4),
        seed: u64,
    ) {
        let compiled = expressions.iter().filter_map(compile).chain(others);
        let programs: Vec<Program> =
            compiled.filter_map(|program| Program::verify(&program).ok()).collect();
        let slots: Vec<(u16, &Program)> = (0..).map(|n: u16| n * 3).zip(&programs).collect();
        let Ok(set) = Set::build(&slots, seed) else { return Ok(()) };
        for packet in packets(seed) {
            let is_ip = packet.first().is_some_and(|first| matches!(first >> 4, 4 | 6));
            let matching = slots.iter().filter(|(_, program)| is_ip && program.matches(&packet));
            let wanted: Vec<u16> = matching.map(|(slot, _)| *slot).collect();
            prop_assert_eq!(found(&set, &packet), wanted, "packet {:02x?}", packet);
        }
    }
}

#[test]
fn random_programs_are_not_all_refused_and_random_packets_not_all_alike() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut verified, mut matched, mut missed) = (0, 0, 0);
    for seed in 0..500 {
        let program = any_program().new_tree(&mut runner).unwrap().current();
        verified += usize::from(Program::verify(&program).is_ok());
        let expression = any_expression().new_tree(&mut runner).unwrap().current();
        let Some(program) = compile(&expression) else { continue };
        let program = Program::verify(&program).unwrap();
        for packet in packets(seed) {
            if program.matches(&packet) { matched += 1 } else { missed += 1 }
        }
    }
    assert!(verified > 25, "{verified} of 500 verified");
    assert!(matched > 2_000 && missed > 2_000, "{matched} packets matched, {missed} did not");
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

const RETURN: Instruction = Instruction { code: 6, jt: 0, jf: 0, k: 1 };

/// Where the program is refused, and why.
fn refused(program: &[Instruction]) -> (usize, Kind) {
    let fault = Program::verify(program).unwrap_err();
    assert!(fault.to_string().starts_with("instruction "), "{fault}");
    (fault.at, fault.kind)
}

#[test]
fn refuses_each_fault_with_its_place() {
    assert_eq!(refused(&[]), (0, Kind::Empty));
    assert_eq!(refused(&[RETURN; 257]), (256, Kind::TooLong(257)));
    assert!(Program::verify(&[RETURN; 256]).is_ok());
    assert_eq!(refused(&[RETURN, instruction(0xff, 0, 0, 0)]), (1, Kind::Code(0xff)));
    // JEQ past the end, JA past the end and far past the end.
    assert_eq!(refused(&[instruction(0x15, 0, 1, 0), RETURN]), (0, Kind::Jump));
    assert_eq!(refused(&[instruction(0x05, 0, 0, 1), RETURN]), (0, Kind::Jump));
    assert_eq!(refused(&[instruction(0x05, 0, 0, u32::MAX), RETURN]), (0, Kind::Jump));
    assert_eq!(refused(&[instruction(0x28, 0, 0, 12)]), (0, Kind::NoReturn));
    assert_eq!(refused(&[instruction(0x02, 0, 0, 16), RETURN]), (0, Kind::Memory(16)));
    assert_eq!(refused(&[instruction(0x60, 0, 0, 2), RETURN]), (0, Kind::Unwritten(2)));
    assert_eq!(refused(&[instruction(0x34, 0, 0, 0), RETURN]), (0, Kind::Zero));
    assert_eq!(refused(&[instruction(0x94, 0, 0, 0), RETURN]), (0, Kind::Zero));
    assert_eq!(refused(&[instruction(0x64, 0, 0, 32), RETURN]), (0, Kind::Shift(32)));
    // The kernel's ancillary loads (SKF_AD_OFF), and those of the link header (SKF_LL_OFF).
    assert_eq!(
        refused(&[instruction(0x28, 0, 0, 0xffff_f000), RETURN]),
        (0, Kind::Offset(0xffff_f000))
    );
    assert_eq!(
        refused(&[instruction(0x50, 0, 0, 0xffe0_0000), RETURN]),
        (0, Kind::Offset(0xffe0_0000))
    );
}

#[test]
fn refuses_memory_that_one_of_two_ways_leaves_unwritten() {
    let store = instruction(0x02, 0, 0, 5);
    let load = instruction(0x60, 0, 0, 5);
    let one_way = [instruction(0x15, 0, 1, 0), store, load, RETURN];
    assert_eq!(refused(&one_way), (2, Kind::Unwritten(5)));
    let both_ways = [store, instruction(0x15, 0, 1, 0), store, load, RETURN];
    assert!(Program::verify(&both_ways).is_ok());
}

#[test]
fn ends_without_a_match_where_the_kernel_does() {
    let matches =
        |program: &[Instruction], packet: &[u8]| Program::verify(program).unwrap().matches(packet);
    let word = instruction(0x20, 0, 0, 2);
    assert!(matches(&[word, RETURN], &[0; 6]));
    assert!(!matches(&[word, RETURN], &[0; 5]));
    // X plus the offset does not wrap to the packet's beginning.
    let far = [instruction(0x01, 0, 0, u32::MAX), instruction(0x50, 0, 0, 1), RETURN];
    assert!(!matches(&far, &[0; 64]));
    // X is zero at first.
    assert!(!matches(&[instruction(0x3c, 0, 0, 0), RETURN], &[]));
    assert!(!matches(&[instruction(0x9c, 0, 0, 0), RETURN], &[]));
    assert!(matches(&[RETURN], &[]));
}

#[test]
fn a_shift_by_all_that_a_word_holds_is_analysed_as_it_runs() {
    let program = Program::verify(&[
        instruction(0x01, 0, 0, u32::MAX),
        instruction(0x30, 0, 0, 9),
        instruction(0x74, 0, 0, 1),
        instruction(0x7c, 0, 0, 0),
        instruction(0x15, 0, 1, 0),
        instruction(0x06, 0, 0, 1),
        instruction(0x06, 0, 0, 0),
    ]);
    let program = program.unwrap();
    let mut packet = [0; 40];
    (packet[0], packet[3], packet[9]) = (0x45, 40, 17);
    assert!(program.matches(&packet));
    assert_eq!(found(&Set::build(&[(3, &program)], 1).unwrap(), &packet), [3]);
}

#[test]
fn shifts_by_x_leave_nothing_from_32_bits_on() {
    let left_of_all_ones = |code: u16, bits: u32| {
        let program = [(0x01, bits), (0x00, u32::MAX), (code, 0), (0x16, 0)];
        Program::verify(&program.map(|(code, k)| instruction(code, 0, 0, k))).unwrap().matches(&[])
    };
    for code in [0x6c, 0x7c] {
        assert!(left_of_all_ones(code, 0) && left_of_all_ones(code, 31), "{code:#x}");
        assert!(!left_of_all_ones(code, 32) && !left_of_all_ones(code, u32::MAX), "{code:#x}");
    }
}

/// A packet of so many octets leaves with that many in A, by a way of its own; then A is compared with a number.
fn by_many_ways(number: u32) -> Program {
    const WAYS: u32 = 60;
    let mut program = vec![instruction(0x80, 0, 0, 0)];
    for len in 0..WAYS {
        program.push(instruction(0x15, 0, 2, len));
        program.push(instruction(0x00, 0, 0, len));
        program.push(instruction(0x05, 0, 0, (WAYS - 1 - len) * 3 + 1));
    }
    // Longer packets leave with a number of their own, so that A is the length on no way.
    program.push(instruction(0x00, 0, 0, 1_000));
    program.extend([instruction(0x15, 0, 1, number), RETURN, instruction(6, 0, 0, 0)]);
    Program::verify(&program).unwrap()
}

#[test]
fn more_ways_than_are_told_apart_hide_no_match() {
    for number in [20, 39, 40, 59] {
        let program = by_many_ways(number);
        let set = Set::build(&[(1, &program)], 1).unwrap();
        for len in 1..60 {
            let packet = vec![0x45; len];
            assert_eq!(program.matches(&packet), len == number as usize);
            assert_eq!(found(&set, &packet).len(), usize::from(program.matches(&packet)), "{len}");
        }
    }
}

/// `ip and udp and udp[k:2] = value`, as libpcap compiles it.
fn udp_half(k: u32, value: u32) -> Program {
    Program::verify(&[
        instruction(0x30, 0, 0, 0),
        instruction(0x54, 0, 0, 0xf0),
        instruction(0x15, 0, 7, 0x40),
        instruction(0x30, 0, 0, 9),
        instruction(0x15, 0, 5, 17),
        instruction(0x28, 0, 0, 6),
        instruction(0x45, 3, 0, 0x1fff),
        instruction(0xb1, 0, 0, 0),
        instruction(0x48, 0, 0, k),
        instruction(0x15, 1, 0, value),
        instruction(0x06, 0, 0, 0),
        instruction(0x06, 0, 0, 0x4_0000),
    ])
    .unwrap()
}

#[test]
fn four_thousand_rules_about_ports_cost_a_packet_one() {
    let programs: Vec<Program> = (0..4_000).map(|port| udp_half(2, port)).collect();
    let slots: Vec<(u16, &Program)> = (0..).zip(&programs).collect();
    let set = Set::build(&slots, 1).unwrap();
    assert_eq!(set.len(), 4_000);
    // Keys are hashes, so it could happen that two share one, but hardly more.
    assert!(set.instructions() <= 2 * 11, "{}", set.instructions());
    assert!(set.octets() < 1 << 20, "{}", set.octets());
}

#[test]
fn a_single_rule_is_looked_up_by_what_is_rare() {
    // Eight rules could share the key of their protocol; each has one of its own, by its port.
    let programs: Vec<Program> = (0..8).map(|port| udp_half(2, 1_000 + port)).collect();
    for count in 1..=programs.len() {
        let slots: Vec<(u16, &Program)> = (0..).zip(&programs).take(count).collect();
        assert_eq!(Set::build(&slots, 1).unwrap().instructions(), 11, "{count} rules");
    }
}

#[test]
fn rules_that_nothing_tells_apart_are_refused_by_name_when_they_are_too_many() {
    // Octets 2 and 3 of the datagram are compared with the packet's length: no field has a known value.
    let mut program = vec![instruction(0x28, 0, 0, 2), instruction(0x81, 0, 0, 0)];
    program.extend([instruction(0x1d, 0, 1, 0), RETURN, instruction(6, 0, 0, 0)]);
    let program = Program::verify(&program).unwrap();
    let fits =
        usize::try_from(cbpf::INSTRUCTIONS_MAX).unwrap() / usize::from(program.instructions());
    let rules = |count: usize| -> Vec<(u16, &Program)> {
        (0..count).rev().map(|slot| (slot as u16, &program)).collect()
    };
    assert!(Set::build(&rules(fits), 1).is_ok());
    let refused = Set::build(&rules(fits + 1), 1).unwrap_err();
    assert_eq!(usize::from(refused.slot), fits);
    assert!(refused.to_string().contains(&format!("rule {fits}:")), "{refused}");
}

#[test]
fn says_slots_in_their_order_and_stops_when_told() {
    let programs =
        [udp_half(2, 53), udp_half(0, 9), Program::verify(&[RETURN]).unwrap(), udp_half(4, 8)];
    let slots = [(9, &programs[0]), (7, &programs[1]), (8, &programs[2]), (2, &programs[3])];
    let set = Set::build(&slots, 7).unwrap();
    let mut packet = vec![0; 28];
    packet[0] = 0x45;
    packet[9] = 17;
    packet[20..26].copy_from_slice(&[0, 9, 0, 53, 0, 8]);
    assert_eq!(found(&set, &packet), [2, 7, 8, 9]);
    let mut seen = Vec::new();
    set.for_each_match(&packet, |slot| {
        seen.push(slot);
        seen.len() < 2
    });
    assert_eq!(seen, [2, 7]);
    packet[0] = 0x15;
    assert_eq!(found(&set, &packet), []);
}

#[test]
fn an_empty_set_matches_nothing() {
    let set = Set::build(&[], 1).unwrap();
    assert!(set.is_empty());
    assert_eq!(found(&set, &[0x45; 40]), []);
    assert!(Set::default().is_empty());
}
