//! The request body, the same for all servers that are compared.

use serde::Serialize;

use crate::{
    args::{BenchmarkArgs, Endpoint},
    prompts::Prompts,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(flatten)]
    input: Input<'a>,
    max_tokens: u32,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    // OpenAI rejects fields that it does not know, so this one is sent only on request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_eos: bool,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Input<'a> {
    Messages([Message<'a>; 1]),
    Prompt(&'a str),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The JSON body of request `index`.
pub(crate) fn encode(args: &BenchmarkArgs, model: &str, prompts: &Prompts, index: u32) -> Vec<u8> {
    let prompt = prompts.get(index);
    let input = match args.endpoint {
        Endpoint::Chat => Input::Messages([Message {
            role: "user",
            content: &prompt,
        }]),
        Endpoint::Completions => Input::Prompt(&prompt),
    };
    let body = Body {
        model,
        input,
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        seed: args.seed,
        ignore_eos: args.ignore_eos,
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
    };
    serde_json::to_vec(&body).expect("strings and numbers under string keys always encode")
}
