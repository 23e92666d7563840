//! What a source has to give, before its servers are vetted and before it is known whether it is the one in use.

use super::listed::Listed;
use super::vet::Rules;

/// What a source says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Lists of servers. A later one counts only where no server of the earlier ones may be used.
    pub lists: Vec<Vec<Listed>>,
    /// The search list that comes with them.
    pub search: Vec<String>,
    /// Options of `options` lines.
    pub options: Vec<String>,
    /// Whether its program encrypts: then no other source may take its place that does not.
    pub encrypts: bool,
    /// Whether it gives less than its program would, as while the program restarts.
    pub is_degraded: bool,
    /// In words: what was unwrapped, what is odd.
    pub notes: Vec<String>,
}

impl Reading {
    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Whether a server may be asked.
pub(super) fn is_fit(listed: &Listed, rules: &Rules<'_>) -> bool {
    listed.refusal.is_none() && rules.vet(&listed.server).is_ok()
}
