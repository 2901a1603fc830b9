use crate::ApiError;

impl ApiError {
    /// A failure of any status and kind, for a person to read.
    pub fn new(status: u16, kind: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            kind: kind.into(),
            message: message.into(),
            param: None,
            code: None,
            retry_after_ms: None,
        }
    }

    /// The client's mistake in the field `param`, spelt as the client spells it: 400, `invalid_request_error`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError::new(400, "invalid_request_error", message).with_param(param)
    }

    /// What was asked for does not exist: 404, `not_found_error`.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(404, "not_found_error", message)
    }

    /// The server's side is at fault: 500, `server_error`.
    pub fn server(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "server_error", message)
    }

    /// The same failure, naming the request field at fault.
    pub fn with_param(self, param: impl Into<String>) -> ApiError {
        ApiError {
            param: Some(param.into()),
            ..self
        }
    }

    /// The same failure with a stable word for programs.
    pub fn with_code(self, code: impl Into<String>) -> ApiError {
        ApiError {
            code: Some(code.into()),
            ..self
        }
    }
}
