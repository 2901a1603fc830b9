//! From a GGUF file's metadata: end tokens, chat template and vocabulary.

use candle_core::quantized::gguf_file::{Content, Value};

use super::{ChatFiles, GenerationDefaults};
use crate::tokenizer::GgufVocab;

/// GGUF's mark of tokens that are no text.
const CONTROL: i32 = 3;
/// Control tokens that end a turn or a document in the families we run, whatever the metadata names as the one end token.
const END_TOKENS: [&str; 5] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "</s>",
];

/// Takes the vocabulary out of the metadata, where it is most of the bytes.
pub(crate) fn take_vocab(content: &mut Content) -> GgufVocab {
    let mut take = |key: &str| content.metadata.remove(&format!("tokenizer.ggml.{key}"));
    GgufVocab {
        tokens: strings(take("tokens")),
        token_types: integers(take("token_type")),
        merges: strings(take("merges")),
        pre: string(take("pre")).unwrap_or_default(),
        model: string(take("model")).unwrap_or_default(),
        add_bos: matches!(take("add_bos_token"), Some(Value::Bool(true))),
    }
}

impl ChatFiles {
    /// Reads the metadata; `vocab` is the file's own.
    pub(crate) fn from_gguf(content: &Content, vocab: &GgufVocab) -> Self {
        let id = |key: &str| {
            let value = content.metadata.get(&format!("tokenizer.ggml.{key}"))?;
            value
                .to_u64()
                .ok()
                .and_then(|id| u32::try_from(id).ok())
                .filter(|id| (*id as usize) < vocab.tokens.len())
        };
        let text = |id: Option<u32>| id.map(|id| vocab.tokens[id as usize].clone());
        let by_text = (0u32..)
            .zip(vocab.tokens.iter().zip(&vocab.token_types))
            .filter(|(_, (token, kind))| **kind == CONTROL && END_TOKENS.contains(&token.as_str()))
            .map(|(id, _)| id);
        let mut eos_token_ids: Vec<u32> = [id("eos_token_id"), id("eot_token_id")]
            .into_iter()
            .flatten()
            .chain(by_text)
            .collect();
        eos_token_ids.sort_unstable();
        eos_token_ids.dedup();
        Self {
            eos_token_ids,
            bos_token: text(id("bos_token_id")),
            eos_token: text(id("eos_token_id")),
            chat_template: string(content.metadata.get("tokenizer.chat_template").cloned()),
            generation: GenerationDefaults::default(),
        }
    }
}

fn string(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn strings(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| string(Some(value)).unwrap_or_default())
            .collect(),
        _ => Vec::new(),
    }
}

fn integers(value: Option<Value>) -> Vec<i32> {
    let integer = |value: Value| match value {
        Value::I32(number) => number,
        Value::U32(number) => i32::try_from(number).unwrap_or_default(),
        _ => 0,
    };
    match value {
        Some(Value::Array(values)) => values.into_iter().map(integer).collect(),
        _ => Vec::new(),
    }
}
