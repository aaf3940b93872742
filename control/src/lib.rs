//! millrace's control process as a library: what the dataplane shall know, where that comes from, and everybody
//! who asks.
//!
//! - [`model`]: the book of peers, next hops and routes, and every rule that a change must obey;
//! - [`desk`]: the one place where the book is changed, and the way to it for everybody else;
//! - [`config`]: the daemon's own configuration;
//! - [`live`]: what is known of each peer beside the book, as the dataplane tells it.
#![forbid(unsafe_code)]

pub mod config;
pub mod desk;
pub mod http;
pub mod live;
pub mod metrics;
pub mod model;
pub mod register;
