//! THE request path. Every other file of this crate is a detail of one line here.

use std::{sync::Arc, time::Instant};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use sandbox::{
    ApiError, Caller, Header, InferenceRequest, Job, Outcome, PluginSet, Reply, ServerInfo, Task,
};
use tracing::{Instrument, Span};

use crate::{
    access::{AccessLine, Importance},
    app::{App, unix_seconds},
    auth::{Client, SECRET_HEADERS},
    body::{self, Body, MaxLen},
    constraint, cors, embed, error, functions,
    generating::Generating,
    health,
    prompt::{self, Around, Reader},
    reply, request_id, routes,
    sampling::SamplingPlan,
    tokenize, trace,
};

/// A request's name, the moment it came, and whose it is.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) request_id: String,
    pub(crate) at: Instant,
    /// `None` where no key is asked for, and until one was shown.
    pub(crate) client: Option<Arc<Client>>,
    /// The whole of it, for those who trace.
    pub(crate) span: Span,
}

impl Arrival {
    /// The name of the client's key.
    pub(crate) fn key_name(&self) -> Option<&str> {
        self.client.as_deref().map(Client::name)
    }

    /// Passes a request for this model, unless its key is for others or has used up its tokens.
    pub(crate) fn admit_generation(&self, model: &str) -> Result<(), ApiError> {
        match &self.client {
            Some(client) => client.admit_generation(model),
            None => Ok(()),
        }
    }

    /// Counts tokens of a prompt or an answer for whoever asked.
    pub(crate) fn charge_tokens(&self, tokens: usize) {
        if let Some(client) = &self.client {
            client.charge_tokens(tokens);
        }
    }
}

/// Answers one request, whatever it is.
pub(crate) async fn answer(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let request_id = request_id::of(request.headers());
    let arrival = Arrival {
        span: trace::request(&request, &request_id),
        request_id,
        at: Instant::now(),
        client: None,
    };
    let mut line = AccessLine::begin(&request, arrival);
    let permit = app.settings.allowed_origins.permit(request.headers());
    let at_the_edge = cors::preflight(&request).or_else(|| health::answer(&app, &request));
    let (mut response, importance) = match at_the_edge {
        Some(response) => (response, Importance::Debug),
        None => {
            let routed = route(&app, request, &mut line.arrival).await;
            let response = routed.unwrap_or_else(|error| error::response(&error));
            (response, Importance::Info)
        }
    };
    let arrival = &line.arrival;
    let id = HeaderValue::from_str(&arrival.request_id).expect("request ids are visible ASCII");
    response.headers_mut().insert(request_id::X_REQUEST_ID, id);
    if let Some(client) = &arrival.client {
        client.tell_limits(response.headers_mut());
    }
    permit.grant(response.headers_mut());
    app.metrics.answered(response.status().as_u16());
    trace::answered(&arrival.span, response.status());
    line.follow(response, importance)
}

/// From the HTTP request to the router plugin, or to a function. What fails here gets the host's own error object.
async fn route(
    app: &Arc<App>,
    request: Request<Incoming>,
    arrival: &mut Arrival,
) -> Result<Response<Body>, ApiError> {
    let current = app.plugins.current();
    let plugins = &current.plugins;
    let path = percent_encoding::percent_decode_str(request.uri().path())
        .decode_utf8_lossy()
        .into_owned();
    // The router's own paths first: a function at `/*` takes what is left.
    if !routes::know(plugins.router.routes(), &path)
        && let Some(found) = app.functions.find(&path)
    {
        return functions::answer(app, found, request, arrival).await;
    }
    let (head, body) = request.into_parts();
    arrival.client = app.settings.api_keys.check(&head.headers)?;
    if let Some(refusal) = routes::refuse(plugins.router.routes(), &head.method, &path) {
        return Ok(refusal);
    }
    if let Some(client) = &arrival.client {
        client.admit_request()?;
    }
    let max_len = MaxLen {
        bytes: app.settings.max_body_bytes,
        set_by: "this server's limit (--max-body-bytes)",
    };
    let body = body::read(body, max_len, app.settings.connections.body).await?;
    let server_info = ServerInfo {
        request_id: arrival.request_id.clone(),
        now: unix_seconds(),
        models: app.models.clone(),
    };
    let request = sandbox::Request {
        method: head.method.to_string(),
        path: path.clone(),
        query: head.uri.query().map(str::to_owned),
        headers: headers_for_guest(&head.headers),
        body: body.into(),
    };
    match plugins
        .router
        .parse(&request, &server_info)
        .instrument(trace::parse(&arrival.span))
        .await
        .map_err(|error| error::of_plugin(&error))?
    {
        Outcome::Respond(response) => Ok(respond(response)),
        Outcome::Run(job) => {
            let Job { task, reply } = *job;
            let caller = Caller {
                request_id: arrival.request_id.clone(),
                path,
                key_name: arrival.key_name().map(str::to_owned),
            };
            Ok(run(app, plugins, task, reply, &caller, arrival).await)
        }
    }
}

/// Does what the router asks for. What fails here is told in the router's words.
async fn run(
    app: &Arc<App>,
    plugins: &PluginSet,
    task: Task,
    reply: Reply,
    caller: &Caller,
    arrival: &Arrival,
) -> Response<Body> {
    let done = match task {
        Task::Generate(request) => {
            let streams = request.stream;
            return match start(app, plugins, request, caller, arrival).await {
                Ok(generating) => reply::respond(generating, reply, streams, &arrival.span).await,
                Err(error) => reply::refuse(reply, &error).await,
            };
        }
        Task::Embed(request) => embed::run(app, plugins, &request, arrival).await,
        Task::Tokenize(request) => tokenize::run(app, plugins, &request, arrival).await,
    };
    match done {
        Ok((events, usage)) => reply::whole(reply, &events, usage).await,
        Err(error) => reply::refuse(reply, &error).await,
    }
}

/// From a typed request, a router's or a function's, to sequences in the engine.
pub(crate) async fn start(
    app: &Arc<App>,
    plugins: &PluginSet,
    mut request: InferenceRequest,
    caller: &Caller,
    arrival: &Arrival,
) -> Result<Generating, ApiError> {
    arrival.admit_generation(&request.model)?;
    for shaper in &plugins.shapers {
        let shaper = match &arrival.client {
            Some(client) => client.tailored(shaper)?,
            None => shaper.clone(),
        };
        request = shaper
            .shape(&request, caller)
            .instrument(trace::shape(&arrival.span, &shaper.info().name))
            .await
            .map_err(|error| error::of_plugin(&error))??;
    }
    trace::asks_model(&arrival.span, &request);
    check_num_choices(app, &request)?;
    let model = &app.model;
    let form = match &request.sampling.constraint {
        Some(form) => Some(constraint::compile(app, form, constraint::PARAM).await?),
        None => None,
    };
    let plan = SamplingPlan::new(
        &request,
        &model.sampling_defaults,
        &model.end_tokens,
        deadline(app, arrival),
    );
    let mut generating = Generating::new(app.clone(), arrival.clone());
    let mut reader = Reader {
        app,
        plugins,
        model: &request.model,
        around: Around::AsTokenizer,
        num_samples: request.n,
        arrival,
        template: None,
    };
    for (index, input) in request.inputs.iter().enumerate() {
        let prompt = reader.read(input).await?;
        let constraint = match (&prompt.constraint, &form) {
            (Some(_), Some(_)) => return Err(two_forms()),
            (Some(of_call), None) => Some(constraint::compile(app, of_call, "tools").await?),
            (None, form) => form.as_ref().map(|form| form.fork()),
        };
        let report = match request.echo {
            true => Some(prompt::report(app, index, prompt.text, &prompt.tokens)),
            false => None,
        };
        let tokens = plan.for_prompt(
            prompt.tokens,
            prompt.param,
            constraint,
            app.engine.limits().max_sequence_len(),
        )?;
        let max_tokens = tokens.max_tokens;
        let samples = app
            .engine
            .submit(tokens, request.n as usize)
            .map_err(|error| prompt::refused(&error, prompt.param))?;
        app.metrics.choices.asked(request.n, max_tokens);
        generating.add(samples, &request.sampling, report, prompt.parsers);
    }
    generating.template = reader.template;
    Ok(generating)
}

/// When a request is given up.
pub(crate) fn deadline(app: &App, arrival: &Arrival) -> Option<Instant> {
    app.settings.request_timeout.map(|limit| arrival.at + limit)
}

fn two_forms() -> ApiError {
    let message = "a forced tool call has a form of its own: ask for the call or for another form";
    error::invalid(constraint::PARAM, message)
}

/// More choices than the server can ever hold would be told to come back later, for ever.
fn check_num_choices(app: &App, request: &InferenceRequest) -> Result<(), ApiError> {
    let limit = app.engine.max_sequences();
    let num_choices = request.inputs.len().saturating_mul(request.n as usize);
    if num_choices <= limit {
        return Ok(());
    }
    let message = format!(
        "the request asks for {num_choices} choices ({} prompts, n = {}); this server holds at most {limit} at a time: split it",
        request.inputs.len(),
        request.n
    );
    Err(error::invalid(
        if request.n > 1 { "n" } else { "prompt" },
        message,
    ))
}

/// An answer that the router made by itself.
fn respond(response: sandbox::Response) -> Response<Body> {
    let mut answer = Response::new(body::full(response.body));
    *answer.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    insert_headers(&mut answer, response.headers);
    answer
}

/// Copies a guest's headers; the sandbox has checked their number and size, and what is no header is left out.
pub(crate) fn insert_headers(response: &mut Response<Body>, headers: Vec<Header>) {
    for Header { name, value } in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value))
        {
            response.headers_mut().append(name, value);
        }
    }
}

/// Secrets stay with the host.
fn headers_for_guest(headers: &http::HeaderMap) -> Vec<Header> {
    let shown = headers
        .iter()
        .filter(|(name, _)| !SECRET_HEADERS.contains(name));
    shown
        .map(|(name, value)| Header {
            name: name.to_string(),
            value: value.as_bytes().to_vec(),
        })
        .collect()
}
