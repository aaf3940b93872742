//! Shared memory with a hostile neighbour: whatever it writes wherever it likes, nobody panics, reaches outside
//! of the memory, or gives out what was not checked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| shm::testing::hostile(script));
