//! Stage 5, tenant: what a tenant's own rules let through.

pub mod fragments;
