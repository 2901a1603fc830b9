//! A shaper that does what the requested model's name says: a word of [`hostile::misbehave`], or
//!
//! * `huge-return`: a model name of [`hostile::HUGE_LEN`] bytes
//! * `refuse`: an ordinary refusal, status 403
//! * `bad-status`: a refusal whose status is 99
//! * `huge-refusal`: a refusal whose message is of [`hostile::HUGE_LEN`] bytes
//! * `no-inputs`, `zero-samples`, `many-samples`, `bad-token`, `nan-temperature`: a request that the contract forbids
//! * anything else, `echo` for one: the request unchanged

use hostile::{huge_text, misbehave};
use plugin_sdk::{ApiError, Caller, InferenceRequest, Input, Shaper, register};

struct HostileShaper;

impl Shaper for HostileShaper {
    fn shape(mut request: InferenceRequest, _caller: Caller) -> Result<InferenceRequest, ApiError> {
        let word = request.model.clone();
        misbehave(&word);
        match word.as_str() {
            "huge-return" => request.model = huge_text(),
            "refuse" => {
                return Err(ApiError::new(
                    403,
                    "permission_error",
                    "a hostile plugin was asked to refuse",
                ));
            }
            "bad-status" => {
                return Err(ApiError::new(
                    99,
                    "server_error",
                    "a refusal with a status that HTTP has not",
                ));
            }
            "huge-refusal" => return Err(ApiError::server(huge_text())),
            "no-inputs" => request.inputs.clear(),
            "zero-samples" => request.n = 0,
            "many-samples" => request.n = u32::MAX,
            "bad-token" => request.inputs = vec![Input::Tokens(vec![u32::MAX])],
            "nan-temperature" => request.sampling.temperature = Some(f32::NAN),
            _ => {}
        }
        Ok(request)
    }
}

register!(shaper: HostileShaper);
