//! Keeps personal data from the model: e-mail addresses, phone numbers, payment cards, IBANs, IP addresses and, where the
//! operator wants it, long runs of digits.
//!
//! For operators, who choose in the plugin's config ([`Settings`] has the keys) what is looked for and whether it is
//! replaced or refused. It sees what goes to the model and never what the model answers; it knows requests in the engine's
//! terms and nothing of the protocol that they came in.

mod find;
mod json;
mod kind;
mod redactor;
mod settings;
mod texts;

use plugin_sdk::{ApiError, Caller, InferenceRequest, Shaper, log, register};

pub use kind::Kind;
use redactor::Redactor;
pub use settings::{Mode, Settings, Tokens};

/// The plugin.
pub struct PiiRedaction;

impl Shaper for PiiRedaction {
    fn shape(mut request: InferenceRequest, _caller: Caller) -> Result<InferenceRequest, ApiError> {
        let settings = Settings::read()?;
        if settings.tokens == Tokens::Refuse {
            texts::refuse_tokens(&request)?;
        }
        let mut redactor = Redactor::new(&settings);
        texts::each(&mut request, |place, text| {
            let Some(redacted) = redactor.redact(text) else {
                return Ok(());
            };
            if settings.mode == Mode::Refuse {
                return Err(refusal(&place.to_string(), &redactor));
            }
            *text = redacted;
            Ok(())
        })?;
        if !redactor.found().is_empty() {
            log::info(format!("replaced {}", redactor.found()));
        }
        Ok(request)
    }
}

register!(shaper: PiiRedaction);

/// Names the place and what kind of thing stands there, never the thing.
fn refusal(place: &str, redactor: &Redactor) -> ApiError {
    let found = redactor.found();
    log::info(format!("refused a request: {found} in {place}"));
    let message = format!(
        "`{place}` holds personal data ({found}), which this server does not pass on to the model; take it out"
    );
    ApiError::invalid(place, message).with_code("personal_data")
}
