//! What can be set of the guard.

/// The marks that questions carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The EDNS option that names the Onwards a question has passed.
    pub tag: Mark,
    /// The pattern of upper and lower case in names.
    pub spelling: Mark,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tag: Mark::Auto, spelling: Mark::Auto }
    }
}

/// When a mark is put on questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// `auto`: where it may help; see the option's text in the template.
    Auto,
    /// `always`: on every question.
    Always,
    /// `never`: on none.
    Never,
}
