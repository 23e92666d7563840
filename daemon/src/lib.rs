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
//! [`forwarder`] shows a query's whole way on one screen; [`service`] wires the stages up and keeps them in line with the
//! node. Beside them: [`wire`] (DNS messages as bytes), [`net`] (sockets and batches of datagrams), [`upstream`] (what an
//! upstream is), [`node_address`] (which address is the node's), [`config`], [`logging`], [`clock`], [`glibc`], [`hash`],
//! [`failure`], and [`commands`], the program as people call it.

pub mod admit;
pub mod cache;
pub mod discovery;
pub mod exchange;
pub mod forwarder;
pub mod guard;
pub mod kubelet_resolv_conf;
pub mod node_address;
pub mod respond;
pub mod server;
pub mod upstream;
pub mod waiters;

pub mod clock;
pub mod commands;
pub mod config;
pub mod failure;
pub mod glibc;
pub mod hash;
pub mod kubelet_limits;
pub mod logging;
pub mod net;
pub mod service;
pub mod wire;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;
