use std::cell::RefCell;

use super::function;
use crate::Header;
use crate::function::{Body, IncomingResponse, OutgoingRequest, Url};

/// Status, headers and body.
type Response = (u16, Vec<Header>, Vec<u8>);
type Server = dyn FnMut(&OutgoingRequest) -> Result<Response, String>;

thread_local! {
    static SERVER: RefCell<Option<Box<Server>>> = const { RefCell::new(None) };
}

/// Answers what functions fetch from now on, with status, headers and body; or tells why there is no response.
pub fn set_fetch(
    server: impl FnMut(&OutgoingRequest) -> Result<(u16, Vec<Header>, Vec<u8>), String> + 'static,
) {
    SERVER.set(Some(Box::new(server)));
}

pub(crate) fn fetch(request: &OutgoingRequest, _: &Url<'_>) -> Result<IncomingResponse, String> {
    SERVER.with_borrow_mut(|server| {
        let Some(server) = server else {
            return Err("call `mock::set_fetch` first, so that somebody answers".to_owned());
        };
        let (status, headers, body) = server(request)?;
        let body = Body::new(function::Body::new([body]));
        Ok(IncomingResponse {
            status,
            headers,
            body,
        })
    })
}

pub(super) fn reset() {
    SERVER.set(None);
}
