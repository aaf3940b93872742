//! A load generator that speaks WireGuard, as a library without devices.
