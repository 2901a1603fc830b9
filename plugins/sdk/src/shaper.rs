//! The role of a shaper: policy between the client and the engine.

use std::marker::PhantomData;

use crate::bindings::shaper::exports::lm::plugin::shaping as wit;
use crate::{ApiError, Caller, InferenceRequest};

/// Changes or refuses requests. The host makes a fresh instance for every request, so nothing outlives one.
pub trait Shaper {
    /// The request as it is to be run: unchanged, changed, or refused. Shapers run in the operator's order, each seeing
    /// what the one before returned.
    fn shape(request: InferenceRequest, caller: Caller) -> Result<InferenceRequest, ApiError>;
}

/// Carries a [`Shaper`] across the component's border. Named by `register!` alone.
#[doc(hidden)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Shaper> wit::Guest for Exported<P> {
    fn shape(request: InferenceRequest, caller: Caller) -> Result<InferenceRequest, ApiError> {
        P::shape(request, caller)
    }
}
