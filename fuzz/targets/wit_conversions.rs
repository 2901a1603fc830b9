//! Any value that a guest may return: the host takes it, and then it is what the contract says, or says what is wrong with it.

#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use sandbox::{
    ApiError, Conversation, Delta, Header, InferenceRequest, Input, Limits, Message, Response,
    Route, Sampling, ToolCallArguments, ToolCallStart, ToolChoice, fuzzing,
};

#[derive(Arbitrary, Debug)]
enum Returned {
    Request(Request),
    Error(
        u16,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<u32>,
    ),
    Response(u16, Vec<(HeaderText, Vec<u8>)>),
    Routes(Vec<(String, String)>),
    Deltas(Vec<Vec<Piece>>),
}

#[derive(Arbitrary, Debug)]
struct Request {
    inputs: Vec<Prompt>,
    n: u32,
    numbers: [Option<f32>; 6],
    logit_bias: Vec<(u32, f32)>,
    logprobs: Option<u32>,
    cache_salt: Option<String>,
}

#[derive(Arbitrary, Debug)]
enum Prompt {
    Chat(Vec<String>),
    Text(String),
    Tokens(Vec<u32>),
}

#[derive(Arbitrary, Debug)]
enum HeaderText {
    ContentLength,
    TransferEncoding,
    Connection,
    Any(String),
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Content(String),
    Start(u8),
    Arguments(u8),
}

fuzz_target!(|returned: Returned| {
    match returned {
        Returned::Request(request) => {
            if let Ok(request) = refused_with_words(fuzzing::request(inference_request(request))) {
                assert_in_range(&request);
            }
        }
        Returned::Error(status, kind, message, param, code, retry_after_ms) => {
            let error = fuzzing::api_error(ApiError {
                status,
                kind,
                message,
                param,
                code,
                retry_after_ms,
            });
            assert!((400..=599).contains(&error.status));
            let is_short = |text: &String, most: usize| text.len() <= most + '…'.len_utf8();
            let words = error.param.iter().chain(&error.code).chain([&error.kind]);
            assert!(
                is_short(&error.message, 4096) && words.into_iter().all(|word| is_short(word, 256))
            );
            assert!(error.retry_after_ms.is_none_or(|ms| ms <= 3_600_000));
        }
        Returned::Response(status, headers) => {
            let header = |(name, value): (HeaderText, _)| Header {
                name: header_name(name),
                value,
            };
            let headers = headers.into_iter().map(header).collect();
            let response = Response {
                status,
                headers,
                body: Vec::new(),
            };
            if let Ok(response) =
                refused_with_words(fuzzing::response(response, &Limits::default()))
            {
                StatusCode::from_u16(response.status).expect("HTTP has this status");
                for header in &response.headers {
                    HeaderName::from_bytes(header.name.as_bytes()).expect("HTTP has this name");
                    HeaderValue::from_bytes(&header.value).expect("HTTP has this value");
                    assert!(
                        !["content-length", "connection", "transfer-encoding"]
                            .contains(&header.name.as_str())
                    );
                }
            }
        }
        Returned::Routes(routes) => {
            let route = |(method, path)| Route { method, path };
            let routes = routes.into_iter().map(route).collect();
            if let Ok(routes) = refused_with_words(fuzzing::routes(routes)) {
                assert!((1..=256).contains(&routes.len()));
                for route in &routes {
                    http::Method::from_bytes(route.method.as_bytes())
                        .expect("HTTP has this method");
                    let fixed = route.path.strip_suffix("/*").unwrap_or(&route.path);
                    assert!(
                        route.path.starts_with('/') && !fixed.contains('*'),
                        "{route:?}"
                    );
                }
            }
        }
        Returned::Deltas(batches) => check_deltas(batches),
    }
});

fn refused_with_words<T>(checked: Result<T, String>) -> Result<T, ()> {
    checked.map_err(|why| assert!(!why.is_empty()))
}

/// Counts along with the host: it must take a batch exactly if calls begin in order and only those get arguments.
fn check_deltas(batches: Vec<Vec<Piece>>) {
    let (mut num_calls, mut counted) = (0, 0);
    for batch in batches {
        let mut is_fine = true;
        for piece in &batch {
            match piece {
                Piece::Content(_) => {}
                Piece::Start(index) if u32::from(*index) == counted && is_fine => counted += 1,
                Piece::Arguments(index) if u32::from(*index) < counted => {}
                Piece::Start(_) | Piece::Arguments(_) => is_fine = false,
            }
        }
        let deltas: Vec<Delta> = batch.into_iter().map(delta).collect();
        match fuzzing::deltas(deltas.clone(), &mut num_calls) {
            Ok(taken) => assert!(is_fine && taken == deltas && num_calls == counted),
            Err(why) => return assert!(!is_fine && !why.is_empty()),
        }
    }
}

/// By the contract, `types.wit`.
fn assert_in_range(request: &InferenceRequest) {
    let sampling = &request.sampling;
    let within = |value: Option<f32>, least: f32, most: f32| {
        value.is_none_or(|value| value >= least && value <= most)
    };
    assert!(!request.inputs.is_empty() && request.n >= 1);
    assert!(within(sampling.temperature, 0.0, 2.0) && within(sampling.min_p, 0.0, 1.0));
    assert!(within(sampling.top_p, f32::from_bits(1), 1.0));
    assert!(within(
        sampling.repetition_penalty,
        f32::from_bits(1),
        f32::MAX
    ));
    assert!(
        within(sampling.presence_penalty, -2.0, 2.0)
            && within(sampling.frequency_penalty, -2.0, 2.0)
    );
    assert!(
        sampling
            .logit_bias
            .iter()
            .all(|&(_, bias)| within(Some(bias), -100.0, 100.0))
    );
    assert!(sampling.logprobs.is_none_or(|len| len <= 20));
    assert!(
        request
            .cache_salt
            .as_ref()
            .is_none_or(|salt| salt.len() <= 256)
    );
    let is_empty_chat =
        |input: &Input| matches!(input, Input::Chat(chat) if chat.messages.is_empty());
    assert!(!request.inputs.iter().any(is_empty_chat));
}

fn inference_request(request: Request) -> InferenceRequest {
    let [
        temperature,
        top_p,
        min_p,
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
    ] = request.numbers;
    InferenceRequest {
        model: String::new(),
        inputs: request.inputs.into_iter().map(input).collect(),
        n: request.n,
        sampling: Sampling {
            max_tokens: None,
            min_tokens: 0,
            temperature,
            top_p,
            top_k: None,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            logit_bias: request.logit_bias,
            seed: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            logprobs: request.logprobs,
            constraint: None,
        },
        stream: false,
        echo: false,
        priority: 0,
        cache_salt: request.cache_salt,
    }
}

fn input(prompt: Prompt) -> Input {
    let message = |content| Message {
        role: "user".to_owned(),
        content: Some(content),
        reasoning: None,
        name: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    match prompt {
        Prompt::Text(text) => Input::Text(text),
        Prompt::Tokens(tokens) => Input::Tokens(tokens),
        Prompt::Chat(contents) => Input::Chat(Conversation {
            messages: contents.into_iter().map(message).collect(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            add_generation_prompt: true,
            continue_final_message: false,
            template_variables: None,
        }),
    }
}

fn header_name(name: HeaderText) -> String {
    match name {
        HeaderText::ContentLength => "content-length".to_owned(),
        HeaderText::TransferEncoding => "transfer-encoding".to_owned(),
        HeaderText::Connection => "connection".to_owned(),
        HeaderText::Any(name) => name,
    }
}

fn delta(piece: Piece) -> Delta {
    match piece {
        Piece::Content(text) => Delta::Content(text),
        Piece::Start(index) => Delta::ToolCallStart(ToolCallStart {
            index: index.into(),
            name: String::new(),
        }),
        Piece::Arguments(index) => Delta::ToolCallArguments(ToolCallArguments {
            index: index.into(),
            text: String::new(),
        }),
    }
}
