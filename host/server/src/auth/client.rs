//! Somebody who showed a key.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, StatusCode};
use sandbox::{ApiError, Shaper};
use subtle::{Choice, ConstantTimeEq};

use super::ApiKey;
use crate::{
    error::{coded, refusal},
    rate_limit::RateLimits,
};

/// A key, and what is left to it.
pub(crate) struct Client {
    pub(super) key: ApiKey,
    /// The digest of the secret in hexadecimal digits.
    digest: String,
    pub(super) limits: Arc<RateLimits>,
}

impl Client {
    /// `limits` are those of the key's name, if it was there before.
    pub(super) fn new(key: ApiKey, limits: Option<Arc<RateLimits>>, now: Instant) -> Self {
        let limits = match limits {
            Some(limits) => {
                limits.change(key.rates, now);
                limits
            }
            None => Arc::new(RateLimits::new(key.rates, now)),
        };
        Self {
            digest: key.digest.hex(),
            key,
            limits,
        }
    }

    /// Whether the secret with this digest is its own, in a time that does not tell.
    pub(super) fn has_digest(&self, hex: &str) -> Choice {
        self.digest.as_bytes().ct_eq(hex.as_bytes())
    }

    /// Its key's name.
    pub(crate) fn name(&self) -> &str {
        self.key.name.as_str()
    }

    /// Counts a request, or refuses it.
    pub(crate) fn admit_request(&self) -> Result<(), ApiError> {
        self.limits.admit_request(self.name(), Instant::now())
    }

    /// Passes a request for this model, unless the key is for others or has used up its tokens.
    pub(crate) fn admit_generation(&self, model: &str) -> Result<(), ApiError> {
        if let Some(models) = &self.key.models
            && !models.contains(model)
        {
            let allowed: Vec<&str> = models.iter().map(String::as_str).collect();
            let message = format!(
                "the key `{}` is not for the model `{model}`, but for {}: ask for that, or have the operator add it to the key's `models`",
                self.name(),
                match allowed.is_empty() {
                    true => "none".into(),
                    false => allowed.join(", "),
                }
            );
            let error = ApiError {
                kind: "permission_error".into(),
                param: Some("model".into()),
                ..refusal(StatusCode::FORBIDDEN, message)
            };
            return Err(coded("model_not_allowed", error));
        }
        self.limits.admit_tokens(self.name(), Instant::now())
    }

    /// Counts tokens of a prompt or an answer.
    pub(crate) fn charge_tokens(&self, tokens: usize) {
        self.limits.charge_tokens(tokens, Instant::now());
    }

    /// Tells what is left, where something is limited.
    pub(crate) fn tell_limits(&self, headers: &mut HeaderMap) {
        self.limits.tell(headers, Instant::now());
    }

    /// The shaper with this key's settings. They were checked when they came into force; that plugins were replaced in the very
    /// moment is the one way to get here with others, and then the request fails rather than run without them.
    pub(crate) fn tailored(&self, shaper: &Shaper) -> Result<Shaper, ApiError> {
        let name = &*shaper.info().name;
        let Some(settings) = self.key.shapers.get(name) else {
            return Ok(shaper.clone());
        };
        shaper.with_settings(settings).map_err(|error| {
            let message = format!(
                "the shaper `{name}` does not take the settings of the key `{}`: {error}",
                self.name()
            );
            refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
        })
    }
}
