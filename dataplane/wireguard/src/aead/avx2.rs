//! The AEAD with 256-bit vectors.

use super::{Job, portable};

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")
}

pub(super) fn open(jobs: &mut [Job<'_>]) -> bool {
    portable::open(jobs);
    true
}

pub(super) fn seal(jobs: &mut [Job<'_>]) -> bool {
    portable::seal(jobs);
    true
}
