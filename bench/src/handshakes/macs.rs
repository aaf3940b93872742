//! First MACs alone: each implementation, and the library message by message, over the initiations of a burst.

use arrayvec::ArrayVec;
use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Mac};
use dataplane::limits::BURST_LEN_MAX;
use dpdk::clock::cycles;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use results::{Cell, Column, Figure, Section, Table};
use wireguard::aead::Implementation;
use wireguard::blake2s::{Job, Keyed, macs_with};

use super::letters::{self, Letter, MAC1_AT};
use crate::Failure;
use crate::machine::Conditions;
use crate::sample::per_packet;

/// Messages at a time.
const COUNTS: [usize; 6] = [1, 4, 8, 16, 32, 64];
/// Calls of a block have so many messages together.
const BLOCK: usize = 1024;
/// Any key; that of a server is made of its public key.
const KEY: [u8; 32] = [3; 32];

/// Who computes.
#[derive(Clone, Copy, Debug)]
enum Contestant {
    Library,
    Ours(Implementation),
}

impl Contestant {
    fn name(self) -> String {
        match self {
            Self::Library => "`blake2`, one by one".into(),
            Self::Ours(implementation) => format!("ours, {implementation}"),
        }
    }
}

/// Computes them in turn, and keeps what each took.
#[derive(Debug)]
pub(super) struct Macs {
    letters: Vec<Letter>,
    keyed: Keyed,
    all: Vec<(Contestant, [Vec<f64>; COUNTS.len()])>,
}

type Results = ArrayVec<[u8; 16], BURST_LEN_MAX>;

impl Macs {
    pub(super) fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(19);
        let letters = (0..BURST_LEN_MAX).map(|_| letters::garbage(&mut random)).collect();
        let ours = Implementation::ALL.into_iter().filter(|one| one.available());
        let contestants = [Contestant::Library].into_iter().chain(ours.map(Contestant::Ours));
        let all = contestants.map(|one| (one, Default::default())).collect();
        Self { letters, keyed: Keyed::new(&KEY), all }
    }

    /// A block of each contestant for each number of messages.
    pub(super) fn round(&mut self) -> Result<(), Failure> {
        let Self { letters, keyed, all } = self;
        for (place, count) in COUNTS.into_iter().enumerate() {
            let mut expected = None;
            for (contestant, blocks) in &mut *all {
                let mut results = Results::new();
                let start = cycles();
                for _ in 0..BLOCK / count {
                    results = compute(*contestant, keyed, letters.get(..count).unwrap_or_default());
                }
                let taken = per_packet(cycles() - start, BLOCK as u64);
                if *expected.get_or_insert_with(|| results.clone()) != results {
                    return Err(format!("{}: other MACs", contestant.name()).into());
                }
                if let Some(blocks) = blocks.get_mut(place) {
                    blocks.push(taken);
                }
            }
        }
        Ok(())
    }

    /// The table of what was kept.
    pub(super) fn section(&self, conditions: &Conditions) -> Section {
        let counts = COUNTS.map(|count| Column::of(&format!("{count} at a time"), "ns", 1));
        let columns = [Column::label("who")].into_iter().chain(counts);
        let mut table = Table::new("", columns.collect::<Vec<_>>());
        for (contestant, all) in &self.all {
            let cells =
                all.iter().map(|blocks| Figure::p10(&conditions.all_ns(blocks)).lower().into());
            table.row([Cell::from(contestant.name())].into_iter().chain(cells).collect::<Vec<_>>());
        }
        Section::new("First MACs alone").table(table)
    }
}

#[inline(never)]
fn compute(contestant: Contestant, keyed: &Keyed, letters: &[Letter]) -> Results {
    let bodies = letters.iter().filter_map(|letter| letter.get(..MAC1_AT));
    match contestant {
        Contestant::Library => bodies.map(library).collect(),
        Contestant::Ours(implementation) => {
            let mut jobs: ArrayVec<_, BURST_LEN_MAX> =
                bodies.map(|body| Job::new(keyed, body)).collect();
            macs_with(implementation, &mut jobs);
            jobs.iter().map(|job| *job.mac()).collect()
        }
    }
}

/// As `wireguard` computed it before: the key anew for each message.
fn library(body: &[u8]) -> [u8; 16] {
    let Ok(mut state) = <Blake2sMac<U16> as KeyInit>::new_from_slice(&KEY) else {
        return [0; 16];
    };
    Mac::update(&mut state, body);
    state.finalize_fixed().into()
}
