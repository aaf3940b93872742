//! The translator by the requirements that it is held to, one file for each kind of packet, in virtual time.

mod world;
mod fragments;
mod icmp;
mod model;
mod splice;
mod tcp;
mod udp;
