//! What the operator's policy makes of requests, and what it says of a config that makes no sense.

use plugin_sdk::{
    ApiError, Caller, Conversation, InferenceRequest, Input, Message, Sampling, Shaper, Tool,
    log::Level, mock,
};
use request_shaper::RequestShaper;

fn shape(config: &str, request: InferenceRequest) -> Result<InferenceRequest, ApiError> {
    mock::set_config(config);
    let caller = Caller {
        request_id: "r-1".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        key_name: None,
    };
    RequestShaper::shape(request, caller)
}

fn chat(turns: &[(&str, &str)]) -> InferenceRequest {
    let messages = turns
        .iter()
        .map(|(role, content)| Message::new(*role, *content))
        .collect();
    InferenceRequest::new("m", vec![Input::Chat(Conversation::new(messages))])
}

fn sampled(sampling: Sampling) -> InferenceRequest {
    InferenceRequest {
        sampling,
        ..chat(&[("user", "hi")])
    }
}

fn shaped_sampling(config: &str, sampling: Sampling) -> Sampling {
    shape(config, sampled(sampling)).unwrap().sampling
}

fn shaped_turns(config: &str, turns: &[(&str, &str)]) -> Vec<Message> {
    match shape(config, chat(turns)).unwrap().inputs.remove(0) {
        Input::Chat(conversation) => conversation.messages,
        other => panic!("a conversation became {other:?}"),
    }
}

fn refusal(config: &str, request: InferenceRequest) -> ApiError {
    shape(config, request).expect_err("the request must be refused")
}

/// The message of a config that must be refused whatever the request.
fn config_failure(config: &str) -> String {
    let error = refusal(config, chat(&[("user", "hi")]));
    assert_eq!((error.status, error.kind.as_str()), (500, "server_error"));
    assert_eq!(error.code.as_deref(), Some("invalid_plugin_config"));
    error.message
}

#[test]
fn without_a_policy_every_request_passes_unchanged() {
    let mut request = sampled(Sampling {
        max_tokens: Some(1_000_000),
        temperature: Some(2.0),
        ..Default::default()
    });
    request.inputs.push(Input::Text("once".repeat(100_000)));
    request.inputs.push(Input::Tokens(vec![1, 2, 3]));
    assert_eq!(shape("{}", request.clone()).unwrap(), request);
}

#[test]
fn defaults_fill_in_only_what_the_client_left_open() {
    let config = r#"{"default_max_tokens": 64, "default_temperature": 0.5, "default_top_p": 0.9, "default_top_k": 20}"#;
    let filled = shaped_sampling(config, Sampling::default());
    let defaults = Sampling {
        max_tokens: Some(64),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(20),
        ..Default::default()
    };
    assert_eq!(filled, defaults);
    let own = Sampling {
        max_tokens: Some(7),
        temperature: Some(0.0),
        top_p: Some(1.0),
        top_k: Some(0),
        ..Default::default()
    };
    assert_eq!(shaped_sampling(config, own.clone()), own);
}

#[test]
fn too_many_tokens_become_the_most_allowed_and_the_author_can_see_it() {
    let config = r#"{"max_max_tokens": 100}"#;
    mock::take_log();
    let shaped = shaped_sampling(
        config,
        Sampling {
            max_tokens: Some(101),
            ..Default::default()
        },
    );
    assert_eq!(shaped.max_tokens, Some(100));
    assert_eq!(
        mock::take_log(),
        [(Level::Debug, "max_tokens 101 became 100".to_owned())]
    );
}

#[test]
fn a_request_without_a_token_limit_gets_the_most_allowed() {
    assert_eq!(
        shaped_sampling(r#"{"max_max_tokens": 100}"#, Sampling::default()).max_tokens,
        Some(100)
    );
}

#[test]
fn a_shortened_answer_lowers_its_own_minimum() {
    let sampling = Sampling {
        max_tokens: Some(200),
        min_tokens: 150,
        ..Default::default()
    };
    assert_eq!(
        shaped_sampling(r#"{"max_max_tokens": 100}"#, sampling).min_tokens,
        100
    );
}

#[test]
fn a_temperature_outside_the_range_becomes_the_nearest_one_inside() {
    let config = r#"{"default_temperature": 0.7, "temperature_range": [0.25, 1.0]}"#;
    for (asked, given) in [
        (0.0, 0.25),
        (0.25, 0.25),
        (0.5, 0.5),
        (1.0, 1.0),
        (1.75, 1.0),
    ] {
        let shaped = shaped_sampling(
            config,
            Sampling {
                temperature: Some(asked),
                ..Default::default()
            },
        );
        assert_eq!(shaped.temperature, Some(given), "asked for {asked}");
    }
}

#[test]
fn a_refusing_policy_names_the_field_the_value_and_what_is_allowed() {
    let config = r#"{"max_max_tokens": 100, "out_of_range": "refuse"}"#;
    let error = refusal(
        config,
        sampled(Sampling {
            max_tokens: Some(101),
            ..Default::default()
        }),
    );
    assert_eq!(
        (error.status, error.param.as_deref()),
        (400, Some("max_tokens"))
    );
    assert_eq!(
        error.message,
        "`max_tokens` is 101, and this server allows at most 100"
    );

    let config =
        r#"{"default_temperature": 0, "temperature_range": [0, 1], "out_of_range": "refuse"}"#;
    let error = refusal(
        config,
        sampled(Sampling {
            temperature: Some(1.5),
            ..Default::default()
        }),
    );
    assert_eq!(
        (error.status, error.param.as_deref()),
        (400, Some("temperature"))
    );
    assert_eq!(
        error.message,
        "`temperature` is 1.5, and this server allows 0 to 1"
    );
}

#[test]
fn a_prompt_may_have_as_many_characters_as_allowed_and_not_one_more() {
    // Characters, not bytes: each of these takes three.
    let config = r#"{"max_prompt_chars": 4}"#;
    assert!(shape(config, chat(&[("system", "你"), ("user", "你你你")])).is_ok());
    let error = refusal(config, chat(&[("system", "你你"), ("user", "你你你")]));
    assert_eq!(
        (error.status, error.param.as_deref()),
        (400, Some("messages"))
    );
    assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
    assert!(
        error.message.contains("5 characters") && error.message.contains("at most 4"),
        "{}",
        error.message
    );
}

#[test]
fn a_plain_text_that_is_too_long_is_refused_by_the_name_of_its_field() {
    let request = InferenceRequest::new(
        "m",
        vec![
            Input::Text("abc".to_owned()),
            Input::Text("abcde".to_owned()),
        ],
    );
    assert_eq!(
        refusal(r#"{"max_prompt_chars": 4}"#, request)
            .param
            .as_deref(),
        Some("prompt")
    );
}

#[test]
fn the_definition_of_a_tool_counts_as_part_of_the_prompt() {
    let mut conversation = Conversation::new(vec![Message::new("user", "hi")]);
    conversation.tools.push(Tool {
        name: "f".to_owned(),
        definition: "{\"type\":\"function\"}".to_owned(),
    });
    let request = InferenceRequest::new("m", vec![Input::Chat(conversation)]);
    assert_eq!(refusal(r#"{"max_prompt_chars": 20}"#, request).status, 400);
}

const POLITE: &str = r#"{"required_system_prompt": "Be polite."}"#;

#[test]
fn a_conversation_without_a_system_message_gets_the_required_one() {
    let turns = shaped_turns(POLITE, &[("user", "hi")]);
    assert_eq!(
        turns,
        [
            Message::new("system", "Be polite."),
            Message::new("user", "hi")
        ]
    );
}

#[test]
fn the_client_s_own_system_message_keeps_its_role_and_follows_the_required_text() {
    for role in ["system", "developer"] {
        let turns = shaped_turns(POLITE, &[(role, "Be brief."), ("user", "hi")]);
        assert_eq!(
            turns,
            [
                Message::new(role, "Be polite.\n\nBe brief."),
                Message::new("user", "hi")
            ]
        );
    }
}

#[test]
fn a_required_text_that_is_there_already_is_not_written_twice() {
    let turns = [("system", "Be polite.\n\nBe brief."), ("user", "hi")];
    assert_eq!(
        shaped_turns(POLITE, &turns),
        turns.map(|(role, content)| Message::new(role, content))
    );
}

#[test]
fn the_required_system_prompt_does_not_count_against_the_client() {
    let config = r#"{"required_system_prompt": "Be polite.", "max_prompt_chars": 2}"#;
    assert_eq!(shaped_turns(config, &[("user", "hi")]).len(), 2);
}

#[test]
fn a_plain_text_has_no_system_prompt() {
    let request = InferenceRequest::new("m", vec![Input::Text("once".to_owned())]);
    assert_eq!(shape(POLITE, request.clone()).unwrap(), request);
}

#[test]
fn a_misspelt_key_is_an_error_that_names_it() {
    assert!(config_failure(r#"{"max_tokns": 5}"#).contains("`max_tokns`"));
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_that_names_its_key() {
    assert!(config_failure(r#"{"max_max_tokens": "many"}"#).contains("at `max_max_tokens`"));
    assert!(
        config_failure(r#"{"temperature_range": [0, "hot"]}"#)
            .contains("at `temperature_range[1]`")
    );
    assert!(config_failure(r#"{"out_of_range": "ignore"}"#).contains("at `out_of_range`"));
}

#[test]
fn a_policy_that_contradicts_itself_is_an_error_that_names_the_key() {
    for (config, key) in [
        (r#"{"default_max_tokens": 0}"#, "default_max_tokens"),
        (r#"{"max_max_tokens": 0}"#, "max_max_tokens"),
        (
            r#"{"default_max_tokens": 9, "max_max_tokens": 8}"#,
            "default_max_tokens",
        ),
        (r#"{"default_temperature": 2.5}"#, "default_temperature"),
        (
            r#"{"default_temperature": 1, "temperature_range": [1, 0]}"#,
            "temperature_range",
        ),
        (
            r#"{"default_temperature": 1, "temperature_range": [0, 3]}"#,
            "temperature_range",
        ),
        (
            r#"{"default_temperature": 1, "temperature_range": [0, 0.5]}"#,
            "default_temperature",
        ),
        (r#"{"temperature_range": [0, 0.5]}"#, "temperature_range"),
        (r#"{"default_top_p": 0}"#, "default_top_p"),
    ] {
        let message = config_failure(config);
        assert!(
            message.contains(&format!("at `{key}`")),
            "{config}: {message}"
        );
    }
}
