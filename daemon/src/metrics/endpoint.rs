//! The endpoint that a scraper asks: `GET /metrics` over HTTP/1.1, at an address or at a socket in the file system.
//!
//! Who may not have metrics is sent away without a word being read, a connection has a few seconds in all, and few are
//! open at once, so that nobody can make it cost much.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::Place;
use super::exposition::Format;
use crate::admit::acl::AllowList;
use crate::logging::LogEvent;
use crate::net::unix_socket;

/// Maximum number of connections at once.
const CONNECTIONS: usize = 16;
/// Time that a connection has, from its first byte to its last.
const LIFE: Duration = Duration::from_secs(10);
/// Time between two tries to listen.
const RETRY: Duration = Duration::from_secs(5);

/// Who writes the text.
pub(crate) trait Metrics: Send + Sync + 'static {
    /// Returns the text; none where it cannot be had yet.
    fn text(&self, format: Format) -> impl Future<Output = Option<String>> + Send;
}

/// The endpoint, which is there for as long as this lives.
#[derive(Debug)]
pub(crate) struct Endpoint(AbortHandle);

impl Endpoint {
    /// Begins to listen; where that fails it is told once, and tried again and again: the address may come later.
    pub(crate) fn open(place: Place, allow: Arc<ArcSwap<AllowList>>, metrics: Arc<impl Metrics>) -> Self {
        let task = async move {
            let mut is_told = false;
            loop {
                // It returns where it could not begin, or the listener broke.
                let Err(error) = listen(&place, &allow, &metrics).await;
                if !is_told {
                    log::warn!(
                        event = LogEvent::MetricsFailed, place:%, error:%;
                        "metrics cannot be given at {place} ({error}); trying again every {} s", RETRY.as_secs()
                    );
                    is_told = true;
                }
                sleep(RETRY).await;
            }
        };
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(
    place: &Place,
    allow: &ArcSwap<AllowList>,
    metrics: &Arc<impl Metrics>,
) -> Result<Infallible, io::Error> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    match place {
        Place::Address(address) => {
            let listener = TcpListener::bind(address).await?;
            tell(place);
            loop {
                let (stream, from) = listener.accept().await?;
                if allow.load().admits(from.ip()) {
                    serve(stream, &room, metrics);
                }
            }
        }
        Place::Path(path) => {
            let listener = unix_socket::listen(path)?;
            tell(place);
            loop {
                let (stream, _) = listener.accept().await?;
                serve(stream, &room, metrics);
            }
        }
    }
}

fn tell(place: &Place) {
    log::info!(event = LogEvent::MetricsGiven, place:%; "metrics are given at {place}");
}

/// Serves a connection by a task of its own, or closes it where there is no room.
fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    room: &Arc<Semaphore>,
    metrics: &Arc<impl Metrics>,
) {
    let Ok(permit) = Arc::clone(room).try_acquire_owned() else { return };
    let metrics = Arc::clone(metrics);
    tokio::spawn(async move {
        let answer = hyper::service::service_fn(|request| respond(request, &*metrics));
        let connection =
            hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
        let _ = timeout(LIFE, connection).await; // what goes wrong is the client's to see
        drop(permit);
    });
}

async fn respond(
    request: Request<Incoming>,
    metrics: &impl Metrics,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let plain = |status, text: &'static str| Response::builder().status(status).body(Full::new(text.into()));
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {}
        (_, "/metrics") => {
            let refused = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD");
            return refused.body(Full::new("metrics can only be read\n".into()));
        }
        _ => return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of_accept(accept);
    match metrics.text(format).await {
        Some(text) => Response::builder().header(CONTENT_TYPE, format.content_type()).body(Full::new(text.into())),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the service has just begun\n"),
    }
}
