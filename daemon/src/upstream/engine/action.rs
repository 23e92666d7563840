//! What the engine wants done, and what becomes of questions. Pure.

use std::sync::Arc;
use std::time::Instant;

use super::flying::AskId;
use crate::upstream::pool::Socket;
use crate::upstream::question;
use crate::upstream::{Number, Transport, Upstream};
use crate::wire::{Answer, QuestionKey};

/// What the engine wants done.
#[derive(Debug)]
pub enum Action {
    /// Open a socket, connected to the upstream. Where that fails, [`super::Engine::refused`] says so.
    Open(Socket, Arc<Upstream>),
    /// Send this ask's message ([`super::Engine::message`]) over the socket.
    Send(Socket, AskId),
    /// Close a socket; nothing is awaited from it.
    Close(Socket),
    /// Send this ask's message over a stream, until the time given; [`super::Engine::streamed`] brings what came of it.
    Stream(AskId, Arc<Upstream>, Instant),
    /// The question has its answer, which was kept for a while.
    Answered(Said),
    /// The question has none but this failure, which an upstream told of.
    Refused(Said),
    /// The question has none.
    Failed(QuestionKey, Failure),
    /// Some who wait for this question may have waited long enough; the flight goes on.
    Overdue(QuestionKey),
    /// An upstream let a question wait, or failed it: perhaps it loops.
    Silent(Number, Transport, QuestionKey),
}

/// What an upstream said to a question, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The question.
    pub key: QuestionKey,
    /// Who said it.
    pub upstream: Number,
    /// The whole message.
    pub message: Vec<u8>,
}

/// A question that has its answer, in the message that has just come.
#[derive(Debug)]
pub struct Landed<'m> {
    /// The question.
    pub key: QuestionKey,
    /// Who answered it.
    pub upstream: Number,
    /// The answer.
    pub answer: Answer<'m>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no upstream to ask.
    NoUpstream,
    /// None of them answered.
    NoAnswer,
    /// This one sends questions back to us, and no other is left.
    Loops(Number),
}

impl Said {
    /// The message as an answer; `None` where it cannot be walked.
    #[must_use]
    pub fn landed(&self) -> Option<Landed<'_>> {
        let answer = Answer::read(&self.message, question::question_end(&self.key))?;
        Some(Landed { key: self.key.clone(), upstream: self.upstream, answer })
    }
}
