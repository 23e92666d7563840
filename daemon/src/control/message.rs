//! What goes over the control socket: calls and replies, as Varlink has them (<https://varlink.org/Method-Call>).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Call {
    /// The interface and the method, with a dot between them.
    pub(super) method: String,
    #[serde(default)]
    pub(super) parameters: Value,
    /// Whether no reply is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) oneway: bool,
    /// Whether several replies may come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) more: bool,
}

/// A reply; one with an error says what is wrong in its parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) parameters: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Whether another reply follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) continues: Option<bool>,
}

impl Reply {
    pub(super) fn of(parameters: Value) -> Self {
        Self { parameters, ..Self::default() }
    }

    pub(super) fn error(name: &str, parameters: Value) -> Self {
        Self { parameters, error: Some(name.to_owned()), continues: None }
    }
}
