//! What is refused, with which status, and which field is named.

use serde_json::Value;

use crate::support::*;

/// The status, `param`, `code` and `message` of a refusal; checks that it has the four keys and no more.
fn refusal(path: &str, body: impl Into<Vec<u8>>) -> (u16, Option<String>, Option<String>, String) {
    let response = respond("POST", path, body);
    assert_eq!(
        response.headers,
        [plugin_sdk::Header::new("content-type", "application/json")]
    );
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    let error = body["error"].as_object().unwrap();
    let keys: Vec<_> = error.keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    assert_eq!(error["type"], "invalid_request_error");
    let text = |key: &str| error[key].as_str().map(str::to_owned);
    (
        response.status,
        text("param"),
        text("code"),
        text("message").unwrap(),
    )
}

fn check(path: &str, body: &str, param: Option<&str>, message: &str) {
    let (status, named, _, said) = refusal(path, body);
    assert_eq!(
        (status, named.as_deref(), said.as_str()),
        (400, param, message),
        "{body}"
    );
}

#[test]
fn bodies_that_are_no_json_object_are_refused_with_the_place() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "The body is empty; send a JSON object."),
        (b" \n", "The body is empty; send a JSON object."),
        (
            b"{\"a\":1,\n \"b\" 2}",
            "The body is not valid JSON: expected `:` at line 2 column 6.",
        ),
        (
            b"{} x",
            "The body is not valid JSON: trailing characters at line 1 column 4.",
        ),
        (
            b"{\"a\":\"\xff\"}",
            "The body is not UTF-8: byte 6 is wrong.",
        ),
        (b"[]", "The body must be a JSON object, not a list."),
        (
            b"\"model\"",
            "The body must be a JSON object, not a string.",
        ),
        (
            b"{\"\\ud800\":1}",
            "The body has a key with a broken escape.",
        ),
    ];
    for path in [CHAT, COMPLETIONS] {
        for (body, message) in cases {
            assert_eq!(refusal(path, body), (400, None, None, message.to_owned()));
        }
    }
}

#[test]
fn an_unknown_model_is_not_found() {
    for path in [CHAT, COMPLETIONS] {
        let (status, param, code, message) = refusal(path, r#"{"model":"huge"}"#);
        assert_eq!(
            (status, param.as_deref(), code.as_deref()),
            (404, Some("model"), Some("model_not_found"))
        );
        assert_eq!(
            message,
            "The model `huge` is not served here; available: `tiny`, `org/large`."
        );
    }
}

#[test]
fn missing_fields_are_named() {
    check(
        CHAT,
        r#"{"messages":[]}"#,
        Some("model"),
        "`model` is missing.",
    );
    check(
        CHAT,
        r#"{"model":"tiny"}"#,
        Some("messages"),
        "`messages` is missing.",
    );
    check(
        COMPLETIONS,
        r#"{"prompt":"a"}"#,
        Some("model"),
        "`model` is missing.",
    );
    check(
        COMPLETIONS,
        r#"{"model":"tiny","prompt":null}"#,
        Some("prompt"),
        "`prompt` is missing.",
    );
}

#[test]
fn shared_fields_are_refused_in_both_endpoints() {
    let u32s = "4294967295";
    let cases = [
        (
            r#""temperature":"hot""#,
            "temperature",
            "`temperature` must be a number from 0 to 2, not \"hot\".",
        ),
        (
            r#""temperature":2.1"#,
            "temperature",
            "`temperature` must be a number from 0 to 2, not 2.1.",
        ),
        (
            r#""temperature":-0.1"#,
            "temperature",
            "`temperature` must be a number from 0 to 2, not -0.1.",
        ),
        (
            r#""temperature":1e999"#,
            "temperature",
            "`temperature` must be a number from 0 to 2, not 1e999.",
        ),
        (
            r#""top_p":1.5"#,
            "top_p",
            "`top_p` must be a number from 0 to 1, not 1.5.",
        ),
        (
            r#""top_k":-2"#,
            "top_k",
            &format!("`top_k` must be an integer from -1 to {u32s}, not -2."),
        ),
        (
            r#""min_p":-1"#,
            "min_p",
            "`min_p` must be a number from 0 to 1, not -1.",
        ),
        (
            r#""repetition_penalty":0"#,
            "repetition_penalty",
            "`repetition_penalty` must be a number above 0, not 0.",
        ),
        (
            r#""repetition_penalty":1e300"#,
            "repetition_penalty",
            "`repetition_penalty` must be a number above 0, not 1e300.",
        ),
        (
            r#""presence_penalty":3"#,
            "presence_penalty",
            "`presence_penalty` must be a number from -2 to 2, not 3.",
        ),
        (
            r#""frequency_penalty":-3"#,
            "frequency_penalty",
            "`frequency_penalty` must be a number from -2 to 2, not -3.",
        ),
        (
            r#""max_tokens":-1"#,
            "max_tokens",
            &format!("`max_tokens` must be an integer from 0 to {u32s}, not -1."),
        ),
        (
            r#""max_tokens":1.5"#,
            "max_tokens",
            &format!("`max_tokens` must be an integer from 0 to {u32s}, not 1.5."),
        ),
        (
            r#""max_completion_tokens":-1"#,
            "max_completion_tokens",
            &format!("`max_completion_tokens` must be an integer from 0 to {u32s}, not -1."),
        ),
        (
            r#""min_tokens":-1"#,
            "min_tokens",
            &format!("`min_tokens` must be an integer from 0 to {u32s}, not -1."),
        ),
        (
            r#""min_tokens":9,"max_tokens":8"#,
            "min_tokens",
            "`min_tokens` is 9, more than the 8 tokens that may be generated.",
        ),
        (
            r#""n":0"#,
            "n",
            "`n` must be an integer from 1 to 128, not 0.",
        ),
        (
            r#""n":129"#,
            "n",
            "`n` must be an integer from 1 to 128, not 129.",
        ),
        (
            r#""n":true"#,
            "n",
            "`n` must be an integer from 1 to 128, not true.",
        ),
        (
            r#""seed":1.5"#,
            "seed",
            "`seed` must be an integer from -9223372036854775808 to 9223372036854775807, not 1.5.",
        ),
        (
            r#""priority":2147483648"#,
            "priority",
            "`priority` must be an integer from -2147483648 to 2147483647, not 2147483648.",
        ),
        (
            r#""logit_bias":{"7":101}"#,
            "logit_bias.7",
            "`logit_bias.7` must be a number from -100 to 100, not 101.",
        ),
        (
            r#""logit_bias":{"the":1}"#,
            "logit_bias",
            "The keys of `logit_bias` must be token ids, such as \"1234\".",
        ),
        (
            r#""logit_bias":[1]"#,
            "logit_bias",
            "`logit_bias` must be an object, not [1].",
        ),
        (
            r#""stop":5"#,
            "stop",
            "`stop` must be a string or a list of strings, not 5.",
        ),
        (
            r#""stop":["a",5]"#,
            "stop[1]",
            "`stop[1]` must be a string, not 5.",
        ),
        (
            r#""stop":"""#,
            "stop",
            "`stop` must not hold an empty string, which every text contains.",
        ),
        (
            r#""stop":["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"]"#,
            "stop",
            "`stop` has 17 strings; at most 16 are allowed.",
        ),
        (
            r#""stop_token_ids":[-1]"#,
            "stop_token_ids",
            &format!(
                "`stop_token_ids` must be a list of token ids (integers from 0 to {u32s}), not [-1]."
            ),
        ),
        (
            r#""ignore_eos":1"#,
            "ignore_eos",
            "`ignore_eos` must be a boolean, not 1.",
        ),
        (
            r#""stream":"yes""#,
            "stream",
            "`stream` must be a boolean, not \"yes\".",
        ),
        (
            r#""stream_options":{}"#,
            "stream_options",
            "`stream_options` is only allowed with `stream`: true.",
        ),
        (
            r#""stream":false,"stream_options":{"include_usage":true}"#,
            "stream_options",
            "`stream_options` is only allowed with `stream`: true.",
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":1}"#,
            "stream_options.include_usage",
            "`stream_options.include_usage` must be a boolean, not 1.",
        ),
        (r#""user":7"#, "user", "`user` must be a string, not 7."),
        (
            r#""user":"\ud800""#,
            "user",
            "`user` must be a string, not \"\\ud800\".",
        ),
        (
            r#""metadata":"m""#,
            "metadata",
            "`metadata` must be an object, not \"m\".",
        ),
        (
            r#""store":"s""#,
            "store",
            "`store` must be a boolean, not \"s\".",
        ),
        (
            r#""temperature":"a very long text indeed, not to be repeated""#,
            "temperature",
            "`temperature` must be a number from 0 to 2, not a string.",
        ),
    ];
    for (fields, param, message) in cases {
        check(CHAT, &chat(fields), Some(param), message);
        check(COMPLETIONS, &completion(fields), Some(param), message);
    }
}

#[test]
fn known_fields_that_ask_for_what_cannot_be_done_are_refused() {
    let everywhere = [
        r#""guided_json":{}"#,
        r#""guided_regex":"a""#,
        r#""guided_choice":["a"]"#,
        r#""guided_grammar":"a""#,
        r#""best_of":2"#,
        r#""use_beam_search":true"#,
        r#""length_penalty":1.2"#,
        r#""allowed_token_ids":[1]"#,
        r#""bad_words":["a"]"#,
        r#""logits_processors":["a"]"#,
        r#""prompt_logprobs":1"#,
        r#""truncate_prompt_tokens":10"#,
        r#""skip_special_tokens":false"#,
        r#""spaces_between_special_tokens":false"#,
        r#""include_stop_str_in_output":true"#,
        r#""return_token_ids":true"#,
        r#""return_tokens_as_token_ids":true"#,
    ];
    let in_chat = [
        r#""echo":true"#,
        r#""audio":{"voice":"alloy","format":"wav"}"#,
        r#""modalities":["text","audio"]"#,
        r#""functions":[{"name":"f"}]"#,
        r#""function_call":{"name":"f"}"#,
        r#""prediction":{"type":"content","content":"a"}"#,
        r#""web_search_options":{}"#,
        r#""moderation":{"model":"m"}"#,
        r#""verbosity":"low""#,
        r#""chat_template":"{{ messages }}""#,
        r#""documents":[{"text":"a"}]"#,
        r#""add_special_tokens":true"#,
        r#""include_reasoning":false"#,
    ];
    let in_completions = [r#""suffix":"end""#, r#""add_special_tokens":false"#];
    let chats = everywhere
        .iter()
        .chain(&in_chat)
        .map(|fields| (CHAT, chat(fields), fields));
    let completions = everywhere
        .iter()
        .chain(&in_completions)
        .map(|fields| (COMPLETIONS, completion(fields), fields));
    for (path, body, fields) in chats.chain(completions) {
        let (status, param, code, message) = refusal(path, body);
        let name = fields.split('"').nth(1);
        assert_eq!(
            (status, param.as_deref(), code.as_deref()),
            (400, name, Some("unsupported_parameter")),
            "{message}"
        );
    }
}

#[test]
fn the_old_names_of_structured_outputs_are_refused_with_the_new_one() {
    for name in ["json", "regex", "choice", "grammar"] {
        let (_, _, _, message) = refusal(CHAT, chat(&format!(r#""guided_{name}":"a""#)));
        assert_eq!(
            message,
            format!(
                "`guided_{name}` is not supported with this value: it is the old name of a member of `structured_outputs`; use that."
            )
        );
    }
}

#[test]
fn forms_are_refused_with_the_place() {
    let format = "response_format";
    let named = "response_format.json_schema";
    let outputs = "structured_outputs";
    let one_of = "`structured_outputs` must have exactly one of `json`, `regex`, `choice`, `grammar` and `json_object`: true.";
    let schema = "must be a JSON schema: an object, or a string that holds one";
    let texts = "must be a list of at least one string";
    let cases = [
        (r#""response_format":"json_object""#, format, r#"`response_format` must be an object, not "json_object"."#.to_owned()),
        (r#""response_format":{}"#, "response_format.type", "`response_format.type` is missing.".to_owned()),
        (r#""response_format":{"type":1}"#, "response_format.type", "`response_format.type` must be a string, not 1.".to_owned()),
        (r#""response_format":{"type":"grammar"}"#, "response_format.type", r#"`response_format.type` must be "text", "json_object" or "json_schema", not "grammar"."#.to_owned()),
        (r#""response_format":{"type":"json_schema"}"#, named, format!("`{named}` is missing.")),
        (r#""response_format":{"type":"json_schema","json_schema":[]}"#, named, format!("`{named}` must be an object, not [].")),
        (r#""response_format":{"type":"json_schema","json_schema":{"name":"n"}}"#, "response_format.json_schema.schema", format!("`{named}.schema` is missing.")),
        (r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":"{}"}}"#, "response_format.json_schema.schema", format!(r#"`{named}.schema` must be an object, not "{{}}"."#)),
        (r#""response_format":{"type":"json_schema","json_schema":{"schema":{}}}"#, "response_format.json_schema.name", format!("`{named}.name` is missing.")),
        (r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":1}}"#, "response_format.json_schema.strict", format!("`{named}.strict` must be a boolean, not 1.")),
        (r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},"description":1}}"#, "response_format.json_schema.description", format!("`{named}.description` must be a string, not 1.")),
        (r#""structured_outputs":"json""#, outputs, r#"`structured_outputs` must be an object, not "json"."#.to_owned()),
        (r#""structured_outputs":{}"#, outputs, one_of.to_owned()),
        (r#""structured_outputs":{"json_object":false}"#, outputs, one_of.to_owned()),
        (r#""structured_outputs":{"json":{},"regex":"a"}"#, outputs, one_of.to_owned()),
        (r#""structured_outputs":{"grammar":"start: \"a\"","json_object":true}"#, outputs, one_of.to_owned()),
        (r#""structured_outputs":{"json":[]}"#, "structured_outputs.json", format!("`structured_outputs.json` {schema}, not [].")),
        (r#""structured_outputs":{"json":"{"}"#, "structured_outputs.json", format!(r#"`structured_outputs.json` {schema}, not "{{"."#)),
        (r#""structured_outputs":{"json":"7"}"#, "structured_outputs.json", format!(r#"`structured_outputs.json` {schema}, not "7"."#)),
        (r#""structured_outputs":{"json":""}"#, "structured_outputs.json", format!(r#"`structured_outputs.json` {schema}, not ""."#)),
        (r#""structured_outputs":{"regex":1}"#, "structured_outputs.regex", "`structured_outputs.regex` must be a string, not 1.".to_owned()),
        (r#""structured_outputs":{"grammar":{}}"#, "structured_outputs.grammar", "`structured_outputs.grammar` must be a string, not {}.".to_owned()),
        (r#""structured_outputs":{"choice":[]}"#, "structured_outputs.choice", format!("`structured_outputs.choice` {texts}, not [].")),
        (r#""structured_outputs":{"choice":["a",1]}"#, "structured_outputs.choice[1]", "`structured_outputs.choice[1]` must be a string, not 1.".to_owned()),
        (r#""structured_outputs":{"json_object":"yes"}"#, "structured_outputs.json_object", r#"`structured_outputs.json_object` must be a boolean, not "yes"."#.to_owned()),
        (r#""structured_outputs":{"regex":"a"},"response_format":{"type":"json_object"}"#, outputs, "`structured_outputs` and `response_format` exclude each other; send one of them.".to_owned()),
    ];
    for (fields, param, message) in cases {
        check(CHAT, &chat(fields), Some(param), &message);
        check(COMPLETIONS, &completion(fields), Some(param), &message);
    }
}

#[test]
fn what_vllm_adds_to_a_form_is_refused_by_its_whole_name() {
    for member in [
        r#""structural_tag":"{}""#,
        r#""whitespace_pattern":" ""#,
        r#""disable_any_whitespace":true"#,
        r#""disable_additional_properties":true"#,
    ] {
        let body = chat(&format!(r#""structured_outputs":{{"json":{{}},{member}}}"#));
        let (status, param, code, _) = refusal(CHAT, body);
        let name = member.split('"').nth(1).unwrap();
        assert_eq!(
            (status, param, code.as_deref()),
            (
                400,
                Some(format!("structured_outputs.{name}")),
                Some("unsupported_parameter")
            )
        );
    }
}

#[test]
fn a_forced_call_cannot_have_a_form() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let form = r#""response_format":{"type":"json_object"}"#;
    for choice in [
        r#""required""#,
        r#"{"type":"function","function":{"name":"f"}}"#,
    ] {
        let (status, param, _, message) = refusal(
            CHAT,
            chat(&format!(r#"{tools},{form},"tool_choice":{choice}"#)),
        );
        assert_eq!((status, param.as_deref()), (400, Some("tool_choice")));
        assert!(message.contains("`response_format`"), "{message}");
    }
    accept(CHAT, chat(&format!(r#"{tools},{form}"#)));
}

#[test]
fn a_cache_salt_has_from_1_to_256_bytes() {
    let salt = |salt: &str| format!(r#""cache_salt":"{salt}""#);
    let long = "é".repeat(129);
    for (fields, message) in [
        (
            salt(""),
            "`cache_salt` has 0 bytes; it must have from 1 to 256.",
        ),
        (
            salt(&long),
            "`cache_salt` has 258 bytes; it must have from 1 to 256.",
        ),
        (
            r#""cache_salt":7"#.to_owned(),
            "`cache_salt` must be a string, not 7.",
        ),
    ] {
        check(CHAT, &chat(&fields), Some("cache_salt"), message);
        check(
            COMPLETIONS,
            &completion(&fields),
            Some("cache_salt"),
            message,
        );
    }
}

#[test]
fn log_probabilities_of_completions_are_refused_outside_their_range() {
    for count in ["true", "-1", "21"] {
        check(
            COMPLETIONS,
            &completion(&format!(r#""logprobs":{count}"#)),
            Some("logprobs"),
            &format!("`logprobs` must be an integer from 0 to 20, not {count}."),
        );
    }
}

#[test]
fn messages_are_refused_with_the_place() {
    let user = r#"{"role":"user","content":"hi"}"#;
    let cases = [
        (
            "[]",
            "messages",
            "`messages` must hold at least one message.",
        ),
        ("{}", "messages", "`messages` must be a list, not {}."),
        (
            r#"["hi"]"#,
            "messages[0]",
            "`messages[0]` must be an object, not \"hi\".",
        ),
        (
            r#"[["user","hi"]]"#,
            "messages[0]",
            "`messages[0]` must be an object, not [\"user\",\"hi\"].",
        ),
        (
            r#"[{"content":"hi"}]"#,
            "messages[0].role",
            "`messages[0].role` is missing.",
        ),
        (
            r#"[{"role":1,"content":"hi"}]"#,
            "messages[0].role",
            "`messages[0].role` must be a string, not 1.",
        ),
        (
            r#"[{"role":"function","name":"f","content":"hi"}]"#,
            "messages[0].role",
            "`messages[0].role` must be `system`, `developer`, `user`, `assistant` or `tool`.",
        ),
        (
            r#"[{"role":"user"}]"#,
            "messages[0].content",
            "`messages[0].content` is missing.",
        ),
        (
            r#"[{"role":"user","content":null}]"#,
            "messages[0].content",
            "`messages[0].content` is missing.",
        ),
        (
            r#"[{"role":"user","content":5}]"#,
            "messages[0].content",
            "`messages[0].content` must be a string or a list of parts, not 5.",
        ),
        (
            r#"[{"role":"user","content":["a"]}]"#,
            "messages[0].content[0]",
            "`messages[0].content[0]` must be an object, not \"a\".",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text"}]}]"#,
            "messages[0].content[0].text",
            "`messages[0].content[0].text` is missing.",
        ),
        (
            r#"[{"role":"tool","content":"42"}]"#,
            "messages[0].tool_call_id",
            "`messages[0].tool_call_id` is missing.",
        ),
        (
            r#"[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}]"#,
            "messages[0].tool_calls[0].id",
            "`messages[0].tool_calls[0].id` is missing.",
        ),
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{}}]}]"#,
            "messages[0].tool_calls[0].function",
            "`messages[0].tool_calls[0].function` is missing.",
        ),
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}]"#,
            "messages[0].tool_calls[0].function.arguments",
            "`messages[0].tool_calls[0].function.arguments` must be a string, not {}.",
        ),
    ];
    for (messages, param, message) in cases {
        check(
            CHAT,
            &format!(r#"{{"model":"tiny","messages":{messages}}}"#),
            Some(param),
            message,
        );
    }
    let unsupported = [
        (
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]}"#,
            "messages[1].content[1]",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}"#,
            "messages[1].content[0]",
        ),
        (
            r#"{"role":"assistant","audio":{"id":"a"}}"#,
            "messages[1].audio",
        ),
        (
            r#"{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}"#,
            "messages[1].function_call",
        ),
    ];
    for (message, place) in unsupported {
        let (status, param, code, _) = refusal(
            CHAT,
            format!(r#"{{"model":"tiny","messages":[{user},{message}]}}"#),
        );
        assert_eq!(
            (status, param.as_deref(), code.as_deref()),
            (400, Some(place), Some("unsupported_parameter"))
        );
    }
}

#[test]
fn tools_and_options_of_chat_are_refused_with_the_place() {
    let expected_choice =
        r#""auto", "none", "required" or {"type":"function","function":{"name":…}}"#;
    let cases = [
        (r#""tools":[{"function":{"name":"f"}}]"#, "tools[0].type", "`tools[0].type` is missing.".to_owned()),
        (r#""tools":[{"type":"custom","custom":{"name":"f"}}]"#, "tools[0].type", "`tools[0].type` is not supported with this value: only tools of type `function` can be called.".to_owned()),
        (r#""tools":[{"type":"function"}]"#, "tools[0].function", "`tools[0].function` is missing.".to_owned()),
        (r#""tools":[{"type":"function","function":{}}]"#, "tools[0].function.name", "`tools[0].function.name` is missing.".to_owned()),
        (r#""tools":[{"type":"function","function":{"name":""}}]"#, "tools[0].function.name", "`tools[0].function.name` must not be empty.".to_owned()),
        (r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#, "tools[0].function.parameters", "`tools[0].function.parameters` must be an object, not [].".to_owned()),
        (r#""tool_choice":"any""#, "tool_choice", format!("`tool_choice` must be {expected_choice}, not \"any\".")),
        (r#""tool_choice":{"type":"allowed_tools"}"#, "tool_choice", format!("`tool_choice` must be {expected_choice}, not {{\"type\":\"allowed_tools\"}}.")),
        (r#""tool_choice":"required""#, "tool_choice", "`tool_choice` requires a call, but `tools` offers none.".to_owned()),
        (r#""tool_choice":{"type":"function","function":{"name":"g"}},"tools":[{"type":"function","function":{"name":"f"}}]"#, "tool_choice", "`tool_choice` names a function that `tools` does not offer.".to_owned()),
        (r#""logprobs":1"#, "logprobs", "`logprobs` must be a boolean, not 1.".to_owned()),
        (r#""logprobs":true,"top_logprobs":21"#, "top_logprobs", "`top_logprobs` must be an integer from 0 to 20, not 21.".to_owned()),
        (r#""top_logprobs":1"#, "top_logprobs", "`top_logprobs` is only allowed with `logprobs`: true.".to_owned()),
        (r#""chat_template_kwargs":[]"#, "chat_template_kwargs", "`chat_template_kwargs` must be an object, not [].".to_owned()),
        (r#""continue_final_message":true,"add_generation_prompt":true"#, "continue_final_message", "`continue_final_message` and `add_generation_prompt` exclude each other.".to_owned()),
        (r#""continue_final_message":true"#, "continue_final_message", "`continue_final_message` needs a last message of role `assistant`.".to_owned()),
    ];
    for (fields, param, message) in cases {
        check(CHAT, &chat(fields), Some(param), &message);
    }
}

#[test]
fn an_answer_in_a_chat_has_a_token_at_least() {
    check(
        CHAT,
        &chat(r#""max_completion_tokens":0"#),
        Some("max_tokens"),
        "`max_tokens` must be at least 1.",
    );
}

#[test]
fn prompts_are_refused_with_the_place() {
    let tokens = "a list of token ids (integers from 0 to 4294967295)";
    let empty = "`prompt` must neither be nor hold an empty list.";
    let cases = [
        ("5", "prompt", "`prompt` must be a string, a list of strings, a list of token ids or a list of such lists, not 5.".to_owned()),
        ("[]", "prompt", empty.to_owned()),
        ("[[1],[]]", "prompt", empty.to_owned()),
        (r#"["a",1]"#, "prompt[1]", "`prompt[1]` must be a string, not 1.".to_owned()),
        (r#"[1,"a"]"#, "prompt", format!("`prompt` must be {tokens}, not [1,\"a\"].")),
        ("[[1],[-1]]", "prompt[1]", format!("`prompt[1]` must be {tokens}, not [-1].")),
        ("[null]", "prompt[0]", "`prompt[0]` must be a string, not null.".to_owned()),
    ];
    for (prompt, param, message) in cases {
        check(
            COMPLETIONS,
            &format!(r#"{{"model":"tiny","prompt":{prompt}}}"#),
            Some(param),
            &message,
        );
    }
}

#[test]
fn a_small_body_cannot_ask_for_millions_of_choices() {
    let prompts = vec![r#""""#; 17].join(",");
    let body = format!(r#"{{"model":"tiny","n":128,"prompt":[{prompts}]}}"#);
    check(
        COMPLETIONS,
        &body,
        Some("prompt"),
        "`prompt` and `n` ask for 2176 choices; at most 2048 are allowed.",
    );
}

#[test]
fn a_long_model_name_is_not_repeated_whole() {
    let (status, _, _, message) =
        refusal(CHAT, format!(r#"{{"model":"{}"}}"#, "é".repeat(100_000)));
    assert_eq!(status, 404);
    assert!(message.len() < 400, "{} bytes", message.len());
}
