//! From a model folder: `tokenizer_config.json`, `chat_template.jinja`, `generation_config.json`, `config.json`.

use std::path::Path;

use serde_json::Value;

use super::{ChatFiles, GenerationDefaults};
use crate::error::LoadError;
use crate::files::{read_json, read_text};

impl ChatFiles {
    /// Reads what a folder has; every file but `config.json` may be absent.
    pub(crate) fn from_folder(folder: &Path) -> Result<Self, LoadError> {
        let config = read_json(&folder.join("config.json"))?.unwrap_or_default();
        let generation = read_json(&folder.join("generation_config.json"))?.unwrap_or_default();
        let tokenizer = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let template_file = read_text(&folder.join("chat_template.jinja"))?;

        let mut eos_token_ids: Vec<u32> = [&generation, &config]
            .into_iter()
            .flat_map(|file| token_ids(&file["eos_token_id"]))
            .collect();
        eos_token_ids.sort_unstable();
        eos_token_ids.dedup();
        let number = |key: &str| generation[key].as_f64().map(|number| number as f32);
        Ok(Self {
            eos_token_ids,
            bos_token: token_text(&tokenizer["bos_token"]),
            eos_token: token_text(&tokenizer["eos_token"]),
            chat_template: template_file.or_else(|| template(&tokenizer["chat_template"])),
            generation: GenerationDefaults {
                temperature: number("temperature"),
                top_p: number("top_p"),
                top_k: generation["top_k"]
                    .as_u64()
                    .and_then(|top_k| usize::try_from(top_k).ok()),
                min_p: number("min_p"),
            },
        })
    }
}

/// One id or a list of them.
fn token_ids(value: &Value) -> Vec<u32> {
    let ids = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    ids.iter()
        .filter_map(Value::as_u64)
        .filter_map(|id| u32::try_from(id).ok())
        .collect()
}

/// A text, or an object with the text in `content`.
fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value["content"].as_str())
        .map(str::to_owned)
}

/// A template, or a list of named ones, of which `default` is for chats.
fn template(value: &Value) -> Option<String> {
    let named = || {
        value
            .as_array()?
            .iter()
            .find(|entry| entry["name"] == "default")?["template"]
            .as_str()
    };
    value.as_str().or_else(named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn end_tokens_of_both_configs_count_and_texts_may_be_objects() {
        let folder = folder(&[
            ("config.json", r#"{"eos_token_id": 7}"#),
            (
                "generation_config.json",
                r#"{"eos_token_id": [9, 7], "temperature": 0.7, "top_k": 20, "top_p": 0.8}"#,
            ),
            (
                "tokenizer_config.json",
                r#"{"bos_token": null, "eos_token": {"content": "<end>"}, "chat_template": "T"}"#,
            ),
        ]);
        let files = ChatFiles::from_folder(folder.path()).unwrap();
        assert_eq!(files.eos_token_ids, [7, 9]);
        assert_eq!(
            (files.bos_token, files.eos_token.as_deref()),
            (None, Some("<end>"))
        );
        assert_eq!(files.chat_template.as_deref(), Some("T"));
        let expected = GenerationDefaults {
            temperature: Some(0.7),
            top_p: Some(0.8),
            top_k: Some(20),
            min_p: None,
        };
        assert_eq!(files.generation, expected);
    }

    #[test]
    fn of_named_templates_the_default_is_taken_and_a_template_file_wins() {
        let list = r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]}"#;
        let with_list = folder(&[("config.json", "{}"), ("tokenizer_config.json", list)]);
        assert_eq!(
            ChatFiles::from_folder(with_list.path())
                .unwrap()
                .chat_template
                .as_deref(),
            Some("D")
        );
        let with_file = folder(&[
            ("config.json", "{}"),
            ("tokenizer_config.json", list),
            ("chat_template.jinja", "F"),
        ]);
        assert_eq!(
            ChatFiles::from_folder(with_file.path())
                .unwrap()
                .chat_template
                .as_deref(),
            Some("F")
        );
    }

    #[test]
    fn a_file_that_is_no_json_is_named() {
        let folder = folder(&[("config.json", "{}"), ("generation_config.json", "{")]);
        let error = ChatFiles::from_folder(folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("generation_config.json"), "{error}");
    }
}
