//! Joins the parts: files become a model, the model an engine, all of it a server.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use model::{KvMemory, LoadFormat, LoadedModel, OpenOptions, TokenizerSource};
use server::SamplingDefaults;
use text::{GgufVocab, Tokenizer};

use crate::args::{self, ServeArgs};

/// The path that was asked for, or the demo model's, which is fetched if need be. Slow: waits for the network.
pub(crate) fn find_model(asked: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = asked {
        anyhow::ensure!(
            path.exists(),
            "there is no model at {}: give a folder with config.json, tokenizer.json and safetensors, or a .gguf file",
            path.display()
        );
        return Ok(path.to_owned());
    }
    let cache = model::demo::cache_dir();
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template(
            "unpacking the demo model {wide_bar} {binary_bytes}/{binary_total_bytes}",
        )
        .expect("the template is well-formed"),
    );
    let path = model::demo::fetch(&cache, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    path.context("cannot get the demo model")
}

/// Reads the model's files and its weights. Slow: reads and packs them.
pub(crate) fn load_model(path: &Path, args: &ServeArgs) -> Result<LoadedModel> {
    let options = OpenOptions {
        max_model_len: args.max_model_len.map(Into::into),
        max_num_seqs: args.max_num_seqs.into(),
        kv_memory: args
            .gpu_memory_utilization
            .map_or(KvMemory::Auto, KvMemory::Share),
        num_threads: args.threads.map(Into::into),
        load_format: match args.load_format {
            args::LoadFormat::Auto => LoadFormat::Files,
            args::LoadFormat::Dummy => LoadFormat::Dummy { seed: 0 },
        },
    };
    model::open(path, &options).with_context(|| format!("cannot load the model {}", path.display()))
}

/// The model as requests see it, without its weights.
pub(crate) fn served_model(loaded: &LoadedModel) -> Result<server::Model> {
    let chat = loaded.chat.clone();
    Ok(server::Model {
        tokenizer: tokenizer(&loaded.tokenizer, chat.bos_token.as_deref())?,
        chat_template: chat.chat_template,
        bos_token: chat.bos_token,
        eos_token: chat.eos_token,
        end_tokens: chat.eos_token_ids,
        sampling_defaults: SamplingDefaults {
            temperature: chat.generation.temperature.unwrap_or(1.0),
            top_p: chat.generation.top_p.unwrap_or(1.0),
            top_k: chat.generation.top_k.unwrap_or(0),
            min_p: chat.generation.min_p.unwrap_or(0.0),
        },
    })
}

fn tokenizer(source: &TokenizerSource, bos_token: Option<&str>) -> Result<Tokenizer> {
    let tokenizer = match source {
        TokenizerSource::File(path) => Tokenizer::from_file(path)?,
        TokenizerSource::Gguf(vocab) => {
            anyhow::ensure!(
                vocab.model == "gpt2",
                "the file's tokenizer is of the kind `{}`; only byte-level BPE (`gpt2`) is known: use a safetensors folder",
                vocab.model
            );
            let model::GgufVocab {
                tokens,
                token_types,
                merges,
                pre,
                add_bos,
                ..
            } = vocab.clone();
            let bos = bos_token
                .filter(|_| add_bos)
                .and_then(|bos| tokens.iter().position(|token| token == bos));
            let bos = bos.map(|id| id as u32);
            Tokenizer::from_gguf(GgufVocab {
                tokens,
                token_types,
                merges,
                pre,
                bos,
            })?
        }
    };
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use sandbox::{Conversation, Limits, Loader, Message, ModelTemplate, Sandbox, ToolChoice};
    use serde_json::Value;

    use super::*;
    use crate::plugins;

    fn question(content: &str) -> Conversation {
        let message = Message {
            role: "user".into(),
            content: Some(content.into()),
            reasoning: None,
            name: None,
            tool_calls: vec![],
            tool_call_id: None,
        };
        Conversation {
            messages: vec![message],
            tools: vec![],
            tool_choice: ToolChoice::Auto,
            add_generation_prompt: true,
            continue_final_message: false,
            template_variables: None,
        }
    }

    /// The references come from llama.cpp, which agrees with Transformers on these prompts.
    #[tokio::test]
    async fn the_demo_models_prompts_are_those_of_llama_cpp_in_text_and_tokens() {
        let files = model::ModelFiles::open(&find_model(None).unwrap()).unwrap();
        let tokenizer = tokenizer(&files.tokenizer, files.chat.bos_token.as_deref()).unwrap();
        let loader = Loader::new(
            Sandbox::new(Limits {
                max_instances: 16,
                ..Limits::default()
            })
            .unwrap(),
            None,
        );
        let plugins = plugins::load(&loader, None, plugins::Settings::new())
            .await
            .unwrap();
        let model = ModelTemplate {
            model: "demo".into(),
            chat_template: files.chat.chat_template,
            bos_token: files.chat.bos_token,
            eos_token: files.chat.eos_token,
            now: 0,
        };
        let stored: Value =
            serde_json::from_str(include_str!("../../model/tests/data/smollm2-greedy.json"))
                .unwrap();
        let cases = stored["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let mut template = plugins.template.start("test").await.unwrap();
            let conversation = question(case["user"].as_str().unwrap());
            let prompt = template
                .render(&model, &conversation)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(prompt, case["rendered_prompt"].as_str().unwrap());
            let tokens: Vec<Value> = tokenizer
                .encode(&prompt)
                .unwrap()
                .into_iter()
                .map(Value::from)
                .collect();
            assert_eq!(&tokens, case["prompt_token_ids"].as_array().unwrap());
        }
    }
}
