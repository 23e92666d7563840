//! What the engine wants done, and what becomes of questions. Pure.

use std::sync::Arc;
use std::time::Instant;

use super::lookup::AttemptId;
use super::pool::Socket;
use super::query;
use super::stream::Distrust;
use crate::upstream::{Transport, Upstream, UpstreamId};
use crate::wire::{QuestionKey, Response};

/// What the engine wants done.
#[derive(Debug)]
pub enum Action {
    /// Open a socket, connected to the upstream. Where that fails, [`super::Engine::refused`] says so.
    Open(Socket, Arc<Upstream>),
    /// Send this attempt's message ([`super::Engine::message`]) over the socket.
    Send(Socket, AttemptId),
    /// Close a socket; nothing is awaited from it.
    Close(Socket),
    /// Send this attempt's message over a stream, until the time given; [`super::Engine::streamed`] brings what came of
    /// it.
    Stream(AttemptId, Arc<Upstream>, Instant),
    /// The question has its answer, which was kept for a while.
    Answered(OwnedUpstreamResponse),
    /// The question has none but this failure, which an upstream told of.
    Refused(OwnedUpstreamResponse),
    /// The question has none.
    Failed(QuestionKey, Failure),
    /// Some who wait for this question may have waited long enough; the lookup goes on. A truncated response, if one
    /// came, is what there is for clients over UDP.
    Overdue(QuestionKey, Option<OwnedUpstreamResponse>),
    /// An upstream went down, or is back: [`super::Engine::report`] says which.
    HealthChanged,
    /// An upstream let a question wait, or failed it: perhaps it loops.
    Silent(UpstreamId, Transport, QuestionKey),
    /// An upstream has said nothing for a while: perhaps it is down. The name is one that it has answered before.
    PerhapsDown(UpstreamId, Transport, Option<Box<[u8]>>),
    /// An upstream did not take an OPT as one that bears it does: perhaps it bears none any more.
    PerhapsNoEdns(UpstreamId),
    /// An upstream that is held to be down, or may be, said something.
    Alive(UpstreamId, Transport),
}

/// How long a provisional response may be remembered at most, here and by clients, in seconds.
pub(crate) const PROVISIONAL_TTL: u32 = 5;

/// Whether an upstream that comes earlier in the route could still say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// No: all that come before it have spoken, or know the same.
    Settled,
    /// Yes: it is a later upstream's negative response, and an earlier one that is not equivalent has not answered. It
    /// is remembered for [`PROVISIONAL_TTL`] at most, and is worth less than a positive response that can be had stale.
    Provisional,
}

/// What an upstream said to a question, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedUpstreamResponse {
    /// The question.
    pub key: QuestionKey,
    /// Who said it.
    pub upstream: UpstreamId,
    /// What it counts.
    pub certainty: Certainty,
    /// The whole message.
    pub message: Vec<u8>,
}

/// A question that has its answer, in the message that has just come.
#[derive(Debug)]
pub struct UpstreamResponse<'m> {
    /// The question.
    pub key: QuestionKey,
    /// Who answered it.
    pub upstream: UpstreamId,
    /// What its answer counts.
    pub certainty: Certainty,
    /// The answer.
    pub answer: Response<'m>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no upstream to ask.
    NoUpstream,
    /// None of them answered.
    NoAnswer,
    /// This one sends questions back to us, and no other is left.
    Loops(UpstreamId),
    /// None of them answered, this one since its certificate cannot be trusted.
    Untrusted(UpstreamId, Distrust),
}

impl OwnedUpstreamResponse {
    /// The message as an answer; `None` where it cannot be walked.
    #[must_use]
    pub fn landed(&self) -> Option<UpstreamResponse<'_>> {
        let answer = Response::read(&self.message, query::question_end(&self.key))?;
        Some(UpstreamResponse { key: self.key.clone(), upstream: self.upstream, certainty: self.certainty, answer })
    }
}
