//! Streams with TLS, against a server on loopback whose certificate is right or wrong in one way.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::wire::rtype;

const SECOND: Duration = Duration::from_secs(1);
const NAME: &str = "dns.example";

/// What is wrong with the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Name,
    Expired,
    NotYetValid,
    Issuer,
}

/// What a server saw of one query: how the connection began, the name that was asked for, the query.
type Seen = (Option<HandshakeKind>, Option<String>, Vec<u8>);

struct World {
    address: SocketAddr,
    streams: Streams,
    seen: mpsc::UnboundedReceiver<Seen>,
    _ca_file: tempfile::NamedTempFile,
}

/// A server that answers `answers` queries on each connection, and those who trust its issuer.
async fn world(fault: Fault, answers: usize, limits: StreamLimits) -> World {
    let (config, ca_file) = certificate(fault);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    let _ = serve(stream, answers, &tell).await;
                }
            });
        }
    });
    let streams = Streams::new(limits);
    streams.tls().configure(Some(ca_file.path()));
    World { address, streams, seen, _ca_file: ca_file }
}

fn certificate(fault: Fault) -> (ServerConfig, tempfile::NamedTempFile) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (trusted, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(ca.self_signed(&trusted).unwrap().pem().as_bytes()).unwrap();
    if fault == Fault::Issuer {
        ca.distinguished_name.push(DnType::CommonName, "another issuer");
    }
    let issuer = Issuer::new(ca, if fault == Fault::Issuer { other } else { trusted });
    let name = if fault == Fault::Name { "other.example" } else { NAME };
    let mut params = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    match fault {
        Fault::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Fault::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
        Fault::None | Fault::Name | Fault::Issuer => {}
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap(), ca_file)
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    answers: usize,
    tell: &mpsc::UnboundedSender<Seen>,
) -> std::io::Result<()> {
    for _ in 0..answers {
        let mut query = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut query).await?;
        let (_, session) = stream.get_ref();
        tell.send((session.handshake_kind(), session.server_name().map(str::to_owned), query.clone())).unwrap();
        let response = response(&query);
        stream.write_u16(u16::try_from(response.len()).unwrap()).await?;
        stream.write_all(&response).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// A query for `a.example`, type A, with an OPT.
fn query() -> Vec<u8> {
    let opt = [0, 0, u8::try_from(rtype::OPT).unwrap(), 4, 208, 0, 0, 0, 0, 0, 0];
    [&[0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], b"\x01a\x07example\0\0\x01\0\x01", &opt].concat()
}

/// The question come back, with something that no parser could read.
fn response(query: &[u8]) -> Vec<u8> {
    let mut response = query[..query.len().min(27)].to_vec();
    (response[2], response[7], response[11]) = (0x81, 9, 0);
    response.extend_from_slice(b"\xff\xffnot a record");
    response
}

impl World {
    async fn ask(&self, name: &str) -> Result<Vec<u8>, StreamError> {
        let endpoint: Endpoint = format!("tls://{}{name}", self.address).parse().unwrap();
        self.streams.ask(endpoint, query(), Instant::now() + SECOND).await
    }

    async fn ask_anyone(&self) -> Result<Vec<u8>, StreamError> {
        let endpoint: Endpoint = format!("tls://{}#{NAME}", self.address).parse().unwrap();
        let (tls, _) = endpoint.opportunistic().unwrap();
        self.streams.ask(tls, query(), Instant::now() + SECOND).await
    }
}

#[tokio::test]
async fn a_response_passes_unchanged_and_the_query_is_padded_and_names_the_server() {
    let mut w = world(Fault::None, usize::MAX, StreamLimits::default()).await;
    for _ in 0..2 {
        assert_eq!(w.ask("#dns.example").await, Ok(response(&query())));
        let (kind, name, seen) = w.seen.recv().await.unwrap();
        assert_eq!((kind, name.as_deref()), (Some(HandshakeKind::Full), Some(NAME)), "one connection for both");
        assert_eq!((seen.len(), &seen[12..23]), (128, &query()[12..23]));
    }
    assert_eq!(w.ask("").await, Ok(response(&query())), "its address stands in the certificate, too");
    let (_, name, _) = w.seen.recv().await.unwrap();
    assert_eq!(name, None, "addresses are no names (RFC 6066, section 3)");
}

#[tokio::test]
async fn a_second_connection_resumes_the_session() {
    let mut w = world(Fault::None, 1, StreamLimits::default()).await;
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        assert_eq!(w.ask("#dns.example").await, Ok(response(&query())));
        assert_eq!(w.seen.recv().await.unwrap().0, Some(kind));
    }
}

#[tokio::test]
async fn a_bad_certificate_is_refused_unless_all_are_taken() {
    for (fault, why) in [
        (Fault::Name, Distrust::WrongName),
        (Fault::Expired, Distrust::Expired),
        (Fault::NotYetValid, Distrust::NotYetValid),
        (Fault::Issuer, Distrust::UnknownIssuer),
    ] {
        let mut w = world(fault, usize::MAX, StreamLimits::default()).await;
        assert_eq!(w.ask("#dns.example").await, Err(StreamError::Untrusted(why)), "{fault:?}");
        assert!(w.seen.try_recv().is_err(), "{fault:?}: no query was sent");
        assert_eq!(w.ask_anyone().await, Ok(response(&query())), "{fault:?}");
        assert_eq!(w.seen.recv().await.unwrap().1.as_deref(), Some(NAME));
    }
}

#[tokio::test]
async fn who_was_refused_is_not_connected_to_again_at_once() {
    let (listener, accepted) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), mpsc::unbounded_channel());
    let (address, (tell, mut told)) = (listener.local_addr().unwrap(), accepted);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tell.send(()).unwrap();
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let streams = Streams::new(StreamLimits::default());
    for _ in 0..3 {
        let endpoint: Endpoint = format!("tls://{address}").parse().unwrap();
        let result = streams.ask(endpoint, query(), Instant::now() + SECOND).await;
        assert_eq!(result, Err(StreamError::Unreachable), "it does not speak TLS");
    }
    assert!(told.recv().await.is_some() && told.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("tls://{}", listener.local_addr().unwrap()).parse().unwrap();
    let streams = Streams::new(StreamLimits { connect: Duration::from_millis(100), ..StreamLimits::default() });
    let result = streams.ask(endpoint, query(), Instant::now() + SECOND).await;
    assert_eq!(result, Err(StreamError::Unreachable));
}

#[tokio::test]
async fn a_connection_with_tls_is_kept_for_longer_and_closed_when_idle() {
    let limits = StreamLimits {
        idle: Duration::from_millis(1),
        encrypted_idle: Duration::from_millis(200),
        ..StreamLimits::default()
    };
    let mut w = world(Fault::None, usize::MAX, limits).await;
    for _ in 0..2 {
        w.ask("#dns.example").await.unwrap();
        assert_eq!(w.seen.recv().await.unwrap().0, Some(HandshakeKind::Full));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_in_use = || w.streams.queues.lock().unwrap().values().any(|queue| queue.is_in_use());
    assert!(is_in_use());
    let closed = async {
        while is_in_use() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SECOND, closed).await.expect("closed");
}
