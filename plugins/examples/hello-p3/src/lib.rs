//! The trivial function over wasi:http 0.3: answers `Hello.`, or, where the path ends in `/echo`, sends the request's body back
//! as it comes.
//!
//! For the host's tests of that path. Without the SDK, whose functions speak 0.2; on native targets it is empty.
#![cfg(target_arch = "wasm32")]

use wasip3::http::types::{ErrorCode, Fields, HeaderError, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        headers
            .append("content-type", b"text/plain; charset=utf-8")
            .map_err(refused)?;
        let path = request.get_path_with_query().unwrap_or_default();
        let is_echo = path
            .split('?')
            .next()
            .is_some_and(|path| path.ends_with("/echo"));
        let response = if is_echo {
            echo(request, headers)
        } else {
            whole(headers, b"Hello.\n")?
        };
        Ok(response)
    }
}

/// A response whose body is known.
fn whole(headers: Fields, body: &'static [u8]) -> Result<Response, ErrorCode> {
    headers
        .append("content-length", body.len().to_string().as_bytes())
        .map_err(refused)?;
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    // The body is read once the response has been returned.
    spawn_local(async move {
        writer.write_all(body.to_vec()).await;
    });
    Ok(response)
}

/// A response whose body and trailers are the request's own: the host passes them on without this instance.
fn echo(request: Request, headers: Fields) -> Response {
    let (_, received) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, received);
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    response
}

fn refused(error: HeaderError) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("a header was refused: {error:?}")))
}

wasip3::http::service::export!(Hello);
