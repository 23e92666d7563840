//! The TCP listener on loopback, with scripted answers behind it.

mod endings;
mod pipelining;
mod room;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::turns::AT_ONCE;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers by the first byte of the "query": `f`ast, `s`low (waits to be released), `n`othing, `b`ig, `l`ater and big.
struct Scripted {
    release: Semaphore,
    begun: AtomicUsize,
}

impl Answer for Scripted {
    fn answer(
        &self,
        query: Vec<u8>,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Answered<impl Future<Output = Option<Vec<u8>>> + Send> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match query.first() {
            None | Some(b'n') => Answered::Now(None),
            Some(b'b') => Answered::Now(Some(vec![b'b'; 60_000])),
            Some(b's' | b'l') => Answered::Later(query.clone(), async {
                self.release.acquire().await.ok()?.forget();
                Some(if query[0] == b's' { query } else { vec![b'b'; 60_000] })
            }),
            Some(_) => Answered::Now(Some(query)),
        }
    }
}

/// A listener on loopback with its script.
struct Server {
    address: SocketAddr,
    script: Arc<Scripted>,
    stop: watch::Sender<Ending>,
    task: JoinHandle<io::Result<Vec<LeftConnection>>>,
}

impl Server {
    async fn start(limits: TcpLimits) -> Self {
        let script = Arc::new(Scripted { release: Semaphore::new(0), begun: AtomicUsize::new(0) });
        let shared = Arc::new(TcpServer::new(Arc::clone(&script), limits));
        Self::listen(script, shared).await
    }

    /// Another listener that shares the room.
    async fn listen(script: Arc<Scripted>, shared: Arc<TcpServer<Scripted>>) -> Self {
        Self::succeed(script, shared, Vec::new()).await
    }

    /// The next process, with connections of the one before.
    async fn succeed(script: Arc<Scripted>, shared: Arc<TcpServer<Scripted>>, inherited: Vec<LeftConnection>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = watch::channel(Ending::NotYet);
        let task = tokio::spawn(serve(listener, inherited, shared, shutdown));
        Self { address, script, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// So that answers cannot all hide in the kernel's buffers.
    async fn connect_with_small_window(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn until_begun(&self, count: usize) {
        timeout(SECOND, async {
            while self.script.begun.load(Ordering::SeqCst) < count {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the queries arrive");
    }
}

fn limits() -> TcpLimits {
    TcpLimits { connections: 50, in_flight: 8, idle: 3 * SECOND, drain: 3 * SECOND }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

async fn send(client: &mut TcpStream, messages: &[&[u8]]) {
    let frames: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
    client.write_all(&frames).await.unwrap();
}

/// The next message; `None` when the server has hung up.
async fn receive(client: &mut TcpStream) -> Option<Vec<u8>> {
    timeout(2 * SECOND, async {
        let length = client.read_u16().await.ok()?;
        let mut message = vec![0; length.into()];
        client.read_exact(&mut message).await.ok()?;
        Some(message)
    })
    .await
    .expect("an answer, or the end, in time")
}
