//! A client that forgives nothing: the stream of an answer read back.

use serde_json::Value;

use crate::script::{Choices, Told};

/// The name, if it has one, and the data of each event. Panics unless the bytes are whole events of one line of data each, as
/// every client reads them.
pub fn events(bytes: &[u8]) -> Vec<(Option<&str>, &str)> {
    let text = std::str::from_utf8(bytes).expect("a stream is text");
    let all = text.strip_suffix("\n\n").expect("the last event is whole");
    let read = |event| {
        let (name, line) = match str::split_once(event, '\n') {
            Some((first, line)) => (first.strip_prefix("event: "), line),
            None => (None, event),
        };
        assert!(!event.contains('\r') && !line.contains('\n'), "{event:?}");
        assert_eq!(event.contains('\n'), name.is_some(), "{event:?}");
        let data = line.strip_prefix("data: ");
        (name, data.expect("the line is data"))
    };
    all.split("\n\n").map(read).collect()
}

/// Takes note of what a chunk says. Panics unless it says it in OpenAI's shape, of one choice.
pub fn read_chunk(chunk: &Value, choices: &mut Choices) {
    let [choice] = chunk["choices"]
        .as_array()
        .expect("there is a list")
        .as_slice()
    else {
        panic!("not of one choice: {chunk}");
    };
    let index = choice["index"].as_u64().expect("choices have a number") as u32;
    let is_first = !choices.contains_key(&index);
    let told = choices.entry(index).or_default();
    assert_eq!(told.finish, None, "nothing follows an end");
    told.finish = choice["finish_reason"].as_str().map(str::to_owned);
    let logprobs = &choice["logprobs"];
    if chunk["object"] == "text_completion" {
        told.all_text += choice["text"].as_str().expect("there is a text");
        if let Some(offset) = logprobs["text_offset"].get(0) {
            let tokens = told.tokens.iter();
            let before: usize = tokens.map(|token| token.chars().count()).sum();
            assert_eq!(offset.as_u64(), Some(before as u64));
        }
        told.tokens.extend(texts(&logprobs["tokens"]));
        return;
    }
    let delta = &choice["delta"];
    let role = is_first.then_some("assistant");
    assert_eq!(delta.get("role").map(|role| role.as_str()), role.map(Some));
    assert_eq!(delta.get("reasoning"), delta.get("reasoning_content"));
    told.content += delta["content"].as_str().unwrap_or_default();
    told.reasoning += delta["reasoning"].as_str().unwrap_or_default();
    let tokens = logprobs["content"].as_array().into_iter().flatten();
    told.tokens
        .extend(tokens.map(|token| text(&token["token"])));
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        read_call(call, told);
    }
}

fn read_call(call: &Value, told: &mut Told) {
    let index = call["index"].as_u64().expect("calls have a number") as usize;
    let function = &call["function"];
    match call["id"].as_str() {
        Some(id) => {
            assert!(!id.is_empty() && call["type"] == "function");
            assert_eq!(index, told.calls.len(), "calls begin in order");
            told.calls.push((text(&function["name"]), String::new()));
        }
        None => assert!(function.get("name").is_none(), "a name comes once"),
    }
    told.calls[index].1 += &text(&function["arguments"]);
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().map(text)
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}
