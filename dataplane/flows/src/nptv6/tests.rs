//! Prefix translation.
