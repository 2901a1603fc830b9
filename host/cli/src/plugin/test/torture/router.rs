//! For routers: every body that a client can send to each of their routes, and every answer of the engine to their own cases.

use sandbox::Route;

use super::{EXTREME_NUMBERS, HUGE, INVALID_UTF_8, MANY, deep_bodies, huge_text, many_items};
use crate::plugin::test::{
    records::{
        ApiError, Bytes, ChoiceLogprobs, Event, Header, PositionLogprobs, TokenLogprob, Usage,
    },
    router::Input,
    subject::Torture,
};

pub(in crate::plugin::test) fn inputs(routes: &[Route], cases: &[Input]) -> Vec<Torture<Input>> {
    let bodies = |bodies: Vec<Bytes>| sent_to(routes, &bodies);
    let texts = |texts: Vec<String>| bodies(texts.into_iter().map(Bytes::Text).collect());
    let mut tortures = vec![
        Torture::new(
            "empty",
            texts(vec![String::new(), "{}".into(), "null".into()]),
        ),
        Torture::new("huge", texts(vec![huge_text(), huge_json()])),
        Torture::new("deep-json", texts(deep_bodies().into())),
        Torture::new(
            "invalid-utf-8",
            bodies(vec![Bytes::Raw(INVALID_UTF_8.into())]),
        ),
        Torture::new("many-items", texts(vec![many_items()])),
        Torture::new(
            "extreme-numbers",
            texts(EXTREME_NUMBERS.map(String::from).into()),
        ),
        Torture::new("strange-request", strange(routes)),
    ];
    if !cases.is_empty() {
        tortures.push(Torture::new("events", answered(cases)));
    }
    tortures
}

fn sent_to(routes: &[Route], bodies: &[Bytes]) -> Vec<Input> {
    let requests = routes.iter().flat_map(|route| {
        bodies.iter().map(|body| Input {
            method: route.method.clone(),
            path: route.path.replace('*', "x"),
            headers: json_header(),
            body: body.clone(),
            ..Input::default()
        })
    });
    requests.collect()
}

fn json_header() -> Vec<Header> {
    vec![(
        "content-type".into(),
        Bytes::Text("application/json".into()),
    )]
}

fn huge_json() -> String {
    let text = "x".repeat(HUGE);
    format!(r#"{{"model":"mock-model","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}

fn strange(routes: &[Route]) -> Vec<Input> {
    let bytes = |value: &[u8]| Bytes::Raw(value.to_vec());
    let headers: Vec<Header> = (0..100)
        .map(|number| (format!("x-{number}"), bytes(b"\xff\xfe")))
        .chain([("content-type".into(), bytes(b"\xff"))])
        .collect();
    let mut requests = sent_to(routes, &[Bytes::Text("{}".into())]);
    for request in &mut requests {
        request.query = Some(format!("%&=%zz&a[]=\u{fffd}{}", "&a=b".repeat(MANY)));
        request.headers = headers.clone();
    }
    // The wildcard of a route stands for anything.
    let wild: Vec<Input> = requests
        .iter()
        .zip(routes)
        .filter(|(_, route)| route.path.ends_with('*'))
        .map(|(request, route)| Input {
            path: route.path.replace('*', &"../\0é".repeat(1000)),
            ..request.clone()
        })
        .collect();
    requests.extend(wild);
    requests
}

/// The requests of the cases, with answers that they were not written for.
fn answered(cases: &[Input]) -> Vec<Input> {
    let token = |logprob| TokenLogprob {
        id: u32::MAX,
        bytes: Bytes::Raw(vec![0xff, 0xc3]),
        logprob,
    };
    let position = PositionLogprobs {
        chosen: token(-9999.0),
        top: vec![token(-0.0), token(-9999.0)],
    };
    let logprobs = Event::Logprobs(ChoiceLogprobs {
        choice: 0,
        tokens: vec![position; 100],
    });
    let most = Usage {
        prompt_tokens: u32::MAX,
        completion_tokens: u32::MAX,
        cached_tokens: u32::MAX,
        reasoning_tokens: u32::MAX,
    };
    let answers = [
        Vec::new(),
        vec![Event::stopped()],
        vec![
            Event::content(""),
            Event::content("\0\u{2028}\"\\</script>"),
            Event::stopped(),
        ],
        vec![Event::content(huge_text_of_an_answer()), Event::stopped()],
        vec![logprobs, Event::content("x"), Event::stopped()],
    ];
    let failure = ApiError {
        status: 503,
        kind: "server_error".into(),
        message: "\"\n\0".into(),
        ..ApiError::default()
    };
    let mut inputs = Vec::new();
    for case in cases {
        for events in &answers {
            for failure in [None, Some(failure.clone())] {
                inputs.push(Input {
                    events: events.clone(),
                    usage: most,
                    failure,
                    ..case.clone()
                });
            }
        }
    }
    inputs
}

/// Longer than any piece that an engine pushes at once.
fn huge_text_of_an_answer() -> String {
    "é".repeat(256 << 10)
}
