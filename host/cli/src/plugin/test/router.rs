//! Routers: an HTTP request and what happens after it, to the bytes that the client reads.

use sandbox::{Job, Loader, Outcome, Phase, PluginError, PluginSpec, Request, Router};
use serde::Deserialize;
use serde_json::json;

use super::{
    records::{ApiError, Bytes, Event, Header, MODEL, Task, Twin, Usage, snapshot},
    subject::{Seen, Subject, Torture},
    timings::Timings,
    torture,
};

/// `input.json` of a router.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Input {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<Header>,
    pub(super) body: Bytes,
    /// What happens if the request is to be run, pushed one by one.
    pub(super) events: Vec<Event>,
    pub(super) usage: Usage,
    /// Where the engine fails after the events; else everything is done.
    pub(super) failure: Option<ApiError>,
}

impl Default for Input {
    fn default() -> Self {
        Input {
            method: "POST".into(),
            path: "/".into(),
            query: None,
            headers: Vec::new(),
            body: Bytes::default(),
            events: vec![
                Event::content("It "),
                Event::content("rains."),
                Event::stopped(),
            ],
            usage: Usage {
                prompt_tokens: 3,
                completion_tokens: 2,
                ..Usage::default()
            },
            failure: None,
        }
    }
}

impl Subject for Router {
    type Input = Input;

    async fn load(loader: &Loader, spec: PluginSpec, wasm: Vec<u8>) -> Result<Self, PluginError> {
        loader.load_router(spec, wasm).await
    }

    async fn call(&self, input: Input, timings: &mut Timings) -> Result<Seen, PluginError> {
        let request = Request {
            method: input.method,
            path: input.path,
            query: input.query,
            headers: input.headers.into_host(),
            body: input.body.into_host(),
        };
        let server = server();
        match timings
            .time(Phase::Parse, self.parse(&request, &server))
            .await?
        {
            Outcome::Respond(response) => Ok(Seen {
                summary: format!("answered with {}", response.status),
                snapshot: json!({"response": {
                    "status": response.status,
                    "headers": snapshot(&Vec::<Header>::of(response.headers)),
                    "body": snapshot(&Bytes::of(response.body)),
                }}),
            }),
            Outcome::Run(job) => {
                reply(*job, input.events, input.usage, input.failure, timings).await
            }
        }
    }

    fn torture(&self, cases: &[Input]) -> Vec<Torture<Input>> {
        torture::router::inputs(self.routes(), cases)
    }
}

/// What the client reads of an answer.
async fn reply(
    job: Job,
    events: Vec<Event>,
    usage: Usage,
    failure: Option<ApiError>,
    timings: &mut Timings,
) -> Result<Seen, PluginError> {
    let Job { task, mut reply } = job;
    let headers = timings.time(Phase::ReplyHeaders, reply.headers()).await?;
    let mut pushed = Vec::with_capacity(events.len());
    for event in events {
        let event = [event.into_host()];
        let bytes = timings.time(Phase::ReplyPush, reply.push(&event)).await?;
        pushed.push(Bytes::of(bytes));
    }
    let (how, last) = match failure {
        None => {
            let last = timings.time(Phase::ReplyFinish, reply.finish(usage.into_host()));
            ("finished", last.await?)
        }
        Some(failure) => {
            let failure = failure.into_host();
            let last = timings.time(Phase::ReplyFail, reply.fail(&failure));
            ("failed", last.await?)
        }
    };
    Ok(Seen {
        summary: format!("to be run, reply {how}"),
        snapshot: json!({
            "task": snapshot(&Task::of(task)),
            "reply": {
                "headers": snapshot(&Vec::<Header>::of(headers)),
                "pushed": snapshot(&pushed),
                how: snapshot(&Bytes::of(last)),
            },
        }),
    })
}

/// What the router knows of the server.
fn server() -> sandbox::ServerInfo {
    sandbox::ServerInfo {
        request_id: "case".into(),
        now: 1_700_000_000,
        models: vec![sandbox::ModelCard {
            id: MODEL.into(),
            created: 1_700_000_000,
            max_model_len: 32_768,
            embedding_len: Some(4),
            root: MODEL.into(),
        }],
    }
}
