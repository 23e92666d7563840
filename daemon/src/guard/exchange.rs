//! Sends one probe and waits for what is said to it: a fresh connected socket for each, plain and slow. The only I/O of
//! the guard.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::probe::{self, ProbeReply};
use crate::upstream::{Endpoint, Transport};

/// Asks an endpoint over the connection with TLS that its queries take, too. The other transports have sockets of their
/// own for each probe; a connection with TLS is dear to open.
pub(crate) type AskOverTls = Arc<dyn Fn(Endpoint, Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// How long an upstream has to answer a probe. CoreDNS gives up after as long.
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Sends `message` and returns what is said to it; none if nothing in time, if nobody is there, or if the endpoint is
/// not to be asked in plain text. What is encrypted is asked by `over_tls`.
pub(super) async fn ask(
    endpoint: &Endpoint,
    transport: Transport,
    message: &[u8],
    over_tls: &AskOverTls,
) -> Option<ProbeReply> {
    let plain = || endpoint.plain().and_then(|server| server.socket_address().ok());
    let answer = async {
        match transport {
            Transport::Udp => over_udp(plain()?, message).await.ok()?,
            Transport::Tcp => over_tcp(plain()?, message).await.ok()?,
            Transport::Tls => {
                let answer = over_tls(endpoint.clone(), message.to_vec()).await?;
                probe::heard(message, &answer)
            }
        }
    };
    tokio::time::timeout(PROBE_PATIENCE, answer).await.ok().flatten()
}

async fn over_udp(address: SocketAddr, message: &[u8]) -> io::Result<Option<ProbeReply>> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; probe::PAYLOAD.into()];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this probe is not ours to judge; the answer may still come.
        if let Some(heard) = probe::heard(message, buffer.get(..length).unwrap_or_default()) {
            return Ok(Some(heard));
        }
    }
}

/// RFC 1035, section 4.2.2: two bytes of length before each message.
async fn over_tcp(address: SocketAddr, message: &[u8]) -> io::Result<Option<ProbeReply>> {
    let mut stream = TcpStream::connect(address).await?;
    let length = u16::try_from(message.len()).unwrap_or(0);
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(probe::heard(message, &answer))
}
