//! Refusals.

use super::record;

record!(
    /// What a client is told.
    #[derive(Default)]
    #[serde(default)]
    ApiError {
        status: u16,
        kind: String,
        message: String,
        param: Option<String>,
        code: Option<String>,
        retry_after_ms: Option<u32>,
    }
);
