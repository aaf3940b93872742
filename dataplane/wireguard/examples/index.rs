//! Times receiver indices on one core: `cargo run --release -p wireguard --example index`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures and tells"
)]

use std::hint::black_box;
use std::time::Instant;

use wireguard::index::{Layout, Permutation, Place};

/// Nanoseconds per index: the least of many short blocks, as other processes share the machine.
fn least(count: usize, mut act: impl FnMut()) -> f64 {
    const TURNS: u32 = 200;
    let blocks = (0..200).map(|_| {
        let start = Instant::now();
        for _ in 0..TURNS {
            act();
        }
        let indices = f64::from(TURNS) * f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        start.elapsed().as_secs_f64() * 1e9 / indices
    });
    blocks.fold(f64::INFINITY, f64::min)
}

fn main() {
    let permutation = Permutation::new([7; 8], Layout::default());
    let indices: Vec<u32> = (0..64).map(|at| at * 77_777).collect();
    let mut places = [Place::default(); 64];
    for count in [64, 32, 16, 8] {
        let burst = least(count, || {
            permutation.places(black_box(indices.get(..count).unwrap_or_default()), &mut places);
            black_box(&mut places);
        });
        println!("{count} indices: {burst:.2} ns each");
    }
    let single = least(indices.len(), || {
        for (place, index) in places.iter_mut().zip(black_box(&indices)) {
            *place = permutation.place(*index);
        }
        black_box(&mut places);
    });
    println!("one by one: {single:.2} ns each");
}
