//! The role of a function: a user's own HTTP handler, which may call the model.
//!
//! ```
//! use plugin_sdk::function::{Function, Request, Responder};
//! use plugin_sdk::{ApiError, Header, mock, register};
//!
//! struct Greeter;
//!
//! impl Function for Greeter {
//!     fn handle(request: Request, response: Responder) -> Result<(), ApiError> {
//!         let greeting = format!("This is {}.\n", request.path);
//!         response.send(200, vec![Header::new("content-type", "text/plain")], greeting)
//!     }
//! }
//!
//! register!(function: Greeter);
//!
//! let answer = mock::call::<Greeter>(mock::Request::get("/fn/greeter"));
//! assert_eq!(answer.status, 200);
//! assert_eq!(answer.text(), "This is /fn/greeter.\n");
//! ```

mod exchange;
mod failure;
mod fetch;
mod request;
mod response;
#[cfg(target_arch = "wasm32")]
mod wasi;
#[cfg(target_arch = "wasm32")]
mod wasi_fetch;

pub(crate) use exchange::run;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use fetch::Url;
pub use fetch::{IncomingResponse, OutgoingRequest, fetch};
pub use request::{Body, Request};
pub use response::{BodyWriter, Responder};

use crate::ApiError;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock::function as border;
#[cfg(target_arch = "wasm32")]
use wasi as border;

/// Answers HTTP requests. The host makes a fresh instance for every request, so nothing outlives one but what is in
/// [`key_value`](crate::key_value).
pub trait Function {
    /// Answers one request.
    ///
    /// An error before the head of the response was sent becomes a JSON response of the shape of OpenAI's errors, with the
    /// error's status. An error after that ends the body abnormally: the client sees that the response is not whole.
    fn handle(request: Request, response: Responder) -> Result<(), ApiError>;
}

/// Carries a [`Function`] across the component's border. Named by `register!` alone.
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub struct Exported<F>(std::marker::PhantomData<F>);

#[cfg(target_arch = "wasm32")]
impl<F: Function> wasip2::exports::http::incoming_handler::Guest for Exported<F> {
    fn handle(
        request: wasip2::http::types::IncomingRequest,
        answer: wasip2::http::types::ResponseOutparam,
    ) {
        run::<F>(wasi::request(&request), border::Answer::new(answer));
    }
}
