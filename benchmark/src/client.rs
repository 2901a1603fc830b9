//! One request over HTTP, measured.

use std::time::{Duration, Instant};

use reqwest::{
    Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    args::BenchmarkArgs,
    chunk::{Chunk, error_text},
    error::{Error, Failure, chain, one_line},
    measurement::{Measurement, Stopwatch},
    sse::SseParser,
};

/// How long the end of a body may take after `[DONE]`; past that the connection is given up.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Connections to the server that is measured.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    models_url: String,
    generate_url: String,
    timeout: Duration,
}

impl Client {
    pub(crate) fn new(args: &BenchmarkArgs) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        if let Some(key) = args.api_key.as_deref().filter(|key| !key.is_empty()) {
            let mut value =
                HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| Error::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .build()
            .map_err(Error::Client)?;
        let base = args.base_url.as_str().trim_end_matches('/');
        Ok(Client {
            http,
            models_url: format!("{base}/models"),
            generate_url: format!("{base}/{}", args.endpoint.path()),
            timeout: args.timeout,
        })
    }

    /// The id of the first model that the server lists.
    pub(crate) async fn first_model(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Models {
            data: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            id: String,
        }
        let failed = |reason: String| Error::Models {
            url: self.models_url.clone(),
            reason,
        };
        let ask = async {
            let response = self.http.get(&self.models_url).send().await?;
            if !response.status().is_success() {
                return Err(refused(response).await);
            }
            Ok(response.bytes().await?)
        };
        let body = match tokio::time::timeout(self.timeout, ask).await {
            Ok(answer) => answer.map_err(|failure| failed(failure.to_string()))?,
            Err(_) => return Err(failed(Failure::Timeout(self.timeout).to_string())),
        };
        let models: Models = serde_json::from_slice(&body)
            .map_err(|error| failed(format!("the answer is no list of models: {error}")))?;
        match models.data.into_iter().next() {
            Some(model) => Ok(model.id),
            None => Err(failed("the list is empty".into())),
        }
    }

    /// Sends one body and reads its stream to the end.
    pub(crate) async fn generate(&self, body: Vec<u8>) -> Result<Measurement, Failure> {
        let (measurement, rest) = tokio::time::timeout(self.timeout, self.stream(body))
            .await
            .map_err(|_| Failure::Timeout(self.timeout))??;
        drain(rest).await;
        Ok(measurement)
    }

    async fn stream(&self, body: Vec<u8>) -> Result<(Measurement, Response), Failure> {
        let request = self
            .http
            .post(&self.generate_url)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let sent = Instant::now();
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let mut parser = SseParser::default();
        let mut stopwatch = Stopwatch::start(sent);
        while let Some(bytes) = response.chunk().await? {
            // Taken once per read: what arrived together has the same time, however long parsing takes.
            let now = Instant::now();
            for data in parser.push(&bytes) {
                if data == b"[DONE]" {
                    return Ok((stopwatch.stop(now), response));
                }
                stopwatch.record(now, Chunk::parse(&data)?);
            }
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        Err(Failure::Truncated {
            content_type: content_type.map_or("absent".into(), |value| {
                one_line(&String::from_utf8_lossy(value.as_bytes()))
            }),
        })
    }
}

/// Reads what follows `[DONE]`, normally only the end of the body: a connection is used again only after that, and
/// setting up a new one for each request would be measured as the server's latency.
async fn drain(mut response: Response) {
    let to_the_end = async { while let Ok(Some(_)) = response.chunk().await {} };
    // An endless body costs its connection, nothing more.
    let _ = tokio::time::timeout(DRAIN_LIMIT, to_the_end).await;
}

/// What a refusal says, from OpenAI's error object if the body is one.
async fn refused(response: Response) -> Failure {
    let status = response.status().as_u16();
    let message = match response.bytes().await {
        Ok(body) => serde_json::from_slice::<Value>(&body)
            .map(|json| error_text(json.get("error").unwrap_or(&json)))
            .unwrap_or_else(|_| one_line(&String::from_utf8_lossy(&body))),
        Err(error) => chain(&error.without_url()),
    };
    Failure::Status { status, message }
}
