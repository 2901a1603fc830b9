//! What requests become in the engine's terms.

use plugin_sdk::{Constraint, InferenceRequest, Input, Message, Sampling, ToolCall, ToolChoice};

use crate::support::*;

fn request(fields: &str) -> InferenceRequest {
    accept(CHAT, chat(fields)).0
}

/// The messages of a chat whose `messages` are this JSON text.
fn messages(json: &str) -> Vec<Message> {
    let (request, _) = accept(CHAT, format!(r#"{{"model":"tiny","messages":{json}}}"#));
    conversation(&request).messages.clone()
}

#[test]
fn a_plain_chat_leaves_everything_to_the_server() {
    let request = request("");
    assert_eq!(
        (
            request.model.as_str(),
            request.n,
            request.stream,
            request.priority
        ),
        ("tiny", 1, false, 0)
    );
    assert_eq!(request.sampling, Sampling::default());
    let conversation = conversation(&request);
    assert_eq!(conversation.messages, [Message::new("user", "hi")]);
    assert_eq!(conversation.tool_choice, ToolChoice::None);
    assert!(conversation.add_generation_prompt && !conversation.continue_final_message);
    assert_eq!(conversation.template_variables, None);
}

#[test]
fn every_sampling_field_is_carried_through() {
    let request = request(concat!(
        r#""max_tokens":10,"max_completion_tokens":20,"min_tokens":3,"temperature":0.5,"top_p":0.25,"top_k":40,"#,
        r#""min_p":0.125,"repetition_penalty":1.5,"presence_penalty":-2,"frequency_penalty":2.0,"#,
        r#""logit_bias":{"7":-100,"12":1.5},"seed":-9223372036854775808,"stop":["a","b"],"stop_token_ids":[5,6],"#,
        r#""ignore_eos":true,"logprobs":true,"top_logprobs":4,"n":3,"priority":-5,"#,
        r#""response_format":{"type":"json_object"},"cache_salt":"tenant 7""#,
    ));
    let mut sampling = request.sampling;
    sampling.logit_bias.sort_by_key(|&(token, _)| token);
    let expected = Sampling {
        max_tokens: Some(20),
        min_tokens: 3,
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(40),
        min_p: Some(0.125),
        repetition_penalty: Some(1.5),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(2.0),
        logit_bias: vec![(7, -100.0), (12, 1.5)],
        seed: Some(i64::MIN),
        stop: vec!["a".to_owned(), "b".to_owned()],
        stop_token_ids: vec![5, 6],
        ignore_eos: true,
        logprobs: Some(4),
        constraint: Some(Constraint::JsonObject),
    };
    assert_eq!(sampling, expected);
    assert_eq!((request.n, request.priority), (3, -5));
    assert_eq!(request.cache_salt.as_deref(), Some("tenant 7"));
}

#[test]
fn null_is_the_same_as_leaving_a_field_out() {
    let fields = [
        "max_tokens",
        "max_completion_tokens",
        "min_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "seed",
        "stop",
        "stop_token_ids",
        "ignore_eos",
        "logprobs",
        "top_logprobs",
        "n",
        "priority",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "user",
        "metadata",
        "store",
        "response_format",
        "structured_outputs",
        "cache_salt",
        "audio",
        "modalities",
        "prediction",
        "functions",
        "function_call",
        "best_of",
        "chat_template_kwargs",
        "reasoning_effort",
        "verbosity",
    ];
    let nulls = fields.map(|name| format!(r#""{name}":null"#)).join(",");
    assert_eq!(request(&nulls), request(""));
}

#[test]
fn harmless_values_and_unknown_fields_change_nothing() {
    let harmless = concat!(
        r#""user":"u","metadata":{"a":"b"},"store":true,"service_tier":"auto","prompt_cache_key":"k","safety_identifier":"s","#,
        r#""response_format":{ "type" : "text" },"modalities":["text"],"functions":[],"function_call":"none","best_of":1,"#,
        r#""verbosity":"medium","skip_special_tokens":true,"tools":[],"tool_choice":"none","stop":[],"logprobs":false,"#,
        r#""top_logprobs":0,"no_such_field":{"deep":[1,2,3]},"echo":false"#,
    );
    assert_eq!(request(harmless), request(""));
}

#[test]
fn a_nucleus_of_nothing_is_the_smallest_that_the_contract_allows() {
    assert_eq!(
        request(r#""top_p":0"#).sampling.top_p,
        Some(f32::MIN_POSITIVE)
    );
}

#[test]
fn minus_one_means_all_tokens_as_zero_does() {
    assert_eq!(request(r#""top_k":-1"#).sampling.top_k, Some(0));
    assert_eq!(request(r#""top_k":0"#).sampling.top_k, Some(0));
}

#[test]
fn logprobs_without_alternatives_report_the_chosen_token_alone() {
    assert_eq!(request(r#""logprobs":true"#).sampling.logprobs, Some(0));
    let (request, _) = accept(COMPLETIONS, completion(r#""logprobs":0"#));
    assert_eq!(request.sampling.logprobs, Some(0));
}

#[test]
fn completions_say_with_logprobs_how_many_alternatives_they_want() {
    let (request, _) = accept(COMPLETIONS, completion(r#""logprobs":20"#));
    assert_eq!(request.sampling.logprobs, Some(20));
}

/// What these fields make of both endpoints' answers.
fn constraint(fields: &str) -> Option<Constraint> {
    let of_chat = request(fields).sampling.constraint;
    let (completion, _) = accept(COMPLETIONS, completion(fields));
    assert_eq!(completion.sampling.constraint, of_chat);
    of_chat
}

#[test]
fn every_response_format_is_understood() {
    let format = |format: &str| constraint(&format!(r#""response_format":{format}"#));
    assert_eq!(format(r#"{"type":"text"}"#), None);
    assert_eq!(
        format(r#"{"type":"json_object"}"#),
        Some(Constraint::JsonObject)
    );
    let schema = r#"{"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":true,"description":"d"}}"#;
    assert_eq!(
        format(schema),
        Some(Constraint::JsonSchema("{}".to_owned()))
    );
}

#[test]
fn a_schema_keeps_its_key_order_and_number_format() {
    let schema = r#"{ "type":"object", "properties":{"z":{"maximum":1.50},"a":{"const":1e2}} }"#;
    let expected = Some(Constraint::JsonSchema(schema.to_owned()));
    let format = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":"#;
    assert_eq!(constraint(&format!("{format}{schema}}}}}")), expected);
    let outputs = r#""structured_outputs":{"json":"#;
    assert_eq!(constraint(&format!("{outputs}{schema}}}")), expected);
    let quoted = serde_json::to_string(schema).unwrap();
    assert_eq!(constraint(&format!("{outputs}{quoted}}}")), expected);
}

#[test]
fn every_structured_output_is_understood() {
    let outputs = |member: &str| constraint(&format!(r#""structured_outputs":{{{member}}}"#));
    assert_eq!(
        outputs(r#""regex":"[0-9]+","json":null,"json_object":false"#),
        Some(Constraint::Regex("[0-9]+".to_owned()))
    );
    assert_eq!(
        outputs(r#""grammar":"start: \"a\"","disable_any_whitespace":false"#),
        Some(Constraint::Lark(r#"start: "a""#.to_owned()))
    );
    assert_eq!(
        outputs(r#""json_object":true"#),
        Some(Constraint::JsonObject)
    );
}

#[test]
fn a_choice_is_a_regular_expression_in_which_no_character_is_special() {
    let texts = r#"["yes","C++ (new)","a|b","é\n","[x]{2}^$ #&-~*.?\\<>"]"#;
    let expected = concat!(
        r"yes|C\+\+ \(new\)|a\|b|é",
        "\n",
        r"|\[x\]\{2\}\^\$ \#\&\-\~\*\.\?\\<>"
    );
    assert_eq!(
        constraint(&format!(r#""structured_outputs":{{"choice":{texts}}}"#)),
        Some(Constraint::Regex(expected.to_owned()))
    );
}

#[test]
fn plain_text_as_response_format_leaves_room_for_structured_outputs() {
    assert_eq!(
        constraint(r#""response_format":{"type":"text"},"structured_outputs":{"regex":"a"}"#),
        Some(Constraint::Regex("a".to_owned()))
    );
}

#[test]
fn text_parts_become_lines_of_one_text() {
    let parts =
        r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#;
    assert_eq!(messages(parts), [Message::new("user", "a\nb")]);
}

#[test]
fn a_conversation_keeps_its_calls_results_reasoning_and_names() {
    let given = r#"[
        {"role":"developer","content":"d","name":"boss"},
        {"role":"assistant","content":null,"reasoning_content":"why","tool_calls":
            [{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"b\": 1}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"42"},
        {"role":"assistant","content":"done","reasoning":"so"},
        {"role":"assistant","refusal":"no"},
        {"role":"assistant"}
    ]"#;
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "f".to_owned(),
        arguments: r#"{"b": 1}"#.to_owned(),
    };
    let expected = [
        Message {
            name: Some("boss".to_owned()),
            ..Message::new("developer", "d")
        },
        Message {
            content: None,
            reasoning: Some("why".to_owned()),
            tool_calls: vec![call],
            ..Message::new("assistant", "")
        },
        Message {
            tool_call_id: Some("c1".to_owned()),
            ..Message::new("tool", "42")
        },
        Message {
            reasoning: Some("so".to_owned()),
            ..Message::new("assistant", "done")
        },
        Message::new("assistant", "no"),
        Message::new("assistant", ""),
    ];
    assert_eq!(messages(given), expected);
}

#[test]
fn tool_definitions_keep_their_key_order_and_number_format() {
    let definition =
        r#"{"type":"function", "function":{"parameters":{"z":1.50,"a":1e2},"name":"f"}}"#;
    let request = request(&format!(r#""tools":[{definition}]"#));
    let conversation = conversation(&request);
    assert_eq!(conversation.tools[0].name, "f");
    assert_eq!(conversation.tools[0].definition, definition);
    assert_eq!(conversation.tool_choice, ToolChoice::Auto);
}

#[test]
fn every_tool_choice_is_understood() {
    let choice = |choice: &str| {
        let tools = r#"[{"type":"function","function":{"name":"f"}}]"#;
        let request = request(&format!(r#""tools":{tools},"tool_choice":{choice}"#));
        conversation(&request).tool_choice.clone()
    };
    assert_eq!(choice(r#""auto""#), ToolChoice::Auto);
    assert_eq!(choice(r#""none""#), ToolChoice::None);
    assert_eq!(choice(r#""required""#), ToolChoice::Required);
    assert_eq!(
        choice(r#"{"type":"function","function":{"name":"f"}}"#),
        ToolChoice::Named("f".to_owned())
    );
}

#[test]
fn template_variables_go_through_as_written_and_the_effort_joins_them() {
    let variables = |fields: &str| conversation(&request(fields)).template_variables.clone();
    let given = r#"{"z": 1.0, "enable_thinking":false}"#;
    assert_eq!(
        variables(&format!(r#""chat_template_kwargs":{given}"#)).as_deref(),
        Some(given)
    );
    assert_eq!(
        variables(r#""reasoning_effort":"low""#).as_deref(),
        Some(r#"{"reasoning_effort":"low"}"#)
    );
    let both = r#""reasoning_effort":"low","chat_template_kwargs":{"a":1.0}"#;
    assert_eq!(
        variables(both).as_deref(),
        Some(r#"{"a":1.0,"reasoning_effort":"low"}"#)
    );
    let own = r#""reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"high"}"#;
    assert_eq!(
        variables(own).as_deref(),
        Some(r#"{"reasoning_effort":"high"}"#)
    );
}

#[test]
fn continuing_the_last_message_opens_no_turn() {
    let body = r#"{"model":"tiny","messages":[{"role":"assistant","content":"Once"}],"continue_final_message":true}"#;
    let (request, _) = accept(CHAT, body);
    let conversation = conversation(&request);
    assert!(conversation.continue_final_message && !conversation.add_generation_prompt);
}

#[test]
fn whole_numbers_may_be_written_with_a_point() {
    let (request, _) = accept(
        COMPLETIONS,
        r#"{"model":"tiny","prompt":[457.0,3,2e1],"n":2.0,"max_tokens":4.0,"seed":-1.0}"#,
    );
    assert_eq!(request.inputs, [Input::Tokens(vec![457, 3, 20])]);
    assert_eq!((request.n, request.sampling.max_tokens), (2, Some(4)));
    assert_eq!(request.sampling.seed, Some(-1));
}
