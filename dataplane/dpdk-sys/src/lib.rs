//! Raw bindings of DPDK (22.11 and later), made from the installed headers; the crate `dpdk` is
//! their only user.
//!
//! `static inline` functions are wrapped into real symbols of the same name. `struct rte_mbuf` is
//! opaque: its fields are reached through the `MBUF_*` offsets, which the C compiler computes.

// `allow`, since which of these the generated code needs differs between releases of DPDK and of
// bindgen.
#[allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    clippy::use_self,
    reason = "generated from C headers, which follow C's conventions"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
