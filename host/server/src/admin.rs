//! The administrators' API, on a listener of its own and behind a token: functions, plugins, logs.

mod functions;
mod logs;
mod plugins;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use sandbox::{ApiError, PluginSet};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    app::App,
    auth::ApiKeys,
    body::{Body, MaxLen, full},
    error::{self, refusal},
    functions::ChangeError,
    listen::{self, Terms},
};

/// Largest component that can be uploaded.
const MAX_COMPONENT: MaxLen = MaxLen {
    bytes: 64 << 20,
    set_by: "the most that a component may have",
};

/// Largest order.
const MAX_ORDER: MaxLen = MaxLen {
    bytes: 1 << 20,
    set_by: "the most that an order may have",
};

/// Loads the plugins of the operator's file anew; the error says what is wrong with them.
pub type LoadPlugins = Box<dyn Fn() -> BoxFuture<'static, Result<PluginSet, String>> + Send + Sync>;

/// The administrators' side of a server.
pub struct Admin {
    app: Arc<App>,
    token: ApiKeys,
    load_plugins: LoadPlugins,
}

impl Admin {
    /// Lets whoever shows the token administrate this server.
    ///
    /// # Panics
    /// If the token is empty, which would let everyone in; the caller has checked.
    pub fn new(app: Arc<App>, token: String, load_plugins: LoadPlugins) -> Self {
        assert!(!token.is_empty(), "an administrator needs a token");
        Self {
            app,
            token: ApiKeys::new([token]),
            load_plugins,
        }
    }

    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener) {
        let this = Arc::new(self);
        let answer = move |request| {
            let this = this.clone();
            async move { this.answer(request).await }
        };
        let terms = Terms::default();
        listen::accept(listener.into(), terms, answer, std::future::pending()).await;
    }

    /// Loads the plugins of the operator's file anew and lets them serve; the number of the new set.
    pub(crate) async fn reload(&self) -> Result<u64, String> {
        let plugins = (self.load_plugins)().await?;
        self.app.swap_plugins(plugins)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = match self.token.check(request.headers()) {
            Ok(_) => self.route(request).await,
            Err(refused) => Err(ApiError {
                message: "no valid administrators' token: give what this server was started with (--admin-token, \
                          HOST_ADMIN_TOKEN) as `Authorization: Bearer TOKEN`"
                    .into(),
                ..refused
            }),
        };
        answered.unwrap_or_else(|error| error::response(&error))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let app = &self.app;
        match (&head.method, &segments[..]) {
            (&Method::GET, ["v1", "functions"]) => functions::list(app).await,
            (&Method::GET, ["v1", "functions", name]) => functions::inspect(app, name).await,
            (&Method::PUT, ["v1", "components", digest]) => {
                functions::upload(app, digest, body).await
            }
            (&Method::POST, ["v1", "functions", name, "versions"]) => {
                functions::deploy(app, name, body).await
            }
            (&Method::POST, ["v1", "functions", name, "promote"]) => {
                functions::promote(app, name).await
            }
            (&Method::POST, ["v1", "functions", name, "rollback"]) => {
                functions::rollback(app, name).await
            }
            (&Method::DELETE, ["v1", "functions", name]) => functions::remove(app, name).await,
            (&Method::GET, ["v1", "plugins"]) => Ok(plugins::list(app)),
            (&Method::POST, ["v1", "plugins", "reload"]) => plugins::reload(self).await,
            (&Method::GET, ["v1", "logs", name]) => logs::read(app, name, head.uri.query()),
            _ => {
                let message = format!("the administrators' API has no {} {path}", head.method);
                Err(refusal(StatusCode::NOT_FOUND, message))
            }
        }
    }
}

/// A JSON answer.
fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(full(format!("{value}\n")));
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What an administrator is told of a change that was refused or failed.
fn told(error: &ChangeError) -> ApiError {
    use deploy::DeployError as Refused;
    let status = match error {
        ChangeError::OtherDigest { .. } => StatusCode::BAD_REQUEST,
        ChangeError::NoComponent(_) | ChangeError::Refused(Refused::UnknownFunction { .. }) => {
            StatusCode::NOT_FOUND
        }
        ChangeError::Refused(Refused::Name(_) | Refused::Route(_) | Refused::Percent(_)) => {
            StatusCode::BAD_REQUEST
        }
        ChangeError::NoStore | ChangeError::NameOfPlugin(_) | ChangeError::Refused(_) => {
            StatusCode::CONFLICT
        }
        ChangeError::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ChangeError::Store(error) if error.is_quota() => StatusCode::INSUFFICIENT_STORAGE,
        ChangeError::Store(_) | ChangeError::Stopped(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut message = error.to_string();
    if let ChangeError::Unfit(fault) = error
        && let Some(backtrace) = &fault.backtrace
    {
        message = format!("{message}\n{backtrace}");
    }
    refusal(status, message)
}
