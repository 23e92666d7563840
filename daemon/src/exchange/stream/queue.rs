//! The queries to one server that wait for room on a connection, and how many connections there are to be.
//!
//! Servers exist that read one query of those that came in one segment, and drop the rest. Such a server gets one query
//! at a time on each connection for a while.
//!
//! A server may close a connection after a few responses, though queries are unanswered. Their queries come back to the
//! front of the queue, and from then on a connection takes no more unanswered queries than such a server is known to
//! answer, over more connections at once. A connection that answers more than that shows that the server has changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::Query;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::connection::{self, Target};
use super::tls::Tls;
use super::{StreamError, StreamLimits, padding};
use crate::exchange::check::{self, Match};
use crate::wire::{HEADER, flag};

/// Maximum number of connections that close without any response before a query that was sent on each of them fails.
const FRUITLESS: u8 = 2;
/// Maximum number of connections that a query is sent on.
const TRIES: u8 = 8;
/// Time for which a server that dropped queries sent to it at once gets one query at a time on each connection.
const ONE_AT_A_TIME: Duration = Duration::from_secs(60);

/// A query, and where its question section ends.
#[derive(Debug, Clone)]
pub(super) struct StreamRequest {
    query: Vec<u8>,
    end: usize,
}

/// A query that waits for its response.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) request: StreamRequest,
    pub(super) deadline: Instant,
    reply: Reply,
    tries: u8,
    fruitless: u8,
    /// Whether the query waits or was sent on another connection, too.
    pub(super) is_sent_again: bool,
}

/// Where the result goes; empty once it is there. The attempts at one query on several connections share it.
type Reply = Arc<Mutex<Option<oneshot::Sender<Result<Vec<u8>, StreamError>>>>>;

/// The queries to one server.
#[derive(Debug)]
pub(super) struct Queue {
    target: Target,
    tls: Arc<Tls>,
    limits: StreamLimits,
    state: Mutex<State>,
    /// Rings once for each query that is put into the queue.
    bell: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Attempt>,
    /// Queries on connections.
    in_flight: usize,
    connections: usize,
    /// Number of unanswered queries that a connection takes, from what is known of when the server closes.
    room: usize,
    /// Until when a connection takes one query at a time.
    one_at_a_time_until: Option<Instant>,
}

impl StreamRequest {
    /// Takes a query with one question; `None` for any other message.
    pub(super) fn of(query: Vec<u8>) -> Option<Self> {
        if query.get(4..6) != Some(&[0, 1]) || u16::try_from(query.len()).is_err() {
            return None;
        }
        let mut decoder = BinDecoder::new(&query);
        decoder.read_slice(HEADER).ok()?;
        Query::read(&mut decoder).ok()?;
        let end = decoder.index();
        Some(Self { query, end })
    }

    /// Returns the query with another ID, padded if that is of use.
    pub(super) fn with_id(&self, id: u16, is_encrypted: bool) -> Vec<u8> {
        let mut query = self.query.clone();
        set_id(&mut query, id.to_be_bytes());
        if is_encrypted {
            padding::pad(&mut query, self.end);
        }
        query
    }

    /// Whether `message` is a response to this query, in whatever spelling: names are equal without regard to case (RFC
    /// 4343), and nobody off the path speaks over a stream. A server that changes the spelling is asked over one for
    /// that.
    ///
    /// An error may come without a question; then there is none to match (RFC 7766, section 7).
    pub(super) fn is_answered_by(&self, message: &[u8]) -> bool {
        match check::matches(&self.query, self.end, message) {
            Match::Answer | Match::OtherSpelling => true,
            Match::HeaderAlone => message.get(3).is_some_and(|low| low & flag::RCODE != 0),
            Match::Stranger => false,
        }
    }
}

impl Attempt {
    pub(super) fn new(
        request: StreamRequest,
        deadline: Instant,
        reply: oneshot::Sender<Result<Vec<u8>, StreamError>>,
    ) -> Self {
        let reply = Arc::new(Mutex::new(Some(reply)));
        Self { request, deadline, reply, tries: 0, fruitless: 0, is_sent_again: false }
    }

    /// Returns a second attempt at the same query; the first result of the two counts.
    pub(super) fn again(&mut self) -> Self {
        let again = Self { request: self.request.clone(), reply: Arc::clone(&self.reply), ..*self };
        self.is_sent_again = true;
        again
    }

    /// Whether nobody waits for the result any more.
    fn is_over(&self) -> bool {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner);
        reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Gives the result to the lookup, if that still waits for it. A response gets the ID of the query.
    pub(super) fn finish(self, mut result: Result<Vec<u8>, StreamError>) {
        if let (Ok(response), Some(id)) = (&mut result, self.request.query.first_chunk()) {
            set_id(response, *id);
        }
        if let Some(reply) = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = reply.send(result);
        }
    }
}

impl Queue {
    pub(super) fn new(target: Target, limits: StreamLimits, tls: Arc<Tls>) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            in_flight: 0,
            connections: 0,
            room: limits.in_flight.max(1),
            one_at_a_time_until: None,
        };
        Self { target, tls, limits, state: Mutex::new(state), bell: Notify::new() }
    }

    /// Puts a query to the end of the queue, and opens a connection if the queue needs one.
    ///
    /// # Errors
    /// [`StreamError::Busy`] when the queue is full.
    pub(super) fn push(queue: &Arc<Self>, attempt: Attempt) -> Result<(), StreamError> {
        let mut state = queue.state();
        if state.waiting.len() >= queue.limits.queued {
            state.waiting.retain(|attempt| !attempt.is_over());
            if state.waiting.len() >= queue.limits.queued {
                return Err(StreamError::Busy);
            }
        }
        state.waiting.push_back(attempt);
        Self::open_connections(queue, &mut state);
        drop(state);
        queue.bell.notify_one();
        Ok(())
    }

    /// Waits for the next query whose response is still waited for, and returns it.
    pub(super) async fn next(&self) -> Attempt {
        loop {
            if let Some(attempt) = self.pop() {
                return attempt;
            }
            self.bell.notified().await;
        }
    }

    fn pop(&self) -> Option<Attempt> {
        let mut state = self.state();
        while let Some(mut attempt) = state.waiting.pop_front() {
            if !attempt.is_over() {
                attempt.tries += 1;
                state.in_flight += 1;
                return Some(attempt);
            }
        }
        None
    }

    /// Number of unanswered queries that a connection takes now.
    pub(super) fn room(&self) -> usize {
        self.state().room()
    }

    /// Puts queries to the front of the queue that the server seems to have dropped since they were sent to it at once.
    /// For a while it gets one query at a time on each connection.
    pub(super) fn send_again(queue: &Arc<Self>, dropped: Vec<Attempt>) {
        let mut state = queue.state();
        state.one_at_a_time_until = Some(Instant::now() + ONE_AT_A_TIME);
        for attempt in dropped {
            state.waiting.push_front(attempt);
            queue.bell.notify_one();
        }
        Self::open_connections(queue, &mut state);
    }

    /// A query is not in flight any more. `answered` is the number of responses that its connection brought.
    pub(super) fn left(&self, answered: usize) {
        let mut state = self.state();
        state.in_flight -= 1;
        if answered > state.room {
            state.room = self.limits.in_flight.max(1);
        }
    }

    /// A connection has ended; it brought `answered` responses, and these queries are not answered. They are sent again
    /// on other connections, except those that were sent too often already.
    pub(super) fn ended(queue: &Arc<Self>, answered: usize, unanswered: Vec<Attempt>) {
        let mut state = queue.state();
        state.connections -= 1;
        state.in_flight -= unanswered.len();
        if answered > 0 && !unanswered.is_empty() && !state.is_one_at_a_time() {
            state.room = answered.min(state.room);
        }
        let mut failed = Vec::new();
        for mut attempt in unanswered.into_iter().rev().filter(|attempt| !attempt.is_sent_again) {
            attempt.fruitless += u8::from(answered == 0);
            if attempt.fruitless >= FRUITLESS || attempt.tries >= TRIES {
                failed.push(attempt);
            } else {
                state.waiting.push_front(attempt);
                queue.bell.notify_one();
            }
        }
        Self::open_connections(queue, &mut state);
        drop(state);
        failed.into_iter().for_each(|attempt| attempt.finish(Err(StreamError::Closed)));
    }

    /// A connection did not come about: unless there is another, all queries that wait fail.
    pub(super) fn not_connected(&self, error: StreamError) {
        let mut state = self.state();
        state.connections -= 1;
        let failed = if state.connections == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        failed.into_iter().for_each(|attempt| attempt.finish(Err(error)));
    }

    /// Whether there is a connection.
    pub(super) fn is_in_use(&self) -> bool {
        self.state().connections > 0
    }

    /// Opens connections until there are enough for the unanswered queries, within the limits.
    fn open_connections(queue: &Arc<Self>, state: &mut State) {
        let room = state.room();
        let is_full_size = room >= queue.limits.in_flight;
        let most = if is_full_size { queue.limits.connections } else { queue.limits.short_connections };
        let needed = (state.waiting.len() + state.in_flight).div_ceil(room).min(most);
        while state.connections < needed && !state.waiting.is_empty() {
            state.connections += 1;
            let (target, tls) = (queue.target.clone(), Arc::clone(&queue.tls));
            tokio::spawn(connection::run(target, tls, queue.limits, Arc::clone(queue)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Number of unanswered queries that a connection takes now.
    fn room(&self) -> usize {
        if self.is_one_at_a_time() { 1 } else { self.room }
    }

    fn is_one_at_a_time(&self) -> bool {
        self.one_at_a_time_until.is_some_and(|until| Instant::now() < until)
    }
}

fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id;
    }
}
