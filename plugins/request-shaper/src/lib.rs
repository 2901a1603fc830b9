//! The operator's policy on requests: values where the client gave none, limits on those that it gave, the longest
//! prompt, and a system prompt that every conversation begins with.
//!
//! For operators, who write it as the plugin's config ([`Policy`] has the keys). Without one, every request passes
//! unchanged. It knows requests in the engine's terms and nothing of the protocol that they came in.

mod policy;
mod prompt;
mod sampling;

use plugin_sdk::{ApiError, Caller, InferenceRequest, Shaper, register};
pub use policy::{OutOfRange, Policy};

/// The plugin.
pub struct RequestShaper;

impl Shaper for RequestShaper {
    fn shape(mut request: InferenceRequest, _caller: Caller) -> Result<InferenceRequest, ApiError> {
        let policy = Policy::read()?;
        for input in &mut request.inputs {
            // The length first: the system prompt is the operator's, and does not count against the client.
            prompt::check_length(&policy, input)?;
            prompt::require_system_prompt(&policy, input);
        }
        sampling::shape(&policy, &mut request.sampling)?;
        Ok(request)
    }
}

register!(shaper: RequestShaper);
