//! A steady stream of questions, each for a name of its own, and what became of every one of them.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::dns::{Answer, Client, receive};
use crate::netns::Namespace;
use crate::query::{Query, types};
use crate::wait;

/// The time between two questions: a hundred a second.
const PACE: Duration = wait::millis(10);

/// How long after the last question answers are waited for.
const PATIENCE: Duration = wait::millis(2_500);

/// A question of the stream.
#[derive(Debug)]
pub struct Asked {
    /// When it was sent.
    pub sent: Instant,
    /// What came back.
    pub answer: Option<Answer>,
}

/// A running stream of questions.
pub struct Load {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Instant>>,
    receiver: JoinHandle<HashMap<u16, Answer>>,
}

impl Load {
    /// Begins to ask `server` from `namespace`, over UDP.
    ///
    /// # Panics
    /// If there is no way to it.
    #[must_use]
    pub fn start(namespace: &Namespace, server: IpAddr) -> Self {
        let socket = Client::new(namespace, server).socket();
        socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        let receiving = socket.try_clone().expect("a second handle on the socket");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            sender: spawn(move || send(&socket, &stopped)),
            receiver: spawn(move || {
                std::iter::from_fn(|| receive(&receiving)).map(|answer| (answer.id(), answer)).collect()
            }),
        }
    }

    /// Ends the stream, waits for what is still due, and gives all questions in the order in which they were sent.
    ///
    /// # Panics
    /// If one of its threads did.
    #[must_use]
    pub fn finish(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender");
        let mut answers = self.receiver.join().expect("the receiver");
        (0..=u16::MAX).zip(sent).map(|(id, sent)| Asked { sent, answer: answers.remove(&id) }).collect()
    }
}

fn send(socket: &UdpSocket, stop: &AtomicBool) -> Vec<Instant> {
    let mut sent = Vec::new();
    for id in 0..u16::MAX {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let query = Query::new(&format!("question{id}.test"), types::A).id(id);
        sent.push(Instant::now());
        // A refused port shows up here, on the next send: the question then counts as lost.
        let _ = socket.send(&query.bytes());
        sleep(PACE);
    }
    sent
}

/// Asserts that each question got an address, and gives the addresses with the time of the question.
///
/// # Panics
/// If a question was lost, or answered without an address.
#[must_use]
pub fn addresses(asked: &[Asked]) -> Vec<(Instant, std::net::Ipv4Addr)> {
    let lost = asked.iter().filter(|asked| asked.answer.is_none()).count();
    assert_eq!(lost, 0, "lost questions, of {}", asked.len());
    let first = |asked: &Asked| asked.answer.as_ref().and_then(|answer| answer.addresses().first().copied());
    let found = asked.iter().map(|asked| (asked.sent, first(asked).unwrap_or_else(|| panic!("no address: {asked:?}"))));
    found.collect()
}
