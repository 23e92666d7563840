//! Clients on connections that wait for a response: a table that brings it from the worker to the connection's task.
//!
//! Their number is bounded by the waiters that there may be (`crate::waiters`). One that hangs up leaves the table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use crate::waiters::ClientId;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    waiting: Mutex<HashMap<ClientId, oneshot::Sender<Vec<u8>>, RandomState>>,
    next: AtomicU64,
}

/// A response that is waited for. The client leaves the table when this is dropped.
#[derive(Debug)]
pub(crate) struct PendingResponse {
    client: ClientId,
    clients: Arc<Clients>,
    response: oneshot::Receiver<Vec<u8>>,
}

impl Clients {
    /// Names one query.
    #[must_use]
    pub(crate) fn name(&self) -> ClientId {
        ClientId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Enters a client; to be called before its query can be answered by a worker.
    #[must_use]
    pub(crate) fn enter(self: &Arc<Self>, client: ClientId) -> PendingResponse {
        let (sender, response) = oneshot::channel();
        self.table().insert(client, sender);
        PendingResponse { client, clients: Arc::clone(self), response }
    }

    /// Gives a client its response. No-op for one that has gone.
    pub(crate) fn respond(&self, client: ClientId, response: Vec<u8>) {
        let waiting = self.table().remove(&client);
        if let Some(sender) = waiting {
            let _ = sender.send(response); // it may have gone this moment
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ClientId, oneshot::Sender<Vec<u8>>, RandomState>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingResponse {
    /// Waits for the response. `None` where none will come.
    pub(crate) async fn wait(mut self) -> Option<Vec<u8>> {
        (&mut self.response).await.ok()
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.clients.table().remove(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_client_gets_its_own_response_and_those_that_hang_up_leave() {
        let clients = Arc::new(Clients::default());
        let [one, two, gone] = [(); 3].map(|()| clients.name());
        let [first, second] = [one, two].map(|client| clients.enter(client));
        drop(clients.enter(gone));
        assert_eq!(clients.table().len(), 2);
        clients.respond(two, b"two".to_vec());
        clients.respond(gone, b"gone".to_vec());
        clients.respond(one, b"one".to_vec());
        assert_eq!((first.wait().await, second.wait().await), (Some(b"one".to_vec()), Some(b"two".to_vec())));
        assert!(clients.table().is_empty());
    }
}
