//! Checks of what guests return. Total sizes are already bounded by `Limits::max_output_bytes` while values are copied
//! out of the guest; here their content is. A value that would mislead a client is mended where that is harmless;
//! otherwise the plugin broke its contract, which fails the request.

use crate::bindings::routing::{Response, Route, Task};
use crate::bindings::types::{
    ApiError, Delta, EmbeddingRequest, Header, InferenceRequest, Input, Sampling,
};
use crate::limits::Limits;

const MESSAGE_BYTES: usize = 4 << 10;
const WORD_BYTES: usize = 256;
const RETRY_AFTER_MS: u32 = 3_600_000;
const MAX_ROUTES: usize = 256;
const MAX_LOGPROBS: u32 = 20;
const MAX_CACHE_SALT_BYTES: usize = 256;

/// Headers that the host writes itself, or that would change how the bytes are framed.
const HOST_HEADERS: [&str; 5] = [
    "content-length",
    "connection",
    "transfer-encoding",
    "keep-alive",
    "upgrade",
];

/// A guest's request that its own contract forbids, told to the guest.
pub(crate) fn refusal(message: String) -> ApiError {
    ApiError {
        status: 400,
        kind: "invalid_request_error".into(),
        message,
        param: None,
        code: None,
        retry_after_ms: None,
    }
}

/// Mends an error: a status that is none becomes 500, texts are cut, and nobody is sent away for more than an hour.
pub(crate) fn api_error(mut error: ApiError) -> ApiError {
    if !(400..=599).contains(&error.status) {
        error.status = 500;
    }
    cut(&mut error.message, MESSAGE_BYTES);
    cut(&mut error.kind, WORD_BYTES);
    error
        .param
        .iter_mut()
        .chain(&mut error.code)
        .for_each(|word| cut(word, WORD_BYTES));
    error.retry_after_ms = error.retry_after_ms.map(|ms| ms.min(RETRY_AFTER_MS));
    error
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
}

/// Drops the host's own headers; refuses too many, too large and malformed ones.
pub(crate) fn headers(mut headers: Vec<Header>, limits: &Limits) -> Result<Vec<Header>, String> {
    headers.retain(|header| !HOST_HEADERS.contains(&header.name.as_str()));
    if headers.len() > limits.max_headers {
        return Err(format!(
            "it returned {} headers; `max_headers` is {}",
            headers.len(),
            limits.max_headers
        ));
    }
    let bytes: usize = headers
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum();
    if bytes > limits.max_header_bytes {
        return Err(format!(
            "it returned {bytes} bytes of headers; `max_header_bytes` is {}",
            limits.max_header_bytes
        ));
    }
    match headers
        .iter()
        .find(|header| !is_header_name(&header.name) || !is_header_value(&header.value))
    {
        Some(bad) => Err(format!(
            "header {:?} is not HTTP: names are lower-case tokens, values are one line",
            bad.name
        )),
        None => Ok(headers),
    }
}

fn is_header_name(name: &str) -> bool {
    let token =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

fn is_header_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

/// Checks status and headers.
pub(crate) fn response(mut response: Response, limits: &Limits) -> Result<Response, String> {
    if !(200..=599).contains(&response.status) {
        return Err(format!(
            "it returned status {}; responses have 200 to 599",
            response.status
        ));
    }
    response.headers = headers(response.headers, limits)?;
    Ok(response)
}

/// A path without the `*` that its last segment may be.
fn segments_of(path: &str) -> &str {
    path.strip_suffix("/*").unwrap_or(path)
}

/// Checks that a router's paths can be served.
pub(crate) fn routes(routes: Vec<Route>) -> Result<Vec<Route>, String> {
    if routes.is_empty() {
        return Err("it names no route".into());
    }
    if routes.len() > MAX_ROUTES {
        return Err(format!(
            "it has {} routes; at most {MAX_ROUTES} are taken",
            routes.len()
        ));
    }
    let sane = |route: &Route| {
        let method =
            !route.method.is_empty() && route.method.bytes().all(|b| b.is_ascii_uppercase());
        method && route.path.starts_with('/') && !segments_of(&route.path).contains('*')
    };
    match routes.iter().find(|route| !sane(route)) {
        Some(bad) => Err(format!(
            "route {:?} {:?} is none: methods are upper-case words, paths begin with `/` and may end in `/*`",
            bad.method, bad.path
        )),
        None => Ok(routes),
    }
}

/// Checks what a router wants done.
pub(crate) fn task(task: Task) -> Result<Task, String> {
    Ok(match task {
        Task::Generate(asked) => Task::Generate(request(asked)?),
        Task::Embed(asked) => Task::Embed(embedding_request(asked)?),
        Task::Tokenize(asked) => {
            check_inputs(&asked.inputs)?;
            Task::Tokenize(asked)
        }
    })
}

/// Checks the ranges that the WIT package states. Token ids and lengths are the engine's to check: it knows the model.
pub(crate) fn request(request: InferenceRequest) -> Result<InferenceRequest, String> {
    check_inputs(&request.inputs)?;
    if request.n == 0 {
        return Err("a request needs n of at least 1".into());
    }
    check_salt(request.cache_salt.as_deref())?;
    match out_of_range(&request.sampling) {
        Some((field, range)) => Err(format!("`sampling.{field}` must be {range}")),
        None => Ok(request),
    }
}

/// As [`request`].
pub(crate) fn embedding_request(request: EmbeddingRequest) -> Result<EmbeddingRequest, String> {
    check_inputs(&request.inputs)?;
    check_salt(request.cache_salt.as_deref())?;
    Ok(request)
}

fn check_inputs(inputs: &[Input]) -> Result<(), String> {
    if inputs.is_empty() {
        return Err("a request needs at least one input".into());
    }
    let empty_chat = |input: &Input| matches!(input, Input::Chat(chat) if chat.messages.is_empty());
    match inputs.iter().any(empty_chat) {
        true => Err("a conversation needs at least one message".into()),
        false => Ok(()),
    }
}

fn check_salt(salt: Option<&str>) -> Result<(), String> {
    match salt {
        Some(salt) if salt.len() > MAX_CACHE_SALT_BYTES => Err(format!(
            "`cache-salt` must have at most {MAX_CACHE_SALT_BYTES} bytes"
        )),
        _ => Ok(()),
    }
}

/// The first sampling field outside its range, and that range. NaN is outside every range.
fn out_of_range(sampling: &Sampling) -> Option<(&'static str, &'static str)> {
    let ok = |value: Option<f32>, test: fn(f32) -> bool| value.is_none_or(test);
    let within_2 = |x: f32| (-2.0..=2.0).contains(&x);
    let checks = [
        (
            ok(sampling.temperature, |x| (0.0..=2.0).contains(&x)),
            "temperature",
            "from 0 to 2",
        ),
        (
            ok(sampling.top_p, |x| x > 0.0 && x <= 1.0),
            "top-p",
            "above 0, to 1",
        ),
        (
            ok(sampling.min_p, |x| (0.0..=1.0).contains(&x)),
            "min-p",
            "from 0 to 1",
        ),
        (
            ok(sampling.repetition_penalty, |x| x > 0.0 && x.is_finite()),
            "repetition-penalty",
            "above 0",
        ),
        (
            ok(sampling.presence_penalty, within_2),
            "presence-penalty",
            "from -2 to 2",
        ),
        (
            ok(sampling.frequency_penalty, within_2),
            "frequency-penalty",
            "from -2 to 2",
        ),
        (
            sampling
                .logit_bias
                .iter()
                .all(|(_, x)| (-100.0..=100.0).contains(x)),
            "logit-bias",
            "from -100 to 100",
        ),
        (
            sampling.logprobs.is_none_or(|len| len <= MAX_LOGPROBS),
            "logprobs",
            "from 0 to 20",
        ),
    ];
    checks
        .into_iter()
        .find_map(|(ok, field, range)| (!ok).then_some((field, range)))
}

/// Checks that tool calls are numbered from 0 without gaps, and that arguments belong to one that has begun: routers
/// count on it. `num_tool_calls` is how many have begun in the choice.
pub(crate) fn deltas(deltas: Vec<Delta>, num_tool_calls: &mut u32) -> Result<Vec<Delta>, String> {
    for delta in &deltas {
        match delta {
            Delta::Content(_) | Delta::Reasoning(_) => {}
            Delta::ToolCallStart(start) if start.index == *num_tool_calls => *num_tool_calls += 1,
            Delta::ToolCallStart(start) => {
                return Err(format!(
                    "it began tool call {} where {num_tool_calls} is next",
                    start.index
                ));
            }
            Delta::ToolCallArguments(more) if more.index < *num_tool_calls => {}
            Delta::ToolCallArguments(more) => {
                return Err(format!(
                    "it gave arguments of tool call {}, which has not begun",
                    more.index
                ));
            }
        }
    }
    Ok(deltas)
}

#[cfg(test)]
mod tests;
