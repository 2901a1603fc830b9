//! Refuses requests for more samples than the operator allows.

use plugin_sdk::{ApiError, Caller, InferenceRequest, Shaper, config, log, register};
use serde::Deserialize;

/// What the operator sets; plugin.toml has its schema.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    max_samples: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_samples: 4 }
    }
}

/// The plugin.
struct SampleLimit;

impl Shaper for SampleLimit {
    /// The request as it is to be run: unchanged, changed, or refused.
    fn shape(request: InferenceRequest, caller: Caller) -> Result<InferenceRequest, ApiError> {
        let Settings { max_samples } = config::read()?;
        if request.n <= max_samples {
            return Ok(request);
        }
        let who = caller.key_name.as_deref().unwrap_or("somebody");
        log::info(format!("{who} asked for {} samples", request.n));
        let message = format!(
            "`n` is {}; this server draws at most {max_samples} samples",
            request.n
        );
        Err(ApiError::invalid("n", message))
    }
}

register!(shaper: SampleLimit);

#[cfg(test)]
mod tests {
    use plugin_sdk::{Input, mock};

    use super::*;

    fn shape(n: u32) -> Result<InferenceRequest, ApiError> {
        let request = InferenceRequest {
            n,
            ..InferenceRequest::new("m", vec![Input::Text("hi".to_owned())])
        };
        let caller = Caller {
            request_id: "r-1".to_owned(),
            path: "/v1/completions".to_owned(),
            key_name: None,
        };
        SampleLimit::shape(request, caller)
    }

    #[test]
    fn as_many_samples_as_allowed_pass() {
        mock::set_config(r#"{"max_samples": 2}"#);
        assert_eq!(shape(2).unwrap().n, 2);
    }

    #[test]
    fn one_sample_more_is_refused_by_the_name_of_its_field() {
        mock::set_config("{}");
        let error = shape(5).unwrap_err();
        assert_eq!((error.status, error.param.as_deref()), (400, Some("n")));
        assert_eq!(mock::take_log().len(), 1);
    }
}
