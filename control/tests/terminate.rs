//! Claims about the service for connections that cannot be spliced, over real sockets: what it asks of next hops, what it
//! carries, and what it does with those who do not keep to the protocol.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "terminate/carried.rs"]
mod carried;
#[path = "terminate/refused.rs"]
mod refused;
#[path = "terminate/stage.rs"]
mod stage;
