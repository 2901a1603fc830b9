//! What the operator can set.

use serde::Deserialize;

/// The plugin's config.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where streams put the finish reason; absent: each endpoint's own habit.
    pub(crate) finish: Option<Finish>,
}

/// Where a stream puts a choice's finish reason.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Finish {
    /// In a chunk of its own.
    Separate,
    /// In the chunk of the last text, if that is still unsent when the reason is known; else in a chunk of its own.
    /// Text is never held back to wait for a reason.
    Merged,
}
