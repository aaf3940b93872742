//! millrace's control process as a library: what the dataplane shall know, where that comes from, and everybody
//! who asks.
//!
//! - [`model`]: the book of peers, next hops and routes, and every rule that a change must obey;
//! - [`desk`]: the one place where the book is changed, and the way to it for everybody else;
//! - [`source`]: what declares parts of the book, and is followed;
//! - [`signature`]: tcpdump's expressions, compiled for the dataplane;
//! - [`keep`]: what survives a restart;
//! - [`api`]: the socket of the command line, and [`cli`] its other end; [`counters`] and [`drops`] what it shows;
//! - [`config`]: the daemon's own configuration, and [`start`] how it begins and ends;
//! - [`dos`]: what the dataplane tells of its filter, and the rules that follow from it;
//! - [`signature`]: what a packet looks like, compiled;
//! - [`transit`]: what the dataplane tells of tenants' tunnels and rules;
//! - [`live`]: what is known of each peer beside the book, as the dataplane tells it;
//! - [`uapi`]: `WireGuard`'s own tools, `wg show`, `wg set` and the like, on the book;
//! - [`register`]: clients that make their own peers, over HTTP;
//! - [`metrics`]: how everything stands, as `OpenMetrics`;
//! - [`terminate`]: connections that the dataplane cannot splice, in a process of their own;
//! - [`http`]: connections of strangers, bounded;
//! - [`testing`]: a dataplane of its own thread that tests can see into.
#![forbid(unsafe_code)]

pub mod api;
pub mod argo;
pub mod cli;
pub mod config;
pub mod counters;
mod dataplane;
pub mod desk;
pub mod dos;
pub mod drops;
pub mod http;
pub mod keep;
pub mod live;
pub mod metrics;
pub mod model;
pub mod register;
pub mod signature;
pub mod source;
pub mod start;
pub mod terminate;
pub mod testing;
pub mod transit;
pub mod uapi;
