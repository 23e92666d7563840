//! The loop guard.

pub mod coredns;
