//! In which form a query goes out, and which form an upstream bears. Pure.
//!
//! Some servers drop queries with AD=1 (RFC 6840, section 5.7, gave it its meaning in queries), or with an OPT at all.
//! One that has never answered a query in the usual form is asked in plainer ones as well, soon after it was silent;
//! what it answers is the form that it bears. Since a packet may only have been lost, the next queries go out in the
//! usual form, too; one response to those is proof that it is borne. The guard's own tests
//! ([`crate::guard::mark_support`]) are slower and surer, and tell of marks.

use std::time::{Duration, Instant};

use crate::guard::Marks;

/// Number of queries that go out in the usual form as well after an upstream seemed not to bear it.
const DOUBTS: u8 = 2;
/// Time until it is found out again what an upstream bears that seemed not to bear the usual form.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// The form of a query, the plainer the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Form {
    /// With AD, an OPT and all marks, as far as the guard says.
    #[default]
    Usual,
    /// The same, but the name in lower case.
    Unspelled,
    /// Without AD, too.
    WithoutAd,
    /// Without an OPT, too.
    Bare,
}

impl Form {
    /// The marks of a query in this form, of those that it may carry.
    pub(super) fn marks(self, marks: Marks) -> Marks {
        Marks { opt: marks.opt && self < Self::Bare, spelling: marks.spelling && self == Self::Usual, ..marks }
    }
}

/// What an upstream is known to bear.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Borne {
    /// It has not answered yet.
    #[default]
    Unknown,
    /// The usual form.
    Usual,
    /// This form only, as it seems since then; with the number of queries still to go out in the usual form, too.
    Only(Form, Instant, u8),
}

impl Borne {
    /// The form for the next query.
    pub(super) fn form(self, now: Instant) -> Form {
        match self {
            Self::Only(form, since, _) if now.saturating_duration_since(since) < AGAIN => form,
            Self::Unknown | Self::Usual | Self::Only(..) => Form::Usual,
        }
    }

    /// Whether silence to a query may be for its form.
    pub(super) fn is_unknown(self, now: Instant) -> bool {
        match self {
            Self::Unknown => true,
            Self::Usual => false,
            Self::Only(_, since, _) => now.saturating_duration_since(since) >= AGAIN,
        }
    }

    /// Whether the next query is to go out in the usual form as well; each time is one doubt less.
    pub(super) fn doubts(&mut self) -> bool {
        match self {
            Self::Only(_, _, left) if *left > 0 => {
                *left -= 1;
                true
            }
            Self::Unknown | Self::Usual | Self::Only(..) => false,
        }
    }

    /// Takes a response to a query in `form`.
    pub(super) fn answered(&mut self, form: Form, now: Instant) {
        *self = match (*self, form) {
            (_, Form::Usual | Form::Unspelled) | (Self::Usual, _) => Self::Usual,
            (Self::Only(known, since, left), _) if form >= known && now.saturating_duration_since(since) < AGAIN => {
                Self::Only(known, since, left)
            }
            (Self::Only(..) | Self::Unknown, _) => Self::Only(form, now, DOUBTS),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_plain_form_that_was_answered_is_borne() {
        let (mut borne, now) = (Borne::default(), crate::clock::now());
        assert!(borne.is_unknown(now) && borne.form(now) == Form::Usual);
        borne.answered(Form::Bare, now);
        assert_eq!(borne.form(now), Form::Bare);
        borne.answered(Form::WithoutAd, now);
        borne.answered(Form::Bare, now);
        assert_eq!(borne.form(now), Form::WithoutAd);
        assert_eq!([borne.doubts(), borne.doubts(), borne.doubts()], [true, true, false]);
        assert!(!borne.is_unknown(now) && borne.is_unknown(now + AGAIN));
        assert_eq!(borne.form(now + AGAIN), Form::Usual);
    }

    #[test]
    fn one_response_in_the_usual_form_is_proof() {
        let (mut borne, now) = (Borne::default(), crate::clock::now());
        borne.answered(Form::Bare, now);
        borne.answered(Form::Usual, now);
        borne.answered(Form::Bare, now);
        assert!(borne.form(now) == Form::Usual && !borne.is_unknown(now) && !borne.doubts());
    }
}
