//! Where queries come in and answers go out.
//!
//! [`bind`] opens the sockets, [`udp`] and [`tcp`] serve them; both take queries through `trip`. [`inbox`] is how other
//! threads speak to the workers of the UDP front, [`outbox`] how these send answers that clients wait for, [`queries`] what the
//! TCP front does with a query.

pub mod bind;
pub mod inbox;
pub mod outbox;
pub mod port_holder;
pub mod queries;
pub mod tcp;
pub mod udp;
