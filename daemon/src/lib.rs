//! Onward: a caching DNS forwarder for Kubernetes nodes that never forwards a query back to where it came from.
//!
//! The folders are the stages of a query's way, in this order:
//!
//! ```text
//!                 ┌──────── onward ─────────────────────────────────────────────────────────────────┐
//! pod / CoreDNS ──► front ──► admit ──► cache ──hit───────────────────────────────► reply ──► back  │
//! host process    │ udp,tcp   marks      └─miss─► flight ──► upstream ─► cache.put ──┘              │
//!                 │           acl                 one ask    choose, mark, hedge,                   │
//!                 │           limits              for many   exchange, check                        │
//!                 │             │ suspicion                      ▲ the set, swapped whole           │
//!                 │             └──► guard ──────► verdicts ─────┤                                  │
//!                 │                  probe, judge                │                                  │
//!                 │  discovery ─► vet ───────────────────────────┘                                  │
//!                 │  files                       └─► resolvconf ─► /run/onward/resolv.conf          │
//!                 └─────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`trip`] shows a query's whole way on one screen; [`service`] wires the stages up and keeps them in line with the node.
//! Beside them: [`wire`] (DNS messages as bytes), [`address`] (which address is the node's), [`config`], [`logging`],
//! [`clock`], [`glibc`], [`hash`], [`failure`], and [`commands`], the program as people call it.

pub mod admit;
pub mod cache;
pub mod discovery;
pub mod flight;
pub mod front;
pub mod guard;
pub mod reply;
pub mod resolvconf;
pub mod upstream;

pub mod address;
pub mod clock;
pub mod commands;
pub mod config;
pub mod failure;
pub mod glibc;
pub mod hash;
pub mod logging;
pub mod service;
pub mod trip;
pub mod wire;
