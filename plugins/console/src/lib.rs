//! The host's own web page, as a function: a chat with the model, and what the server does.
//!
//! For people with a browser. It serves files that are part of it, at `/` and below `/console/`, and does nothing else: the page
//! itself calls `/v1` and `/metrics` like any other client. It needs no capability, and knows nothing of models, plugins or metrics.

mod assets;
mod etag;

use assets::Asset;
use plugin_sdk::function::{Function, Request, Responder};
use plugin_sdk::{ApiError, Header, register};

/// The function.
pub struct Console;

impl Function for Console {
    fn handle(request: Request, response: Responder) -> Result<(), ApiError> {
        let Some(asset) = assets::find(&request.path) else {
            let text = format!("There is no {} here; the console is at /\n", request.path);
            return response.send(404, plain(), text);
        };
        match request.method.as_str() {
            "GET" | "HEAD" if is_known(&request, asset) => response.send(304, headers(asset), ""),
            "GET" => response.send(200, typed(asset), asset.body),
            // Without a length: one that its body does not have would be a fault of the function.
            "HEAD" => response.start(200, typed(asset)).map(drop),
            method => {
                let mut headers = plain();
                headers.push(Header::new("allow", "GET, HEAD"));
                let text = format!("{} does not take {method}; use GET or HEAD\n", request.path);
                response.send(405, headers, text)
            }
        }
    }
}

/// Whether the client says that it has this very file already.
fn is_known(request: &Request, asset: &Asset) -> bool {
    let known = request.header("if-none-match");
    known.is_some_and(|known| etag::matches(known, &asset.etag()))
}

/// What every response says. No script, style or request but from and to this server; no frames around the page, no forms out
/// of it; and no text may become HTML: the page makes elements, and never parses any (`trusted-types 'none'`).
fn common() -> Vec<Header> {
    let policy = "default-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
        frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
    vec![
        Header::new("content-security-policy", policy),
        Header::new("x-content-type-options", "nosniff"),
        Header::new("referrer-policy", "no-referrer"),
    ]
}

/// What a response about a file says, whether it has the file's bytes or not. Browsers may keep them, and ask each time whether
/// they still hold: another version of the host has other files under the same names.
fn headers(asset: &Asset) -> Vec<Header> {
    let mut headers = common();
    headers.push(Header::new("etag", asset.etag()));
    headers.push(Header::new("cache-control", "no-cache"));
    headers
}

fn typed(asset: &Asset) -> Vec<Header> {
    let mut headers = headers(asset);
    headers.push(Header::new("content-type", asset.content_type));
    headers
}

fn plain() -> Vec<Header> {
    let mut headers = common();
    headers.push(Header::new("content-type", "text/plain; charset=utf-8"));
    headers
}

register!(function: Console);
