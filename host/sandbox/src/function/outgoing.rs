//! Requests that a guest sends: only to hosts that the operator listed.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::plugin::Loaded;

/// Longest that a guest may wait for a connection, or for bytes on it.
const DEADLINE: Duration = Duration::from_secs(60);

/// The operator's word on outgoing requests.
pub(super) struct Outgoing(pub(super) Arc<Loaded>);

type Boxed<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl Outgoing {
    fn allows(&self, uri: &http::Uri) -> bool {
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        self.0
            .hosts
            .iter()
            .any(|pattern| pattern.matches(host, port))
    }
}

impl WasiHttpHooks for Outgoing {
    /// Redirects are not followed here: the guest sends those itself, and is asked again.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Boxed<()>,
    ) -> Boxed<(http::Response<WasiBody>, Boxed<()>)> {
        if !self.allows(request.uri()) {
            tracing::warn!(
                plugin = &*self.0.info.name,
                to = request.uri().authority().map(tracing::field::display),
                "outgoing request refused: the host is not among those that the operator granted"
            );
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        let options = bounded(options.unwrap_or_default());
        Box::new(async move {
            let (response, connection) = default_send_request(request, Some(options)).await?;
            Ok((
                response.map(BodyExt::boxed_unsync),
                Box::new(connection) as Boxed<()>,
            ))
        })
    }
}

fn bounded(options: RequestOptions) -> RequestOptions {
    let least = |asked: Option<Duration>| Some(asked.map_or(DEADLINE, |asked| asked.min(DEADLINE)));
    RequestOptions {
        connect_timeout: least(options.connect_timeout),
        first_byte_timeout: least(options.first_byte_timeout),
        between_bytes_timeout: least(options.between_bytes_timeout),
    }
}
