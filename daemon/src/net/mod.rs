//! Sockets, batches of datagrams, and what an address says by its value. Nothing here knows DNS.
//!
//! [`bind`] opens the sockets on which queries come in, [`port_holder`] tells who has the port when that fails,
//! [`batch`] receives and sends many datagrams with one system call, [`outbox`] collects datagrams that leave through
//! one socket, [`netlink`] asks the
//! kernel, and [`unix_socket`] is for processes of this machine. [`reach`] tells private addresses from public ones.

pub(crate) mod batch;
pub(crate) mod bind;
pub(crate) mod netlink;
pub(crate) mod outbox;
pub(crate) mod port_holder;
pub(crate) mod reach;
mod sock_diag;
pub(crate) mod unix_socket;
