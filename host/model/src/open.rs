//! From a path to a runner that is ready for its first step.

use std::path::{Path, PathBuf};

use engine::runner::RunnerLimits;
use kernels::{BLOCK_LEN, Cpu, KvCache};

use crate::chat::ChatFiles;
use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::error::LoadError;
use crate::files::{Format, ModelFiles};
use crate::memory::available_bytes;
use crate::runner::CpuRunner;
use crate::tokenizer::TokenizerSource;
use crate::weights::{DummyTensors, GgufTensors, SafetensorsTensors, Weights};

/// Memory for keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KvMemory {
    /// Enough for the greatest number of the longest sequences, at most a quarter of the free memory.
    Auto,
    /// This share of the free memory, 0 to 1, rounded down to whole blocks.
    Share(f64),
    /// So many bytes, rounded down to whole blocks.
    Bytes(u64),
    /// So many blocks of 16 tokens.
    Blocks(usize),
}

/// Where the weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFormat {
    /// The files.
    Files,
    /// Random numbers of the config's shape, from a seed: for speed tests. Needs a folder with a `config.json`.
    Dummy {
        /// The same seed gives the same weights.
        seed: u64,
    },
}

/// How to open a model.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// The longest sequence in tokens; `None`: the model's own, or what the cache can hold if that is less.
    pub max_model_len: Option<usize>,
    /// Sequences that run at once: for `KvMemory::Auto`, and for the GPU's buffers.
    pub max_num_seqs: usize,
    /// Tokens computed in one step, for the GPU's buffers.
    pub max_num_batched_tokens: usize,
    /// Memory for keys and values.
    pub kv_memory: KvMemory,
    /// Threads; `None`: one for each core available.
    pub num_threads: Option<usize>,
    /// Where the weights come from.
    pub load_format: LoadFormat,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            max_model_len: None,
            max_num_seqs: 64,
            max_num_batched_tokens: 2048,
            kv_memory: KvMemory::Auto,
            num_threads: None,
            load_format: LoadFormat::Files,
        }
    }
}

/// A runner and what others need to know of its model.
pub struct LoadedModel<R = CpuRunner> {
    /// Executes steps.
    pub runner: R,
    /// The decoder's shape.
    pub config: ModelConfig,
    /// End tokens, template, recommended sampling.
    pub chat: ChatFiles,
    /// The vocabulary.
    pub tokenizer: TokenizerSource,
    /// The folder or file.
    pub path: PathBuf,
}

/// Opens the folder or `.gguf` file at `path` and loads its weights for the CPU.
pub fn open(path: &Path, options: &OpenOptions) -> Result<LoadedModel, LoadError> {
    ModelFiles::open(path)?.load(options)
}

impl ModelFiles {
    /// Loads the weights for the CPU.
    pub fn load(self, options: &OpenOptions) -> Result<LoadedModel, LoadError> {
        let Self {
            path,
            config,
            chat,
            tokenizer,
            format,
        } = self;
        let weights = match (&format, options.load_format) {
            (Format::Folder, LoadFormat::Files) => {
                Weights::load(&config, &SafetensorsTensors::open(&path)?)?
            }
            (Format::Folder, LoadFormat::Dummy { seed }) => {
                Weights::load(&config, &DummyTensors { seed })?
            }
            (Format::Gguf { content, file }, LoadFormat::Files) => {
                Weights::load(&config, &GgufTensors::new(&path, content, file))?
            }
            (Format::Gguf { .. }, LoadFormat::Dummy { .. }) => return Err(LoadError::dummy_gguf()),
        };
        // The file's pages count as free once nothing maps them.
        drop(format);
        let limits = limits(&config, options, available_bytes())?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Cpu::new(options.num_threads.unwrap_or_else(cores));
        let (num_parameters, weight_bytes) = (config.num_parameters(), weights.byte_len());
        let decoder = Decoder::new(config.clone(), weights, limits.num_blocks, cpu);
        let runner = CpuRunner::new(decoder, limits, num_parameters, weight_bytes);
        tracing::info!(
            architecture = config.architecture.name(),
            num_parameters,
            weight_mib = weight_bytes >> 20,
            kv_tokens = runner_tokens(&runner),
            num_threads = runner.num_threads(),
            instruction_set = runner.instruction_set(),
            "model loaded"
        );
        Ok(LoadedModel {
            runner,
            config,
            chat,
            tokenizer,
            path,
        })
    }
}

fn runner_tokens(runner: &CpuRunner) -> usize {
    use engine::runner::ModelRunner;
    runner.limits().num_blocks * BLOCK_LEN
}

/// The size of the cache and the longest sequence that it holds. `available` is the free memory in bytes.
fn limits(
    config: &ModelConfig,
    options: &OpenOptions,
    available: u64,
) -> Result<RunnerLimits, LoadError> {
    let asked_len = options.max_model_len.unwrap_or(config.max_position_len);
    if !(1..=config.max_position_len).contains(&asked_len) {
        let most = config.max_position_len;
        return Err(LoadError::Option(format!(
            "a maximum model length of {asked_len} is not within 1..={most}"
        )));
    }
    let block_bytes =
        (config.num_layers * KvCache::block_byte_len(config.num_kv_heads, config.head_len)) as u64;
    let blocks_per_seq = asked_len.div_ceil(BLOCK_LEN);
    let affordable = |bytes: u64| {
        usize::try_from(bytes / block_bytes)
            .unwrap_or(usize::MAX)
            .min(u32::MAX as usize)
    };
    let num_blocks = match options.kv_memory {
        KvMemory::Auto => affordable(available / 4)
            .min(blocks_per_seq.saturating_mul(options.max_num_seqs.max(1))),
        KvMemory::Share(share) => affordable((available as f64 * share) as u64),
        KvMemory::Bytes(bytes) => affordable(bytes),
        KvMemory::Blocks(blocks) => blocks.min(u32::MAX as usize),
    };
    let possible_len = num_blocks.saturating_mul(BLOCK_LEN);
    if num_blocks == 0 || (possible_len < asked_len && options.max_model_len.is_some()) {
        return Err(LoadError::CacheTooSmall {
            max_model_len: asked_len,
            needed_mib: (blocks_per_seq as u64 * block_bytes).div_ceil(1 << 20),
            given_mib: (num_blocks as u64 * block_bytes) >> 20,
            possible_len,
        });
    }
    if possible_len < asked_len {
        tracing::warn!(
            max_model_len = possible_len,
            model_len = asked_len,
            "the cache holds shorter sequences only"
        );
    }
    Ok(RunnerLimits {
        block_len: BLOCK_LEN,
        num_blocks,
        vocab_len: config.vocab_len,
        hidden_len: config.hidden_len,
        max_model_len: asked_len.min(possible_len),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ModelConfig {
        let text = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 300, "max_position_embeddings": 512, "rms_norm_eps": 1e-5}"#;
        ModelConfig::from_json(Path::new("config.json"), text).unwrap()
    }

    /// 2 layers x 4 heads x 16 numbers x 16 tokens x key and value x 4 bytes.
    const BLOCK_BYTES: u64 = 16_384;

    #[test]
    fn the_cache_is_as_large_as_useful_and_at_most_a_quarter_of_the_free_memory() {
        let options = OpenOptions {
            max_num_seqs: 3,
            ..OpenOptions::default()
        };
        let plenty = limits(&config(), &options, 1 << 40).unwrap();
        assert_eq!((plenty.num_blocks, plenty.max_model_len), (3 * 32, 512));
        let little = limits(&config(), &options, 4 * 40 * BLOCK_BYTES).unwrap();
        assert_eq!((little.num_blocks, little.max_model_len), (40, 512));
        let less = limits(&config(), &options, 4 * 10 * BLOCK_BYTES).unwrap();
        assert_eq!((less.num_blocks, less.max_model_len), (10, 160));
    }

    #[test]
    fn a_length_that_was_asked_for_is_never_cut() {
        let options = OpenOptions {
            max_model_len: Some(200),
            kv_memory: KvMemory::Bytes(10 * BLOCK_BYTES),
            ..OpenOptions::default()
        };
        let error = limits(&config(), &options, 1 << 40)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("lower the maximum model length to 160"),
            "{error}"
        );
        let options = OpenOptions {
            max_model_len: Some(513),
            ..OpenOptions::default()
        };
        let error = limits(&config(), &options, 1 << 40)
            .unwrap_err()
            .to_string();
        assert!(error.contains("513 is not within 1..=512"), "{error}");
    }

    #[test]
    fn a_number_of_blocks_is_taken_as_given() {
        let options = OpenOptions {
            kv_memory: KvMemory::Blocks(7),
            ..OpenOptions::default()
        };
        assert_eq!(limits(&config(), &options, 0).unwrap().num_blocks, 7);
    }
}
