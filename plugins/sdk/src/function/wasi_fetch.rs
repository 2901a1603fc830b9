//! Outgoing requests over wasi:http 0.2.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    FutureIncomingResponse, IncomingResponse as WasiResponse, Method, OutgoingBody,
    OutgoingRequest as WasiRequest, Scheme,
};

use super::fetch::{IncomingResponse, OutgoingRequest, Url};
use super::{Body, wasi};
use crate::Header;

pub(super) fn fetch(request: &OutgoingRequest, url: &Url<'_>) -> Result<IncomingResponse, String> {
    let refused = |part: &str| format!("its {part} is not one that HTTP allows");
    let mut headers = request.headers.clone();
    if !request.body.is_empty() {
        headers.push(Header::new(
            "content-length",
            request.body.len().to_string(),
        ));
    }
    let outgoing = WasiRequest::new(wasi::fields(&headers).map_err(|error| error.message)?);
    let scheme = if url.https {
        Scheme::Https
    } else {
        Scheme::Http
    };
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| refused("method"))?;
    outgoing
        .set_scheme(Some(&scheme))
        .map_err(|()| refused("scheme"))?;
    outgoing
        .set_authority(Some(url.authority))
        .map_err(|()| refused("host"))?;
    outgoing
        .set_path_with_query(Some(&url.target))
        .map_err(|()| refused("path"))?;
    let body = outgoing.body();
    let body = body.expect("nobody else has taken the body of a request that was just made");

    // Sent before its body is written: the host takes the body as the server reads it.
    let pending = outgoing_handler::handle(outgoing, None).map_err(|code| format!("{code:?}"))?;
    // A server may answer without reading the whole body; only its answer tells whether that was a failure.
    let _ = send_body(body, &request.body);
    let response = wait(&pending)?;
    let body = response.consume();
    let body = body.expect("nobody else has taken the body of a response that has just come");
    Ok(IncomingResponse {
        status: response.status(),
        headers: wasi::headers(&response.headers()),
        body: Body::new(wasi::Body::new(body)),
    })
}

fn send_body(body: OutgoingBody, bytes: &[u8]) -> std::io::Result<()> {
    let mut sink = wasi::Sink::new(body);
    sink.write(bytes)?;
    sink.finish()
}

fn wait(pending: &FutureIncomingResponse) -> Result<WasiResponse, String> {
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("the host gave no response".to_owned()),
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}
