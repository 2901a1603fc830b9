//! The crate as its users see it, with a small real tokenizer (`tests/data/make.py`).

#[path = "text/detokenizing.rs"]
mod detokenizing;
#[path = "text/encoding.rs"]
mod encoding;
#[path = "text/forms.rs"]
mod forms;
#[path = "text/refusing.rs"]
mod refusing;
#[path = "text/stopping.rs"]
mod stopping;

use std::path::PathBuf;

use serde_json::Value;
use text::{GgufVocab, Tokenizer};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_file(&data("tokenizer.json")).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

/// The same vocabulary as a GGUF file would hold it, with two padding rows at the end.
fn gguf_vocab(pre: &str) -> GgufVocab {
    let file = json("tokenizer.json");
    let added = file["added_tokens"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut tokens: Vec<_> = file["model"]["vocab"].as_object().unwrap().iter().collect();
    tokens.sort_by_key(|(_, id)| id.as_u64());
    let mut vocab = GgufVocab {
        tokens: tokens.into_iter().map(|(token, _)| token.clone()).collect(),
        token_types: Vec::new(),
        merges: file["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| format!("{} {}", text(&pair[0]), text(&pair[1])))
            .collect(),
        pre: pre.to_owned(),
        bos: None,
    };
    vocab.token_types = vec![1; vocab.tokens.len()];
    for token in added {
        vocab.tokens.push(text(&token["content"]));
        vocab
            .token_types
            .push(if token["special"].as_bool().unwrap() {
                3
            } else {
                4
            });
    }
    for row in 0..2 {
        vocab.tokens.push(format!("[PAD{row}]"));
        vocab.token_types.push(5);
    }
    vocab
}
