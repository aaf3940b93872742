//! Connections that are terminated: the dataplane asks this service for those that it cannot splice, over an interface to this
//! machine's own kernel, as it asks any proxy (RFC 9110 9.3.6), and the service asks the next hop in turn, over TLS if that
//! is how it speaks. Both legs are then the kernel's own, each with its own options, version of IP and numbers.
//!
//! It is a process of its own, so that connections outlive control, and none of what strangers send to it is in control's.
//!
//! - [`config`]: who is asked, and for whom;
//! - [`service`]: who is let in, and how many;
//! - [`counts`]: what has become of connections, and [`watch`] how control reads it;
//! - `session`: one connection, by way of `head`, `dial` and `carry`.
mod carry;
pub mod config;
pub mod counts;
mod dial;
mod head;
pub mod service;
mod session;
pub mod watch;
