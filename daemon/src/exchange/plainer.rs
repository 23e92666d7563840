//! Queries that go out again in a plainer form: where an upstream may not bear the usual one, and where what came to a
//! spelled query is not to be believed. Servers that compare the letters of their own names, or that drop what they do
//! not know, are common.

use std::time::Instant;

use super::form::Form;
use super::lookup::{Attempt, AttemptId, LookupId, Stage};
use super::sending::Target;
use super::{Action, Engine, Worth};
use crate::upstream::UpstreamId;

impl Engine {
    /// The form that a query to an upstream has now.
    pub(super) fn form_for(&self, upstream: UpstreamId, now: Instant) -> Form {
        self.peers.get(upstream).map_or(Form::Usual, |peer| peer.borne.form(now))
    }

    /// An upstream that has never answered is silent: sends plainer copies, whose responses tell what it bears.
    pub(super) fn send_plainer(&mut self, attempt_id: AttemptId, now: Instant) {
        for form in [Form::WithoutAd, Form::Bare] {
            self.send_copy(attempt_id, form, now);
        }
    }

    /// Sends the query that was just sent in the usual form as well, where it is doubted that the upstream does not
    /// bear it.
    pub(super) fn send_where_in_doubt(&mut self, id: LookupId, upstream: UpstreamId, now: Instant) {
        let doubts = self.peers.get_mut(upstream).is_some_and(|peer| peer.borne.doubts());
        let last = self.lookups.get(id.0).and_then(|lookup| lookup.attempts.last()).copied();
        if let (true, Some(last)) = (doubts, last) {
            self.send_copy(last, Form::Usual, now);
        }
    }

    /// Sends a copy of a spelled query that is late without the spelling. Returns false where it was not spelled, or
    /// all queries are to be.
    pub(super) fn send_unspelled_copy(&mut self, attempt_id: AttemptId, now: Instant) -> bool {
        let is_spelled = self.attempts.get(attempt_id.0).is_some_and(|attempt| attempt.spelled);
        let sends = is_spelled && !self.guidance.verdicts.spells_always();
        if sends {
            self.send_copy(attempt_id, Form::Unspelled, now);
        }
        sends
    }

    /// Sends a copy of a query; nothing waits for it, but a response to it is as good as one to the query.
    fn send_copy(&mut self, attempt_id: AttemptId, form: Form, now: Instant) {
        let Some(attempt) = self.attempts.get(attempt_id.0) else { return };
        let is_open = self.lookups.get(attempt.lookup.0).is_some_and(|lookup| lookup.done.is_none());
        let Some(upstream) = self.set.get(attempt.upstream.id).cloned().filter(|_| is_open) else { return };
        let (id, rank) = (attempt.lookup, attempt.rank);
        self.send(id, Target { upstream, rank, form, stage: Stage::GivenUp, begun: now, extra: true }, now);
    }

    /// Takes a response that was right but for its spelling. Where all queries are spelled, it is awaited in ours,
    /// since it may be forged; else the question is asked again without, at once.
    pub(super) fn heard_in_other_spelling(&mut self, attempt_id: AttemptId, now: Instant) {
        if self.guidance.verdicts.spells_always() {
            if let Some(attempt) = self.attempts.get_mut(attempt_id.0) {
                attempt.other_spelling = true;
            }
            return;
        }
        let Some(attempt) = self.end_attempt(attempt_id) else { return };
        if !self.ask_unspelled(&attempt, now) {
            self.go_on(attempt.lookup, now);
        }
        self.set_timer(attempt.lookup);
    }

    /// Asks again without spelling where what came to a spelled query is not to be believed: who compares letters says
    /// that there is no such name. Returns whether it does.
    pub(super) fn asks_unspelled(&mut self, attempt: &Attempt, worth: Worth, now: Instant) -> bool {
        let is_doubtful = matches!(worth, Worth::Negative | Worth::Lame | Worth::Failure);
        if !is_doubtful || !attempt.spelled || attempt.is_second_transport() || self.guidance.verdicts.spells_always() {
            return false;
        }
        let asks = self.ask_unspelled(attempt, now);
        if asks {
            self.set_timer(attempt.lookup);
        }
        asks
    }

    /// Asks again without an OPT what an upstream may have failed to answer for its sake (RFC 6891, section 7). The
    /// guard is told, since clients can provoke such failures: only its own probes teach that an upstream bears no OPT.
    pub(super) fn ask_without_edns(&mut self, attempt: &Attempt, now: Instant) {
        let id = attempt.upstream.id;
        if self.peers.get_mut(id).is_some_and(|peer| peer.may_doubt_edns(now)) {
            self.actions.push_back(Action::PerhapsNoEdns(id));
        }
        match self.set.get(id).cloned() {
            Some(upstream) => {
                self.send(attempt.lookup, attempt.again(upstream, Form::Bare), now);
            }
            None => self.go_on(attempt.lookup, now), // it has left the set meanwhile
        }
    }

    /// Asks what a spelled query asked without spelling. Returns false where that is of no use: the lookup is over, or
    /// the query is known to have come back to us.
    fn ask_unspelled(&mut self, attempt: &Attempt, now: Instant) -> bool {
        let is_open = self.lookups.get(attempt.lookup.0).is_some_and(|lookup| lookup.done.is_none());
        let is_of_use = is_open && !attempt.extra && !attempt.returned;
        let Some(upstream) = self.set.get(attempt.upstream.id).cloned().filter(|_| is_of_use) else { return false };
        self.send(attempt.lookup, attempt.again(upstream, Form::Unspelled), now);
        true
    }
}
