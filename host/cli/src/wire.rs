//! Joins the parts: files become a model, the model an engine.

use std::{
    path::{Path, PathBuf},
    thread::{JoinHandle, available_parallelism},
};

use anyhow::{Context, Result};
use engine::{ComputeThread, EngineConfig, EngineHandle, Overlap, runner::StepError};
use indicatif::{ProgressBar, ProgressStyle};
use model::{
    CpuRunner, KvMemory, LoadFormat, LoadedModel, ModelFiles, OpenOptions, TokenizerSource,
    cuda::{CudaRunner, OpenError, Summary},
};
use server::SamplingDefaults;
use text::{GgufVocab, Tokenizer};

use crate::args::{self, ModelArgs};

pub(crate) type EngineThread = JoinHandle<Result<(), StepError>>;

/// A model that is ready for its first step.
pub(crate) enum Loaded {
    Cpu(Box<LoadedModel<CpuRunner>>),
    Cuda(Box<LoadedModel<CudaRunner>>),
}

/// How much a step may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepLimits {
    pub(crate) max_num_seqs: usize,
    pub(crate) max_num_batched_tokens: usize,
}

impl StepLimits {
    /// What was asked for, or what suits the device.
    fn new(args: &ModelArgs, device: Target) -> Result<Self> {
        let (seqs, tokens) = match device {
            Target::Cpu => (16, 256),
            Target::Cuda => (256, 8192),
        };
        let max_num_seqs = args.max_num_seqs.map_or(seqs, Into::into);
        let max_num_batched_tokens = args
            .max_num_batched_tokens
            .map_or(tokens.max(max_num_seqs), Into::into);
        anyhow::ensure!(
            max_num_batched_tokens >= max_num_seqs,
            "--max-num-batched-tokens ({max_num_batched_tokens}) must be at least --max-num-seqs ({max_num_seqs}): every running \
             sequence takes a token a step",
        );
        Ok(Self {
            max_num_seqs,
            max_num_batched_tokens,
        })
    }
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Cpu,
    Cuda,
}

impl Loaded {
    /// Reads the model's files and its weights, for the device that was asked for. Slow.
    pub(crate) fn open(args: &ModelArgs) -> Result<(Self, StepLimits)> {
        let path = find_model(args.model.as_deref())?;
        let files = ModelFiles::open(&path).with_context(|| cannot_load(&path))?;
        let target = target(args.device, &files)?;
        let limits = StepLimits::new(args, target)?;
        let options = open_options(args, limits);
        let loaded = match target {
            Target::Cpu => Self::Cpu(Box::new(
                files.load(&options).with_context(|| cannot_load(&path))?,
            )),
            Target::Cuda => {
                let loaded = model::cuda::open(files, &options).with_context(|| {
                    format!(
                        "{} on the GPU (--device cpu does without)",
                        cannot_load(&path)
                    )
                })?;
                Self::Cuda(Box::new(loaded))
            }
        };
        Ok((loaded, limits))
    }

    /// The model as requests see it, without its weights.
    pub(crate) fn served(&self) -> Result<server::Model> {
        match self {
            Self::Cpu(loaded) => served_model(loaded),
            Self::Cuda(loaded) => served_model(loaded),
        }
    }

    /// The folder or file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Cpu(loaded) => &loaded.path,
            Self::Cuda(loaded) => &loaded.path,
        }
    }

    /// How the GPU was set up.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Cpu(_) => None,
            Self::Cuda(loaded) => Some(loaded.runner.summary()),
        }
    }

    /// Whether steps should overlap where nobody says: on a GPU, since planning has cores of its own then.
    pub(crate) fn overlaps(&self) -> Overlap {
        match self {
            Self::Cpu(_) => Overlap::Off,
            Self::Cuda(_) => Overlap::On,
        }
    }

    /// Starts the engine. The CPU's runner computes where it is called, so it gets a thread of its own where planning is to overlap.
    pub(crate) fn start(self, config: EngineConfig) -> (EngineHandle, EngineThread) {
        match (self, config.overlap) {
            (Self::Cpu(loaded), Overlap::On) => {
                EngineHandle::start(ComputeThread::start(loaded.runner), config)
            }
            (Self::Cpu(loaded), Overlap::Off) => EngineHandle::start(loaded.runner, config),
            (Self::Cuda(loaded), _) => EngineHandle::start(loaded.runner, config),
        }
    }
}

/// Threads for constraints: half of the cores, since the rest have other things to do.
pub(crate) fn num_constraint_threads() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

fn cannot_load(path: &Path) -> String {
    format!("cannot load the model {}", path.display())
}

/// The device that was asked for. `auto` takes the CPU where there is no driver, no card, or no kernel for the model; a card that
/// cannot be used for another reason is an error, since nobody would want to find out from the speed.
fn target(asked: args::Device, files: &ModelFiles) -> Result<Target> {
    match asked {
        args::Device::Cpu => Ok(Target::Cpu),
        args::Device::Cuda => Ok(Target::Cuda),
        args::Device::Auto if !model::cuda::is_present() => Ok(Target::Cpu),
        args::Device::Auto => match model::cuda::check_support(&files.config) {
            Ok(()) => Ok(Target::Cuda),
            Err(OpenError::Unsupported(what)) => {
                tracing::warn!("computing on the CPU: the GPU kernels do not support {what}");
                Ok(Target::Cpu)
            }
            Err(error) => Err(error.into()),
        },
    }
}

fn open_options(args: &ModelArgs, limits: StepLimits) -> OpenOptions {
    OpenOptions {
        max_model_len: args.max_model_len.map(Into::into),
        max_num_seqs: limits.max_num_seqs,
        max_num_batched_tokens: limits.max_num_batched_tokens,
        kv_memory: args
            .gpu_memory_utilization
            .map_or(KvMemory::Auto, KvMemory::Share),
        num_threads: args.threads.map(Into::into),
        load_format: match args.load_format {
            args::LoadFormat::Auto => LoadFormat::Files,
            args::LoadFormat::Dummy => LoadFormat::Dummy { seed: 0 },
        },
    }
}

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

/// The model as requests see it, without its weights.
fn served_model<R>(loaded: &LoadedModel<R>) -> Result<server::Model> {
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
            parallel_tool_calls: true,
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
            Sandbox::new(
                Limits {
                    max_instances: 16,
                    ..Limits::default()
                },
                Limits {
                    max_instances: 1,
                    ..Limits::for_functions()
                },
                None,
            )
            .unwrap(),
            None,
        );
        let file = plugins::PluginFile {
            path: None,
            shaper_config: plugins::Settings::new(),
        };
        let plugins = file.load(&loader).await.unwrap();
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
                .unwrap()
                .text;
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
