//! For shapers: every request that a router can hand on.

use super::{DEEP, MANY, deep_json, huge_text};
use crate::plugin::test::{
    records::{
        Constraint, Conversation, InferenceRequest, Input as Prompt, Message, Sampling, Tool,
    },
    shaper::{Caller, Input},
    subject::Torture,
};

pub(in crate::plugin::test) fn inputs() -> Vec<Torture<Input>> {
    vec![
        Torture::new("empty", empty().map(of)),
        Torture::new("huge", huge().map(of)),
        Torture::new("deep-json", [of(deep())]),
        Torture::new("many-items", [of(many())]),
        Torture::new("extreme-numbers", extremes().map(with_sampling)),
        Torture::new("strange-caller", [strange_caller()]),
    ]
}

fn of(request: InferenceRequest) -> Input {
    Input {
        request,
        caller: Caller::default(),
    }
}

fn asking(inputs: Vec<Prompt>) -> InferenceRequest {
    InferenceRequest {
        inputs,
        ..InferenceRequest::default()
    }
}

fn chat(messages: Vec<Message>) -> Conversation {
    Conversation {
        messages,
        ..Conversation::default()
    }
}

fn empty() -> [InferenceRequest; 4] {
    [
        InferenceRequest {
            model: String::new(),
            ..asking(vec![Prompt::Text(String::new())])
        },
        asking(vec![Prompt::Tokens(Vec::new())]),
        asking(vec![Prompt::Chat(chat(vec![Message::default()]))]),
        asking(vec![Prompt::Chat(chat(vec![Message::new("", "")]))]),
    ]
}

fn huge() -> [InferenceRequest; 3] {
    [
        asking(vec![Prompt::Text(huge_text())]),
        asking(vec![Prompt::Chat(chat(vec![Message::new(
            "user",
            huge_text(),
        )]))]),
        asking(vec![Prompt::Tokens((0..1 << 20).collect())]),
    ]
}

/// Wherever a request holds a JSON text.
fn deep() -> InferenceRequest {
    let tool = Tool {
        name: "f".into(),
        definition: deep_json(),
    };
    let conversation = Conversation {
        tools: vec![tool],
        template_variables: Some(format!("{}1{}", r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP))),
        ..Conversation::default()
    };
    InferenceRequest {
        sampling: Sampling {
            constraint: Some(Constraint::JsonSchema(deep_json())),
            ..Sampling::default()
        },
        ..asking(vec![Prompt::Chat(conversation)])
    }
}

fn many() -> InferenceRequest {
    let messages = vec![Message::new("user", "x"); MANY];
    InferenceRequest {
        sampling: Sampling {
            logit_bias: (0..MANY as u32).map(|token| (token, 1.0)).collect(),
            stop: vec!["x".into(); MANY],
            stop_token_ids: (0..MANY as u32).collect(),
            ..Sampling::default()
        },
        ..asking(vec![Prompt::Chat(chat(messages)), Prompt::Text("x".into())])
    }
}

fn with_sampling(sampling: Sampling) -> Input {
    of(InferenceRequest {
        n: u32::MAX,
        priority: i32::MIN,
        sampling,
        ..InferenceRequest::default()
    })
}

/// The ends of the ranges that the contract states, which the host keeps.
fn extremes() -> [Sampling; 2] {
    let least = Sampling {
        max_tokens: Some(0),
        temperature: Some(-0.0),
        top_p: Some(f32::MIN_POSITIVE),
        top_k: Some(0),
        min_p: Some(0.0),
        repetition_penalty: Some(f32::from_bits(1)),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(-2.0),
        logit_bias: vec![(0, -100.0)],
        seed: Some(i64::MIN),
        logprobs: Some(0),
        ..Sampling::default()
    };
    let most = Sampling {
        max_tokens: Some(u32::MAX),
        min_tokens: u32::MAX,
        temperature: Some(2.0),
        top_p: Some(1.0),
        top_k: Some(u32::MAX),
        min_p: Some(1.0),
        repetition_penalty: Some(f32::MAX),
        presence_penalty: Some(2.0),
        frequency_penalty: Some(2.0),
        logit_bias: vec![(u32::MAX, 100.0)],
        seed: Some(i64::MAX),
        stop_token_ids: vec![u32::MAX],
        ignore_eos: true,
        logprobs: Some(20),
        ..Sampling::default()
    };
    [least, most]
}

fn strange_caller() -> Input {
    Input {
        request: InferenceRequest::default(),
        caller: Caller {
            request_id: String::new(),
            path: "/\u{202e}\0../..".into(),
            key_name: Some("\n".repeat(1000)),
        },
    }
}
