//! Bodies that nobody would write: each must be answered, and each refusal be one that a client can read.

use plugin_sdk::{Outcome, Reply, Task};

use crate::support::*;

/// A generator of the xorshift family: enough to damage text, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Text that is likely to matter where it lands.
const PIECES: [&str; 22] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "\"\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[]]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\u{0}",
    "é",
    "0.5",
];

const CHAT_BODY: &str = r#"{"model":"tiny","messages":[{"role":"system","content":[{"type":"text","text":"s"}]},
{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
{"role":"tool","tool_call_id":"c","content":"42"},{"role":"user","content":"hi","name":"u"}],"stream":true,
"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
"tool_choice":{"type":"function","function":{"name":"f"}},"temperature":0.5,"top_p":1,"n":2,"seed":1,"stop":["a"],
"logit_bias":{"5":1},"max_tokens":5,"response_format":{"type":"text"},"chat_template_kwargs":{"a":1},"reasoning_effort":"low",
"logprobs":true,"top_logprobs":2,"cache_salt":"s"}"#;

const COMPLETION_BODY: &str = r#"{"model":"tiny","prompt":[[1,2],[3]],"n":2,"max_tokens":5,"stop":"a","suffix":null,
"logprobs":1,"echo":false,"best_of":1,"top_k":-1,"stop_token_ids":[1],"stream":false,"user":"u",
"structured_outputs":{"choice":["a","b.c"],"json":null,"disable_any_whitespace":false}}"#;

const FORMAT_BODY: &str = r#"{"model":"tiny","prompt":"once","stream":true,"response_format":{"type":"json_schema",
"json_schema":{"name":"s","description":"d","strict":true,"schema":{"type":"object","properties":{"a":{}}}}}}"#;

const RESPONSE_BODY: &str = r#"{"model":"tiny","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},
{"type":"reasoning","id":"r","summary":[],"content":[{"type":"reasoning_text","text":"t"}]},{"type":"message","role":"assistant",
"content":[{"type":"output_text","text":"a"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
{"type":"function_call_output","call_id":"c","output":"42"}],"instructions":"s","stream":true,"tools":[{"type":"function",
"name":"f","parameters":{"type":"object"}}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function",
"name":"f"}]},"max_output_tokens":5,"include":["message.output_text.logprobs"],"top_logprobs":1,"text":{"format":{"type":"text"},
"verbosity":"low"},"reasoning":{"effort":"low","summary":"auto"},"metadata":{"a":"b"},"truncation":"disabled","store":true}"#;

fn damage(random: &mut Random, body: &str) -> Vec<u8> {
    let mut body = body.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(body.len() + 1);
        let until = (at + random.below(12)).min(body.len());
        match random.below(4) {
            0 => drop(body.drain(at..until)),
            1 => drop(body.splice(at..until, PIECES[random.below(PIECES.len())].bytes())),
            2 => drop(body.splice(at..at, [random.below(256) as u8])),
            _ => body.truncate(body.len() - random.below(body.len() + 1) / 8),
        }
    }
    body
}

#[test]
fn damaged_bodies_are_accepted_or_refused_and_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..20_000 {
        let (path, body) = match round % 4 {
            0 => (CHAT, CHAT_BODY),
            1 => (COMPLETIONS, COMPLETION_BODY),
            2 => (RESPONSES, RESPONSE_BODY),
            _ => (COMPLETIONS, FORMAT_BODY),
        };
        match send("POST", path, damage(&mut random, body)) {
            Outcome::Run(task, mut answer) => {
                let Task::Generate(request) = task else {
                    panic!("not a generation: {task:?}")
                };
                accepted += 1;
                assert!(!request.inputs.is_empty() && (1..=128).contains(&request.n));
                let token = || vec![position((b"\xff", -1.0), &[(b"", 0.0)])];
                answer.push(vec![
                    chosen(u32::MAX, token()),
                    content(u32::MAX, "x", u32::MAX),
                    chosen(0, token()),
                    content(0, "x", 1),
                ]);
                assert!(!answer.finish(usage(u32::MAX)).is_empty());
            }
            Outcome::Respond(response) => {
                refused += 1;
                assert!(matches!(response.status, 400 | 404), "{}", response.status);
                let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
                assert!(
                    body["error"]["message"]
                        .as_str()
                        .is_some_and(|message| !message.is_empty())
                );
            }
        }
    }
    assert!(
        accepted > 1000 && refused > 1000,
        "the damage is too small or too great: {accepted} {refused}"
    );
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for name in [
        "no_such_field",
        "stop",
        "response_format",
        "structured_outputs",
        "tools",
        "logit_bias",
    ] {
        let body = chat(&format!(r#""{name}":{deep}"#));
        let refused = matches!(send("POST", CHAT, body), Outcome::Respond(response) if response.status == 400);
        assert_eq!(refused, name != "no_such_field", "{name}");
    }
}
