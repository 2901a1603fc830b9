//! A server to ask, and the other side of the contract: what the host does with a reply.

use openai_router::{Answer, OpenAi};
use plugin_sdk::{
    ApiError, ChoiceDelta, ChoiceFinish, ChoiceLogprobs, Conversation, Delta, Event, FinishReason,
    Header, InferenceRequest, Input, ModelCard, Outcome, PositionLogprobs, Reply, Request,
    Response, Router, ServerInfo, Task, TokenLogprob, ToolCallArguments, ToolCallStart, Usage,
};

pub(crate) fn server() -> ServerInfo {
    let card = |id: &str, root: &str| ModelCard {
        id: id.to_owned(),
        created: 1_700_000_000,
        max_model_len: 4096,
        embedding_len: Some(4),
        root: root.to_owned(),
    };
    ServerInfo {
        request_id: "r1".to_owned(),
        now: 1_800_000_000,
        models: vec![card("tiny", "/models/tiny"), card("org/large", "org/large")],
    }
}

pub(crate) fn send(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Outcome<Answer> {
    send_as(Vec::new(), method, path, body)
}

/// The same with these headers.
pub(crate) fn send_as(
    headers: Vec<Header>,
    method: &str,
    path: &str,
    body: impl Into<Vec<u8>>,
) -> Outcome<Answer> {
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: None,
        headers,
        body: body.into(),
    };
    OpenAi::parse(request, server())
}

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";
pub(crate) const RESPONSES: &str = "/v1/responses";

/// What a good request comes to.
pub(crate) fn accept(path: &str, body: impl Into<Vec<u8>>) -> (InferenceRequest, Answer) {
    match send("POST", path, body) {
        Outcome::Run(Task::Generate(request), answer) => (request, answer),
        Outcome::Run(task, _) => panic!("not a generation: {task:?}"),
        Outcome::Respond(response) => {
            panic!("refused: {}", String::from_utf8_lossy(&response.body))
        }
    }
}

/// How a bad one is answered.
pub(crate) fn respond(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Response {
    match send(method, path, body) {
        Outcome::Respond(response) => response,
        Outcome::Run(task, _) => panic!("accepted: {task:?}"),
    }
}

/// A chat body with one message and these further fields, written as JSON members.
pub(crate) fn chat(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"hi"}}]{comma}{fields}}}"#)
}

/// A completion body with one prompt and these further fields.
pub(crate) fn completion(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"tiny","prompt":"once"{comma}{fields}}}"#)
}

/// A request for a response to one text, and these further fields.
pub(crate) fn response(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"tiny","input":"hi"{comma}{fields}}}"#)
}

pub(crate) fn conversation(request: &InferenceRequest) -> &Conversation {
    match request.inputs.as_slice() {
        [Input::Chat(conversation)] => conversation,
        other => panic!("not one conversation: {other:?}"),
    }
}

/// A piece of a choice, with `completion_tokens` generated so far after a prompt of 7.
pub(crate) fn grown(choice: u32, delta: Delta, completion_tokens: u32) -> Event {
    Event::Delta(ChoiceDelta {
        choice,
        delta,
        usage_so_far: usage(completion_tokens),
    })
}

pub(crate) fn content(choice: u32, text: &str, completion_tokens: u32) -> Event {
    grown(choice, Delta::Content(text.to_owned()), completion_tokens)
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

pub(crate) fn finished(choice: u32, reason: FinishReason) -> Event {
    Event::Finished(ChoiceFinish { choice, reason })
}

/// Tokens chosen for a choice, each with its alternatives.
pub(crate) fn chosen(choice: u32, tokens: Vec<PositionLogprobs>) -> Event {
    Event::Logprobs(ChoiceLogprobs { choice, tokens })
}

/// A token of these bytes, with alternatives; probabilities as natural logarithms.
pub(crate) fn position(
    (bytes, logprob): (&[u8], f32),
    alternatives: &[(&[u8], f32)],
) -> PositionLogprobs {
    let token = |&(bytes, logprob): &(&[u8], f32)| TokenLogprob {
        id: 0,
        bytes: bytes.to_vec(),
        logprob,
    };
    PositionLogprobs {
        chosen: token(&(bytes, logprob)),
        top: alternatives.iter().map(token).collect(),
    }
}

pub(crate) fn usage(completion_tokens: u32) -> Usage {
    Usage {
        prompt_tokens: 7,
        completion_tokens,
        cached_tokens: 4,
        reasoning_tokens: 1,
    }
}

/// All that a reply returns for these batches of events and a good end.
pub(crate) fn run(mut answer: Answer, batches: Vec<Vec<Event>>, total: Usage) -> String {
    let mut out = Vec::new();
    for batch in batches {
        out.extend(answer.push(batch));
    }
    out.extend(answer.finish(total));
    String::from_utf8(out).expect("replies are text")
}

/// All that a reply returns if the request fails after these batches.
pub(crate) fn run_failing(mut answer: Answer, batches: Vec<Vec<Event>>, error: ApiError) -> String {
    let mut out = Vec::new();
    for batch in batches {
        out.extend(answer.push(batch));
    }
    out.extend(answer.fail(error));
    String::from_utf8(out).expect("replies are text")
}

pub(crate) fn header_of(answer: &Answer, name: &str) -> Option<String> {
    let headers = answer.headers();
    let header = headers.iter().find(|header| header.name == name)?;
    String::from_utf8(header.value.clone()).ok()
}

/// A transcript of chat chunks: `…` at the head of a line stands for what all chunks have alike.
pub(crate) fn transcript(object: &str, id: &str, lines: &[&str]) -> String {
    let head = format!(r#"{{"id":"{id}","object":"{object}","created":1800000000,"model":"tiny","#);
    let line = |line: &&str| format!("data: {}\n\n", line.replacen('…', &head, 1));
    lines.iter().map(line).collect()
}
