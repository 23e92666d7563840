//! What outlives the process: the sockets that clients know, and what was unfinished when it was told to end.
//!
//! systemd keeps descriptors of a service from one process to the next (the descriptor store of
//! `sd_pid_notify_with_fds(3)`). Queries that arrive while no process is there wait in the sockets, and the next one
//! goes on. [`store`] speaks with systemd, [`unfinished`] has what was in flight, as bytes, and [`warm`] the cache. How
//! sockets are opened and served, and when to hand over, is for others. Without systemd nothing of this happens.

mod memory;
pub(crate) mod store;
pub(crate) mod unfinished;
pub(crate) mod warm;
