//! For functions: every request that a client can send, and every answer of the model.

use super::{EXTREME_NUMBERS, HUGE, INVALID_UTF_8, MANY, deep_bodies, huge_text, many_items};
use crate::plugin::test::{
    function::Input,
    records::{ApiError, Bytes},
    subject::Torture,
};

pub(in crate::plugin::test) fn inputs() -> Vec<Torture<Input>> {
    let texts = |texts: Vec<String>| texts.into_iter().map(|text| sent(Bytes::Text(text)));
    vec![
        Torture::new("empty", empty()),
        Torture::new("huge", texts(vec![huge_text(), "x".repeat(HUGE)])),
        Torture::new("deep-json", texts(deep_bodies().into())),
        Torture::new("invalid-utf-8", [sent(Bytes::Raw(INVALID_UTF_8.into()))]),
        Torture::new("many-items", texts(vec![many_items()])),
        Torture::new(
            "extreme-numbers",
            texts(EXTREME_NUMBERS.map(String::from).into()),
        ),
        Torture::new("strange-request", strange()),
        Torture::new("model-answers", answers()),
        Torture::new("model-refuses", refusals()),
    ]
}

fn sent(body: Bytes) -> Input {
    Input {
        body,
        ..Input::default()
    }
}

fn asked(answer: Vec<String>) -> Input {
    Input {
        answer,
        ..sent(Bytes::Text("a question".into()))
    }
}

fn empty() -> Vec<Input> {
    let methods = ["GET", "POST", "DELETE", "OPTIONS"];
    let requests = methods.map(|method| Input {
        method: method.into(),
        ..Input::default()
    });
    requests.into()
}

fn strange() -> Vec<Input> {
    let paths = [
        "/?%&=%zz&a[]=",
        "/..%2f..%2f%00%ff",
        &format!("/{}", "a/".repeat(4000)),
    ];
    let mut requests: Vec<Input> = paths
        .into_iter()
        .map(|path| Input {
            path: path.into(),
            ..Input::default()
        })
        .collect();
    requests.push(Input {
        method: "BREW".into(),
        headers: (0..64)
            .map(|number| (format!("x-{number}"), Bytes::Raw(vec![0xff; 100])))
            .collect(),
        ..Input::default()
    });
    requests
}

fn answers() -> Vec<Input> {
    vec![
        asked(Vec::new()),
        asked(vec![String::new(); 3]),
        asked(vec!["x".into(); MANY / 10]),
        asked(vec!["é".repeat(256 << 10)]),
    ]
}

fn refusals() -> Vec<Input> {
    let refused = |status, retry_after_ms| Input {
        refusal: Some(ApiError {
            status,
            kind: "server_error".into(),
            message: "\"\n\0".into(),
            retry_after_ms,
            ..ApiError::default()
        }),
        ..asked(Vec::new())
    };
    vec![
        refused(429, Some(u32::MAX)),
        refused(400, None),
        refused(500, None),
    ]
}
