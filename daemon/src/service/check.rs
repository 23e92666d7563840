//! Whether a listener answers: only one that does is named to pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Time until a query counts as unanswered; within the node an answer takes microseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// Maximum number of queries, since a busy machine may be late.
const TRIES: u32 = 3;
/// A query for the root's name servers, without RD: answered from the cache, or refused, and never forwarded.
const QUERY: [u8; 17] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// Returns whether any response comes from the address, over UDP.
pub(super) async fn answers(address: SocketAddr) -> bool {
    for _ in 0..TRIES {
        if timeout(PATIENCE, exchange(address)).await.is_ok_and(|answered| answered.is_ok()) {
            return true;
        }
    }
    false
}

async fn exchange(address: SocketAddr) -> std::io::Result<()> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(address).await?;
    let mut query = QUERY;
    let mut id = [0; 2];
    rand::rng().fill_bytes(&mut id);
    query[..2].copy_from_slice(&id);
    socket.send(&query).await?;
    let mut response = [0; 512];
    loop {
        let length = socket.recv(&mut response).await?;
        if length >= 12 && response.starts_with(&id) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_answers_and_who_is_silent() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        assert!(!answers(address).await, "bound, but nobody answers");
        let served = tokio::spawn(async move {
            let mut query = [0; 64];
            loop {
                let (length, from) = server.recv_from(&mut query).await.unwrap();
                query[2] |= 0x80;
                server.send_to(&query[..length], from).await.unwrap();
            }
        });
        assert!(answers(address).await);
        served.abort();
        assert!(!answers("127.0.0.1:1".parse().unwrap()).await, "nobody is there");
    }

    #[test]
    fn the_query_is_one_that_is_not_forwarded() {
        let mut query = crate::wire::Query::default();
        query.read(&QUERY).unwrap();
        assert!(!query.wants_recursion());
    }
}
