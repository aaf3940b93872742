//! The stages in packet order; `pipeline` calls them in this order.

pub mod parse;
pub mod dos;
pub mod steer;
pub mod wireguard;
pub mod tenant;
pub mod route;
pub mod egress;
pub mod link;
