//! Speaking to a running server's administrators' API.

pub(crate) mod deploy;
pub(crate) mod function;

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::args::admin::AdminArgs;

/// The API of one server.
pub(crate) struct AdminClient {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl AdminClient {
    pub(crate) fn new(args: &AdminArgs) -> Result<Self> {
        reqwest::Url::parse(&args.admin_url).with_context(|| {
            format!(
                "`{}` is no URL: give --admin-url like http://127.0.0.1:8001",
                args.admin_url
            )
        })?;
        let http = reqwest::Client::builder().build();
        Ok(Self {
            http: http.context("cannot make an HTTP client")?,
            url: args.admin_url.trim_end_matches('/').to_owned(),
            token: args.admin_token.clone(),
        })
    }

    /// Sends a request and returns what came, if it went well.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Response> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .body(body);
        let response = request.send().await.with_context(|| {
            let hint = "is `host serve` running with --admin-token, and is that its --admin-port?";
            format!(
                "cannot reach the administrators' API at {} ({hint})",
                self.url
            )
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let said = response.text().await.unwrap_or_default();
        let error: Option<Value> = serde_json::from_str(&said).ok();
        let message = error
            .as_ref()
            .and_then(|error| error["error"]["message"].as_str());
        bail!("{} ({status})", message.unwrap_or(&said))
    }

    /// Sends a request and reads the JSON that it is answered with.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Value> {
        let response = self.send(method, path, body).await?;
        let text = response.text().await.context("the answer broke off")?;
        serde_json::from_str(&text).context("the server's answer is no JSON")
    }
}
