use super::*;
use crate::bindings::types::{ToolCallArguments, ToolCallStart};

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.into(),
        value: value.into(),
    }
}

fn error(status: u16) -> ApiError {
    ApiError {
        status,
        kind: "server_error".into(),
        message: "no".into(),
        param: None,
        code: None,
        retry_after_ms: None,
    }
}

fn plain_request() -> InferenceRequest {
    InferenceRequest {
        model: "m".into(),
        inputs: vec![Input::Text("hello".into())],
        n: 1,
        sampling: Sampling {
            max_tokens: None,
            min_tokens: 0,
            temperature: Some(1.0),
            top_p: Some(1.0),
            top_k: None,
            min_p: Some(0.0),
            repetition_penalty: Some(1.0),
            presence_penalty: Some(-2.0),
            frequency_penalty: Some(2.0),
            logit_bias: vec![(1, -100.0), (2, 100.0)],
            seed: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            constraint: None,
        },
        stream: false,
        echo: false,
        priority: 0,
        cache_salt: None,
    }
}

#[test]
fn an_error_status_outside_400_to_599_becomes_500() {
    for (given, kept) in [
        (0, 500),
        (99, 500),
        (200, 500),
        (399, 500),
        (400, 400),
        (599, 599),
        (600, 500),
    ] {
        assert_eq!(api_error(error(given)).status, kept, "given {given}");
    }
}

#[test]
fn an_errors_texts_and_its_delay_are_bounded() {
    let long = || "ä".repeat(MESSAGE_BYTES);
    let given = ApiError {
        message: long(),
        param: Some(long()),
        retry_after_ms: Some(u32::MAX),
        ..error(400)
    };
    let kept = api_error(given);
    assert!(kept.message.len() <= MESSAGE_BYTES + '…'.len_utf8() && kept.message.ends_with("ä…"));
    assert!(
        kept.param
            .is_some_and(|param| param.len() <= WORD_BYTES + '…'.len_utf8())
    );
    assert_eq!(kept.retry_after_ms, Some(RETRY_AFTER_MS));
    assert_eq!(api_error(error(400)), error(400));
}

#[test]
fn headers_that_could_split_a_response_are_refused() {
    let limits = Limits::default();
    for bad in [
        header("x-a: b\r\nx-c", "d"),
        header("x-a", "b\r\n\r\nbody"),
        header("X-Upper", "1"),
        header("", "1"),
        header("x a", "1"),
        header("x-nul", "\0"),
    ] {
        let why = headers(vec![bad.clone()], &limits).unwrap_err();
        assert!(why.contains("is not HTTP"), "{bad:?}: {why}");
    }
    let good = vec![
        header("content-type", "text/event-stream; charset=utf-8"),
        header("x-ü".trim_end_matches('ü'), "ü\t"),
    ];
    assert_eq!(headers(good.clone(), &limits), Ok(good));
}

#[test]
fn headers_that_frame_the_body_stay_with_the_host() {
    let given = vec![
        header("content-length", "7"),
        header("x-a", "b"),
        header("transfer-encoding", "chunked"),
    ];
    assert_eq!(
        headers(given, &Limits::default()),
        Ok(vec![header("x-a", "b")])
    );
}

#[test]
fn too_many_or_too_large_headers_are_refused_by_the_name_of_the_limit() {
    let limits = Limits {
        max_headers: 2,
        max_header_bytes: 10,
        ..Limits::default()
    };
    let many = vec![header("a", ""), header("b", ""), header("c", "")];
    assert!(
        headers(many, &limits)
            .unwrap_err()
            .contains("`max_headers` is 2")
    );
    let large = vec![header("a", "1234567890")];
    assert!(
        headers(large, &limits)
            .unwrap_err()
            .contains("`max_header_bytes` is 10")
    );
}

#[test]
fn a_response_has_a_status_that_ends_a_request() {
    let response_with = |status| Response {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    };
    for status in [200, 404, 599] {
        assert_eq!(
            response(response_with(status), &Limits::default()).map(|r| r.status),
            Ok(status)
        );
    }
    for status in [0, 99, 101, 600] {
        assert!(
            response(response_with(status), &Limits::default())
                .unwrap_err()
                .contains(&status.to_string())
        );
    }
}

#[test]
fn routes_have_a_method_and_an_absolute_path() {
    let route = |method: &str, path: &str| Route {
        method: method.into(),
        path: path.into(),
    };
    for good in [
        route("GET", "/"),
        route("POST", "/v1/chat/completions"),
        route("GET", "/v1/models/*"),
    ] {
        assert_eq!(routes(vec![good.clone()]), Ok(vec![good]));
    }
    for bad in [
        route("get", "/"),
        route("", "/"),
        route("GET", "v1"),
        route("GET", "/a*"),
        route("GET", "/*/b"),
        route("GET", "/*/*"),
    ] {
        let why = routes(vec![bad.clone()]).unwrap_err();
        assert!(why.contains(&format!("{:?}", bad.path)), "{why}");
    }
    assert!(
        routes(vec![route("GET", "/"); MAX_ROUTES + 1])
            .unwrap_err()
            .contains("257 routes")
    );
}

#[test]
fn a_request_within_its_ranges_passes_unchanged() {
    assert_eq!(request(plain_request()), Ok(plain_request()));
}

#[test]
fn a_sampling_field_out_of_range_is_named() {
    type Spoil = fn(&mut Sampling);
    let spoilt: [(&str, Spoil); 9] = [
        ("temperature", |s| s.temperature = Some(f32::NAN)),
        ("temperature", |s| s.temperature = Some(2.1)),
        ("top-p", |s| s.top_p = Some(0.0)),
        ("min-p", |s| s.min_p = Some(-0.1)),
        ("repetition-penalty", |s| {
            s.repetition_penalty = Some(f32::INFINITY)
        }),
        ("presence-penalty", |s| s.presence_penalty = Some(f32::NAN)),
        ("frequency-penalty", |s| s.frequency_penalty = Some(2.5)),
        ("logit-bias", |s| s.logit_bias.push((3, f32::NEG_INFINITY))),
        ("logprobs", |s| s.logprobs = Some(21)),
    ];
    for (field, spoil) in spoilt {
        let mut given = plain_request();
        spoil(&mut given.sampling);
        let why = request(given).unwrap_err();
        assert!(why.contains(&format!("`sampling.{field}`")), "{why}");
    }
}

#[test]
fn a_salt_has_a_length_that_can_be_kept_with_every_block() {
    let salted = |len| InferenceRequest {
        cache_salt: Some("s".repeat(len)),
        ..plain_request()
    };
    assert!(request(salted(256)).is_ok());
    assert!(request(salted(257)).unwrap_err().contains("`cache-salt`"));
}

#[test]
fn a_request_has_something_to_run() {
    assert!(
        request(InferenceRequest {
            inputs: Vec::new(),
            ..plain_request()
        })
        .is_err()
    );
    assert!(
        request(InferenceRequest {
            n: 0,
            ..plain_request()
        })
        .is_err()
    );
}

#[test]
fn arguments_belong_to_a_tool_call_that_has_begun() {
    let start = |index| {
        Delta::ToolCallStart(ToolCallStart {
            index,
            name: "f".into(),
        })
    };
    let more = |index| {
        Delta::ToolCallArguments(ToolCallArguments {
            index,
            text: "{".into(),
        })
    };
    let mut num = 0;
    assert!(deltas(vec![more(0)], &mut num).is_err());
    assert!(deltas(vec![start(1)], &mut num).is_err());
    assert!(deltas(vec![start(0), more(0), start(1)], &mut num).is_ok());
    assert!(deltas(vec![more(1), more(0)], &mut num).is_ok());
    assert!(deltas(vec![more(2)], &mut num).is_err());
    assert_eq!(num, 2);
}
