//! A server to ask, and the other side of the contract: what the host does with a reply.

use anthropic_router::{Answer, Anthropic};
use plugin_sdk::{
    ApiError, ChoiceDelta, ChoiceFinish, Conversation, Delta, Event, FinishReason,
    InferenceRequest, Input, ModelCard, Outcome, Reply, Request, Response, Router, ServerInfo,
    Task, ToolCallArguments, ToolCallStart, Usage,
};

pub(crate) fn server() -> ServerInfo {
    ServerInfo {
        request_id: "r1".to_owned(),
        now: 1_800_000_000,
        models: vec![ModelCard {
            id: "tiny".to_owned(),
            created: 1_700_000_000,
            max_model_len: 4096,
            embedding_len: Some(4),
            root: "/models/tiny".to_owned(),
        }],
    }
}

pub(crate) fn send(body: impl Into<Vec<u8>>) -> Outcome<Answer> {
    send_to("POST", "/v1/messages", body)
}

pub(crate) fn send_to(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Outcome<Answer> {
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: None,
        headers: Vec::new(),
        body: body.into(),
    };
    Anthropic::parse(request, server())
}

/// What a good request comes to.
pub(crate) fn accept(body: impl Into<Vec<u8>>) -> (InferenceRequest, Answer) {
    match send(body) {
        Outcome::Run(Task::Generate(request), answer) => (request, answer),
        Outcome::Run(task, _) => panic!("not a generation: {task:?}"),
        Outcome::Respond(response) => {
            panic!("refused: {}", String::from_utf8_lossy(&response.body))
        }
    }
}

/// How a bad one is answered.
pub(crate) fn respond(outcome: Outcome<Answer>) -> Response {
    match outcome {
        Outcome::Respond(response) => response,
        Outcome::Run(task, _) => panic!("accepted: {task:?}"),
    }
}

/// A body with one message and these further fields, written as JSON members.
pub(crate) fn ask(fields: &str) -> String {
    with_messages(r#"[{"role":"user","content":"hi"}]"#, fields)
}

pub(crate) fn with_messages(messages: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"tiny","max_tokens":64,"messages":{messages}{comma}{fields}}}"#)
}

pub(crate) fn conversation(body: impl Into<Vec<u8>>) -> Conversation {
    match accept(body).0.inputs.remove(0) {
        Input::Chat(conversation) => conversation,
        other => panic!("not a conversation: {other:?}"),
    }
}

pub(crate) const STREAM: &str = r#""stream":true"#;

/// A piece of the answer, with `completion_tokens` generated so far after a prompt of 7.
pub(crate) fn grown(delta: Delta, completion_tokens: u32) -> Event {
    Event::Delta(ChoiceDelta {
        choice: 0,
        delta,
        usage_so_far: usage(completion_tokens),
    })
}

pub(crate) fn text(text: &str) -> Delta {
    Delta::Content(text.to_owned())
}

pub(crate) fn thought(text: &str) -> Delta {
    Delta::Reasoning(text.to_owned())
}

pub(crate) fn call(index: u32, name: &str) -> Delta {
    Delta::ToolCallStart(ToolCallStart {
        index,
        name: name.to_owned(),
    })
}

pub(crate) fn arguments(index: u32, text: &str) -> Delta {
    Delta::ToolCallArguments(ToolCallArguments {
        index,
        text: text.to_owned(),
    })
}

pub(crate) fn usage(completion_tokens: u32) -> Usage {
    Usage {
        prompt_tokens: 7,
        completion_tokens,
        cached_tokens: 4,
        reasoning_tokens: 1,
    }
}

/// All that a reply returns for these deltas, one push for each, and this end.
pub(crate) fn run(mut answer: Answer, deltas: Vec<Delta>, end: FinishReason) -> String {
    let total = deltas.len() as u32;
    let mut out = Vec::new();
    for (i, delta) in deltas.into_iter().enumerate() {
        out.extend(answer.push(vec![grown(delta, i as u32 + 1)]));
    }
    out.extend(answer.push(vec![Event::Finished(ChoiceFinish {
        choice: 0,
        reason: end,
    })]));
    out.extend(answer.finish(usage(total)));
    String::from_utf8(out).expect("replies are text")
}

/// All that a reply returns if the request fails after these deltas.
pub(crate) fn run_failing(mut answer: Answer, deltas: Vec<Delta>, error: ApiError) -> String {
    let mut out = Vec::new();
    for delta in deltas {
        out.extend(answer.push(vec![grown(delta, 1)]));
    }
    out.extend(answer.fail(error));
    String::from_utf8(out).expect("replies are text")
}

/// The deltas of an answer in which the model does everything that it can.
pub(crate) fn everything() -> Vec<Delta> {
    vec![
        thought("Hm."),
        thought(" Well."),
        text("Let me "),
        text("\"look\"."),
        call(0, "weather"),
        arguments(0, r#"{"city":"#),
        arguments(0, r#""Rome"}"#),
        call(1, "time"),
        arguments(1, "{}"),
    ]
}
