//! A few words of HTTP, as much as tests need.

use std::io::{Read, Write};

use crate::netns::Namespace;
use crate::wait;

/// Asks for a path at an address. Returns the body; nothing where there is none.
///
/// # Panics
/// If `address` is none.
#[must_use]
pub fn get(namespace: &Namespace, address: &str, path: &str) -> String {
    let address = address.parse().expect("an address with a port");
    let Ok(mut stream) = namespace.connect(address) else { return String::new() };
    let _ = stream.set_read_timeout(Some(wait::seconds(3)));
    // HTTP/1.0, so that the body is not cut into chunks.
    let asked = stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").as_bytes());
    let mut said = String::new();
    if asked.is_err() || stream.read_to_string(&mut said).is_err() {
        return String::new();
    }
    said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
