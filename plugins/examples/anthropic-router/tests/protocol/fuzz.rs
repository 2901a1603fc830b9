//! Bodies that nobody would write: each must be answered, and each refusal be one that a client can read.

use plugin_sdk::{ChoiceFinish, Event, FinishReason, Outcome, Reply, Task};

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
const PIECES: [&str; 20] = [
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
];

const BODY: &str = r#"{"model":"tiny","max_tokens":2000,"system":[{"type":"text","text":"s"}],"messages":[
{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},
{"type":"text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]},{"role":"user","content":[
{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"}],"is_error":true},{"type":"text","text":"b"}]}],
"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"f"},
"thinking":{"type":"enabled","budget_tokens":1024},"stop_sequences":["x"],"temperature":0.5,"top_p":1,"top_k":5,
"stream":true,"metadata":{"user_id":"u"},"output_config":{"effort":"low"}}"#;

fn damage(random: &mut Random) -> Vec<u8> {
    let mut body = BODY.as_bytes().to_vec();
    for _ in 0..random.below(3) {
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
    for _ in 0..10_000 {
        match send(damage(&mut random)) {
            Outcome::Run(task, mut answer) => {
                let Task::Generate(request) = task else {
                    panic!("not a generation: {task:?}")
                };
                accepted += 1;
                assert_eq!((request.inputs.len(), request.n), (1, 1));
                // Pieces that the host would not let pass.
                answer.push(vec![
                    grown(arguments(7, "x"), u32::MAX),
                    Event::Finished(ChoiceFinish {
                        choice: 9,
                        reason: FinishReason::Stop,
                    }),
                    grown(text("x"), 0),
                ]);
                assert!(!answer.finish(usage(u32::MAX)).is_empty());
            }
            Outcome::Respond(response) => {
                refused += 1;
                assert!(matches!(response.status, 400 | 404), "{}", response.status);
                let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
                let message = body["error"]["message"].as_str();
                assert!(message.is_some_and(|message| !message.is_empty()));
            }
        }
    }
    assert!(
        accepted > 500 && refused > 500,
        "the damage is too small or too great: {accepted} {refused}"
    );
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for name in [
        "no_such_field",
        "system",
        "tools",
        "stop_sequences",
        "thinking",
        "output_config",
    ] {
        let response = respond(send(ask(&format!(r#""{name}":{deep}"#))));
        assert_eq!(response.status, 400, "{name}");
    }
}
