//! Programs at random: rows of any instructions, and expressions about packets, compiled in the way of libpcap.

use cbpf::Instruction;
use proptest::prelude::*;

/// Every code of classic BPF.
const CODES: [u16; 49] = [
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04,
    0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84,
    0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07,
    0x87,
];

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// One of the known codes with small operands mostly.
pub(crate) fn any_instruction() -> impl Strategy<Value = Instruction> {
    let code = prop_oneof![40 => prop::sample::select(CODES.to_vec()), 1 => any::<u16>()];
    let k = prop_oneof![8 => 0u32..16, 4 => 0u32..80, 1 => any::<u32>()];
    (code, 0u8..4, 0u8..4, k).prop_map(|(code, jt, jf, k)| instruction(code, jt, jf, k))
}

/// A few instructions, with jumps that mostly stay inside, and returns at the end.
pub(crate) fn any_program() -> impl Strategy<Value = Vec<Instruction>> {
    let ends = [instruction(0x16, 0, 0, 0), instruction(6, 0, 0, 1), instruction(6, 0, 0, 0)];
    prop::collection::vec(any_instruction(), 0..40).prop_map(move |mut program| {
        // Memory that every way has written.
        program.splice(0..0, [instruction(0x02, 0, 0, 0), instruction(0x03, 0, 0, 1)]);
        program.extend([ends[0], ends[1], ends[2], ends[1], ends[2]]);
        program
    })
}

/// What is compared with a number.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// An octet, two or four from the start.
    Start(u16, u32),
    /// The same behind the IPv4 header.
    Behind(u16, u32),
    Len,
    /// Four times the low half of an octet, as if an IPv4 header began there.
    HeaderLen(u32),
    /// Behind what looks like an IPv4 header that begins later.
    BehindOther(u32),
    /// By way of memory and X.
    Stored(Box<Self>),
}

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Test { subject: Subject, and: Option<u32>, shift: Option<u32>, test: u16, k: u32 },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

const WORD: u16 = 0x00;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;

fn subject() -> impl Strategy<Value = Subject> {
    let subject = prop_oneof![
        3 => prop::sample::select(vec![(BYTE, 0), (WORD, 0), (HALF, 2), (HALF, 6), (BYTE, 8), (WORD, 12), (WORD, 36)])
            .prop_map(|(width, offset)| Subject::Start(width, offset)),
        3 => prop::sample::select(vec![(BYTE, 9), (BYTE, 6), (HALF, 40), (HALF, 42), (WORD, 16)])
            .prop_map(|(width, offset)| Subject::Start(width, offset)),
        4 => prop::sample::select(vec![(HALF, 0), (HALF, 2), (BYTE, 13), (WORD, 8), (HALF, 4)])
            .prop_map(|(width, offset)| Subject::Behind(width, offset)),
        1 => Just(Subject::Len),
        1 => prop::sample::select(vec![0, 20]).prop_map(Subject::HeaderLen),
        1 => prop::sample::select(vec![0, 2]).prop_map(Subject::BehindOther),
    ];
    (subject, prop::bool::weighted(0.1)).prop_map(|(subject, stored)| {
        if stored { Subject::Stored(Box::new(subject)) } else { subject }
    })
}

/// Numbers that packets have, and others.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => prop::sample::select(vec![6u32, 17, 1, 47, 58, 44]),
        6 => prop::sample::select(crate::packets::PORTS.to_vec()).prop_map(u32::from),
        3 => prop::sample::select(crate::packets::ADDRESSES4.to_vec()).prop_map(u32::from_be_bytes),
        2 => prop::sample::select(vec![0x40u32, 0x60, 0x45, 4, 6, 0, 2, 0x12]),
        2 => 20u32..120,
        1 => any::<u32>(),
    ]
}

/// A test, often one that some packet passes.
fn test() -> impl Strategy<Value = Expression> {
    let common = prop::sample::select(vec![
        (Subject::Start(BYTE, 0), Some(0xf0), 0x40),
        (Subject::Start(BYTE, 0), Some(0xf0), 0x60),
        (Subject::Start(BYTE, 9), None, 17),
        (Subject::Start(BYTE, 9), None, 6),
        (Subject::Start(BYTE, 6), None, 17),
    ]);
    prop_oneof![
        2 => common.prop_map(|(subject, and, k)| {
            Expression::Test { subject, and, shift: None, test: 0x15, k }
        }),
        4 => (
            subject(),
            prop::option::weighted(0.3, prop_oneof![Just(0xf0), Just(0x1fff), Just(0xff), any::<u32>()]),
            prop::option::weighted(0.1, 0u32..32),
            prop_oneof![6 => Just(0x15u16), 1 => Just(0x25), 1 => Just(0x35), 1 => Just(0x45)],
            number(),
        )
            .prop_map(|(subject, and, shift, test, k)| Expression::Test { subject, and, shift, test, k }),
    ]
}

/// Tests under and, or, not.
pub(crate) fn any_expression() -> impl Strategy<Value = Expression> {
    test().prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Expression::And(a.into(), b.into())),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Expression::Or(a.into(), b.into())),
            1 => inner.prop_map(|inner| Expression::Not(inner.into())),
        ]
    })
}

/// The program of an expression, or None where a jump would be too long.
pub(crate) fn compile(expression: &Expression) -> Option<Vec<Instruction>> {
    // From the end to the beginning, so that each place that is jumped to is known.
    let mut backwards = vec![instruction(6, 0, 0, 0), instruction(6, 0, 0, 0x4_0000)];
    emit(expression, &mut backwards, 2, 1)?;
    backwards.reverse();
    (backwards.len() <= cbpf::PROGRAM_MAX).then_some(backwards)
}

/// Puts what decides the expression before what is there. Places are counted from the end.
fn emit(expression: &Expression, code: &mut Vec<Instruction>, yes: usize, no: usize) -> Option<()> {
    match expression {
        Expression::Not(inner) => emit(inner, code, no, yes),
        Expression::And(one, another) => {
            emit(another, code, yes, no)?;
            let here = code.len();
            emit(one, code, here, no)
        }
        Expression::Or(one, another) => {
            emit(another, code, yes, no)?;
            let here = code.len();
            emit(one, code, yes, here)
        }
        Expression::Test { subject, and, shift, test, k } => {
            let skip = |to: usize| u8::try_from(code.len() - to).ok();
            let branch = instruction(*test, skip(yes)?, skip(no)?, *k);
            code.push(branch);
            code.extend(shift.map(|count| instruction(0x74, 0, 0, count)));
            code.extend(and.map(|mask| instruction(0x54, 0, 0, mask)));
            let mut load = load(subject);
            load.reverse();
            code.extend(load);
            Some(())
        }
    }
}

fn load(subject: &Subject) -> Vec<Instruction> {
    match subject {
        Subject::Start(width, offset) => vec![instruction(0x20 | width, 0, 0, *offset)],
        Subject::Behind(width, offset) => {
            vec![instruction(0xb1, 0, 0, 0), instruction(0x40 | width, 0, 0, *offset)]
        }
        Subject::HeaderLen(offset) => {
            vec![instruction(0xb1, 0, 0, *offset), instruction(0x87, 0, 0, 0)]
        }
        Subject::BehindOther(offset) => {
            vec![instruction(0xb1, 0, 0, 40), instruction(0x48, 0, 0, *offset)]
        }
        Subject::Len => vec![instruction(0x80, 0, 0, 0)],
        Subject::Stored(inner) => {
            let mut load = load(inner);
            // Into memory, into X, and back.
            load.extend([
                instruction(0x02, 0, 0, 3),
                instruction(0x61, 0, 0, 3),
                instruction(0x87, 0, 0, 0),
            ]);
            load
        }
    }
}
