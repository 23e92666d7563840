//! Onward: a caching DNS forwarder for Kubernetes nodes that never forwards a query back to where it came from.
//!
//! The folders are the stages of a query's way, in this order:
//!
//! ```text
//!                 ┌──────── onward ───────────────────────────────────────────────────────────────────┐
//! pod / CoreDNS ──► server ─► admit ─► cache ──hit──────────────────────────────► respond ──► back    │
//! host process    │ udp,tcp   acl       └─miss─► waiters ──► exchange ─► cache.learn ──┘              │
//!                 │           triage             one lookup   choose, mark, hedge,                    │
//!                 │             │                for many     send, check                             │
//!                 │             │ suspicion                      ▲ upstream: the set, swapped whole   │
//!                 │             └──► guard ──────► verdicts ─────┤                                    │
//!                 │                  probe, judge                │                                    │
//!                 │  discovery ─► vet ───────────────────────────┘                                    │
//!                 │  files                       └─► kubelet_resolv_conf ─► /run/onward/resolv.conf   │
//!                 └───────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`forwarder`] shows a query's whole way on one screen; [`service`] wires the stages up and keeps them in line with
//! the node. Beside them: [`wire`] (DNS messages as bytes), [`net`] (sockets and batches of datagrams), [`upstream`]
//! (what an upstream is), [`node_address`] (which address is the node's), [`control`] and [`metrics`] (how things are,
//! for whoever asks), [`config`], [`logging`], [`clock`], [`glibc`], [`hash`], [`failure`], and [`commands`], the
//! program as people call it.

mod admit;
mod cache;
mod discovery;
mod exchange;
mod forwarder;
mod guard;
mod handover;
mod integrate;
mod kubelet_resolv_conf;
mod node_address;
mod respond;
mod server;
mod upstream;
mod waiters;

mod clock;
pub mod commands;
mod config;
mod control;
mod doctor;
mod durable;
mod failure;
mod glibc;
mod hash;
#[doc(hidden)]
pub mod internals;
mod kubelet_limits;
mod logging;
mod metrics;
mod net;
mod service;
mod wire;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;
