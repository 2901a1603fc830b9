//! Which part of a model's text is answer, reasoning or tool call.

use chat_template::JinjaTemplate;
use plugin_sdk::{
    ChatTemplate, Conversation, Delta, Message, OutputParser, Tool, ToolCallArguments,
    ToolCallStart, ToolChoice,
};

/// What a choice came to: kind and text, adjacent pieces of one kind joined.
#[derive(Debug, PartialEq)]
enum Part {
    Content(String),
    Reasoning(String),
    Call(u32, String, String),
}

fn content(text: &str) -> Part {
    Part::Content(text.to_owned())
}

fn reasoning(text: &str) -> Part {
    Part::Reasoning(text.to_owned())
}

fn call(index: u32, name: &str, arguments: &str) -> Part {
    Part::Call(index, name.to_owned(), arguments.to_owned())
}

fn plain() -> Conversation {
    Conversation::new(vec![Message::new("user", "hi")])
}

fn with_tools() -> Conversation {
    let tool = Tool {
        name: "f".to_owned(),
        definition: r#"{"type":"function","function":{"name":"f"}}"#.to_owned(),
    };
    Conversation {
        tools: vec![tool],
        ..plain()
    }
}

/// Parses the pieces one by one.
fn parse<'a>(
    conversation: &Conversation,
    prompt: &str,
    pieces: impl IntoIterator<Item = &'a str>,
) -> Vec<Part> {
    let mut parser = JinjaTemplate::parser(conversation.clone(), prompt.to_owned());
    let mut deltas: Vec<Delta> = Vec::new();
    for piece in pieces {
        deltas.extend(parser.push(piece.to_owned()));
    }
    deltas.extend(parser.finish());
    join(deltas)
}

fn join(deltas: Vec<Delta>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for delta in deltas {
        match (delta, parts.last_mut()) {
            (Delta::Content(text), Some(Part::Content(last))) => last.push_str(&text),
            (Delta::Reasoning(text), Some(Part::Reasoning(last))) => last.push_str(&text),
            (Delta::ToolCallArguments(piece), Some(Part::Call(index, _, arguments))) => {
                assert_eq!(
                    piece.index, *index,
                    "arguments of a call that has not begun"
                );
                arguments.push_str(&piece.text);
            }
            (Delta::Content(text), _) => parts.push(Part::Content(text)),
            (Delta::Reasoning(text), _) => parts.push(Part::Reasoning(text)),
            (Delta::ToolCallStart(start), _) => {
                parts.push(Part::Call(start.index, start.name, String::new()));
            }
            (Delta::ToolCallArguments(_), _) => panic!("arguments without a call"),
        }
    }
    parts
}

/// Parses the text whole.
fn parts(conversation: &Conversation, text: &str) -> Vec<Part> {
    parse(conversation, "", [text])
}

#[test]
fn plain_text_passes_at_once_and_unchanged() {
    let mut parser = JinjaTemplate::parser(plain(), "<|im_start|>assistant\n".to_owned());
    for piece in [
        "Hello",
        "\n",
        " <tool_call>\n{",
        "\n\n",
        " <think>x</think> <",
        "  ",
    ] {
        assert_eq!(
            parser.push(piece.to_owned()),
            [Delta::Content(piece.to_owned())]
        );
    }
    assert_eq!(parser.finish(), []);
}

#[test]
fn only_what_may_be_a_mark_is_held_back() {
    let mut parser = JinjaTemplate::parser(with_tools(), String::new());
    let steps = [
        ("a <", "a "),
        ("b", "<b"),
        ("\n\n", ""),
        ("c<tool_", "\n\nc"),
        ("cal", ""),
        ("d", "<tool_cald"),
    ];
    for (piece, certain) in steps {
        let expected: &[Delta] = match certain {
            "" => &[],
            text => &[Delta::Content(text.to_owned())],
        };
        assert_eq!(parser.push(piece.to_owned()), expected, "after {piece:?}");
    }
}

#[test]
fn leading_whitespace_waits_for_a_thought_and_is_kept_without_one() {
    assert_eq!(parts(&plain(), " \n hi"), [content(" \n hi")]);
    assert_eq!(parts(&plain(), " \n <thin"), [content(" \n <thin")]);
    assert_eq!(
        parts(&plain(), "\n <think>a</think>b"),
        [reasoning("a"), content("b")]
    );
}

#[test]
fn newlines_next_to_thought_marks_belong_to_the_marks() {
    assert_eq!(
        parts(
            &plain(),
            "<think>\n\nfirst\n\nsecond \n\n</think>\n\n\n answer\n\n"
        ),
        [reasoning("first\n\nsecond "), content(" answer\n\n")]
    );
    assert_eq!(
        parts(&plain(), "<think>\n\n</think>\n\nanswer"),
        [content("answer")]
    );
}

#[test]
fn a_thought_begins_only_where_the_answer_begins() {
    let text = "Write <think>x</think> around it.";
    assert_eq!(parts(&plain(), text), [content(text)]);
    let again = "<think>a</think><think>b</think>";
    assert_eq!(
        parts(&plain(), again),
        [reasoning("a"), content("<think>b</think>")]
    );
}

#[test]
fn a_thought_that_never_ends_is_reasoning() {
    assert_eq!(
        parts(&plain(), "<think>\nhm\n</thi"),
        [reasoning("hm\n</thi")]
    );
    assert_eq!(
        parts(&with_tools(), "<think>a<tool_call>"),
        [reasoning("a<tool_call>")]
    );
}

#[test]
fn a_prompt_that_opens_a_thought_is_gone_on_with() {
    let prompt = "<|im_start|>assistant\n<think>\n";
    assert_eq!(
        parse(&plain(), prompt, ["\nhm\n</think>\n\nyes"]),
        [reasoning("hm"), content("yes")]
    );
}

#[test]
fn a_prompt_that_closed_its_thought_is_answered() {
    let prompt = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
    assert_eq!(
        parse(&plain(), prompt, ["a</think>b"]),
        [content("a</think>b")]
    );
}

#[test]
fn a_users_thought_mark_does_not_open_one() {
    let prompt = "<|im_start|>user\nwhat is <think>?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(parse(&plain(), prompt, ["a tag"]), [content("a tag")]);
}

#[test]
fn a_continued_message_goes_on_where_it_was() {
    let continued = |text: &str| {
        let mut conversation = plain();
        conversation.messages.push(Message::new("assistant", text));
        conversation.add_generation_prompt = false;
        conversation.continue_final_message = true;
        conversation
    };
    let cases = [
        (
            "<think>\nI wo",
            "nder\n</think>\n\nyes",
            vec![reasoning("nder"), content("yes")],
        ),
        (
            "<think>\n",
            "\nhm</think>yes",
            vec![reasoning("hm"), content("yes")],
        ),
        ("<think>a</think>b", "<think>c", vec![content("<think>c")]),
        ("Once", "<think>c", vec![content("<think>c")]),
        ("", "<think>c", vec![reasoning("c")]),
    ];
    for (text, answer, expected) in cases {
        let conversation = continued(text);
        assert_eq!(
            parse(&conversation, text, [answer]),
            expected,
            "continuing {text:?}"
        );
    }
}

#[test]
fn a_tool_call_gives_its_name_and_its_arguments_as_written() {
    assert_eq!(
        parts(
            &with_tools(),
            "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1.0,  \"a\": \"é\"}}\n</tool_call>"
        ),
        [
            content("Let me see."),
            call(0, "f", "{\"b\": 1.0,  \"a\": \"é\"}")
        ]
    );
}

#[test]
fn calls_are_numbered_and_newlines_between_them_are_dropped() {
    let text = "<think>\ntwo\n</think>\n\n<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool_call>\n\
                <tool_call>{\"arguments\":{\"x\":[1]},\"name\":\"g\"}</tool_call>\ndone\n";
    assert_eq!(
        parts(&with_tools(), text),
        [
            reasoning("two"),
            call(0, "f", "{}"),
            call(1, "g", "{\"x\":[1]}"),
            content("done\n")
        ]
    );
}

#[test]
fn a_call_without_arguments_has_none() {
    assert_eq!(
        parts(&with_tools(), "<tool_call>{\"name\":\"f\"}</tool_call>"),
        [call(0, "f", "{}")]
    );
    assert_eq!(
        parts(
            &with_tools(),
            "<tool_call>{\"name\":\"f\",\"arguments\":null}</tool_call>"
        ),
        [call(0, "f", "{}")]
    );
}

#[test]
fn a_call_whose_end_the_model_left_out_counts_if_it_is_whole() {
    assert_eq!(
        parts(
            &with_tools(),
            "<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool"
        ),
        [call(0, "f", "{}")]
    );
    assert_eq!(
        parts(
            &with_tools(),
            "<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n"
        ),
        [call(0, "f", "{}")]
    );
}

#[test]
fn arguments_come_as_they_are_written() {
    let mut parser = JinjaTemplate::parser(with_tools(), String::new());
    let start = |index| {
        Delta::ToolCallStart(ToolCallStart {
            index,
            name: "f".to_owned(),
        })
    };
    let piece = |text: &str| {
        Delta::ToolCallArguments(ToolCallArguments {
            index: 0,
            text: text.to_owned(),
        })
    };
    let steps = [
        ("<tool_call>\n{\"name\": \"f\", \"argu", vec![]),
        ("ments\": ", vec![]),
        ("{", vec![start(0), piece("{")]),
        ("\"a\": \"}", vec![piece("\"a\": \"}")]),
        ("\\", vec![piece("\\")]),
        ("\"\", \"b\": [{}]", vec![piece("\"\", \"b\": [{}]")]),
        ("}}\n</tool", vec![piece("}")]),
        ("_call>\n", vec![]),
        ("x", vec![Delta::Content("x".to_owned())]),
    ];
    for (text, expected) in steps {
        assert_eq!(parser.push(text.to_owned()), expected, "after {text:?}");
    }
    assert_eq!(parser.finish(), []);
}

#[test]
fn a_call_that_breaks_off_is_the_call_that_it_was_so_far() {
    for (text, arguments) in [
        ("{\"a\": \"b", "{\"a\": \"b"),
        ("{\"a\": 1,</tool_call>", "{\"a\": 1,"),
        ("{\"a\": 1,}}</tool_call>", "{\"a\": 1,}"),
        (
            "{\"a\": \"b</tool_call> and more",
            "{\"a\": \"b</tool_call> and more",
        ),
    ] {
        let text = format!("<tool_call>\n{{\"name\": \"f\", \"arguments\": {text}");
        assert_eq!(parts(&with_tools(), &text), [call(0, "f", arguments)]);
    }
}

#[test]
fn what_follows_a_call_without_its_end_mark_is_the_answer() {
    let begun = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}";
    for (rest, answer) in [
        ("}\n\nDone.", Some("Done.")),
        ("} <b>", Some("<b>")),
        ("}, and more", Some(", and more")),
        (", \"id\": 1}\n</tool_call>\nDone.", Some("Done.")),
        ("}\n</tool_call>\n<tool", Some("<tool")),
        ("\n</tool_call>", None),
    ] {
        let expected: Vec<_> = [call(0, "f", "{}")]
            .into_iter()
            .chain(answer.map(content))
            .collect();
        assert_eq!(parts(&with_tools(), &format!("{begun}{rest}")), expected);
    }
}

#[test]
fn marks_inside_an_arguments_text_are_text() {
    let arguments = r#"{"a":"</tool_call>\n<tool_call>\"</tool_call>"}"#;
    assert_eq!(
        parts(
            &with_tools(),
            &format!("<tool_call>{{\"name\":\"f\",\"arguments\":{arguments}}}</tool_call>x")
        ),
        [call(0, "f", arguments), content("x")]
    );
}

#[test]
fn what_is_no_call_is_given_back_whole() {
    let deep = format!("<tool_call>{}</tool_call>", "[".repeat(100_000));
    for text in [
        "a\n\n<tool_call>\nnot json\n</tool_call>\n\nb\n",
        "<tool_call></tool_call>",
        "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>",
        "<tool_call>{\"name\":\"\",\"arguments\":{}}</tool_call>",
        "<tool_call>{\"name\":7,\"arguments\":{}}</tool_call>",
        "\n<tool_call>{\"name\":\"f\"",
        "x<tool_call",
        deep.as_str(),
    ] {
        assert_eq!(parts(&with_tools(), text), [content(text)]);
    }
}

#[test]
fn a_call_after_a_broken_one_is_still_a_call() {
    assert_eq!(
        parts(
            &with_tools(),
            "<tool_call>{oops}</tool_call>\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"
        ),
        [content("<tool_call>{oops}</tool_call>"), call(0, "f", "{}")]
    );
}

#[test]
fn calls_are_text_where_none_may_be_made() {
    let text = "\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n";
    let mut forbidden = with_tools();
    forbidden.tool_choice = ToolChoice::None;
    assert_eq!(parts(&forbidden, text), [content(text)]);
    assert_eq!(parts(&plain(), text), [content(text)]);
}

#[test]
fn a_call_that_the_prompt_has_begun_is_gone_on_with() {
    let mut conversation = with_tools();
    conversation.tool_choice = ToolChoice::Named("f".to_owned());
    let prompt = "<tool_call>\n{\"name\": \"f\", \"arguments\":";
    let answer = " {\"a\": 1}}\n</tool_call>\nx";
    assert_eq!(
        parse(&conversation, prompt, [answer]),
        [call(0, "f", "{\"a\": 1}"), content("x")]
    );
    // Held to the grammar, the model ends within the call only where its tokens do.
    assert_eq!(
        parse(&conversation, prompt, [" {\"a\": "]),
        [call(0, "f", "{\"a\": ")]
    );
    assert_eq!(parse(&conversation, prompt, [" "]), []);

    conversation.tool_choice = ToolChoice::Required;
    let prompt = "<tool_call>\n{\"name\": \"";
    let answer = "g\", \"arguments\": {}}\n</tool_call>";
    assert_eq!(parse(&conversation, prompt, [answer]), [call(0, "g", "{}")]);
    assert_eq!(parse(&conversation, prompt, ["g\", \"argu"]), []);
}

#[test]
fn the_pieces_that_text_comes_in_make_no_difference() {
    let texts = [
        "plain <text> with é🎉 in it\n\n",
        " \n<think>\n\nré<ason>\n</ think\n</think>\n\nanswer <tool_call>\n",
        "<think>\n\n</think>\n\nhi\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"é\": \"</tool_call>\"}}\n</tool_call>\n\n<tool_call>{\"name\":\"g\"}</tool_call>\n",
        "a\n\n\n<tool_call>{]</tool_call>\n<<tool_call><tool_call>\n{\"name\":\"f\",\"arguments\":{}}",
        "</think></tool_call>\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"\\\"</tool_call>\n\n",
    ];
    for conversation in [plain(), with_tools()] {
        for prompt in ["", "<think>\n"] {
            for text in texts {
                let whole = parse(&conversation, prompt, [text]);
                let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                let single = cuts.iter().map(|&at| {
                    let len = text[at..].chars().next().map_or(0, char::len_utf8);
                    &text[at..at + len]
                });
                assert_eq!(parse(&conversation, prompt, single), whole);
                for (index, &first) in cuts.iter().enumerate() {
                    for &second in &cuts[index..] {
                        let pieces = [&text[..first], &text[first..second], &text[second..]];
                        let split = parse(&conversation, prompt, pieces);
                        assert_eq!(split, whole, "{text:?} cut at {first} and {second}");
                    }
                }
            }
        }
    }
}

#[test]
fn any_mixture_of_marks_is_parsed_alike_in_any_pieces() {
    let words = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "\n",
        " ",
        "<",
        "</",
        "\"",
        "\\",
        "a",
        "é",
        "{\"name\":\"f\",\"arguments\":{}}",
        "{\"name\":\"f\",\"arguments\":{\"a\":\"",
    ];
    // A linear congruential generator: the same texts in every run.
    let mut state: u64 = 7;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let conversation = with_tools();
    for _ in 0..3000 {
        let text: String = (0..next(14)).map(|_| words[next(words.len())]).collect();
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let len = rest
                .char_indices()
                .nth(1 + next(6))
                .map_or(rest.len(), |(at, _)| at);
            pieces.push(&rest[..len]);
            rest = &rest[len..];
        }
        let whole = parse(&conversation, "", [text.as_str()]);
        assert_eq!(parse(&conversation, "", pieces), whole, "{text:?}");
    }
}
