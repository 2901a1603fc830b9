//! From a path to a runner that is ready for its first step.

use std::time::{Duration, Instant};

use engine::runner::RunnerLimits;
use half::bf16;
use kernels::cuda::{
    CudaError, Device, KernelSource, PAGE_LEN, decode_attention::DecodeAttention,
    sampling::MAX_VOCAB_LEN,
};

use super::{
    forward::Forward,
    graphs::bucket,
    load,
    memory::{MemoryPlan, block_bytes},
    runner::CudaRunner,
    scratch::Capacity,
    weights::{DeviceWeights, Layout},
};
use crate::{
    LoadedModel,
    config::{Architecture, ModelConfig},
    error::LoadError,
    files::{Format, ModelFiles},
    open::{KvMemory, LoadFormat, OpenOptions},
    weights::{GgufTensors, SafetensorsTensors},
};

/// vLLM's default.
const DEFAULT_UTILIZATION: f64 = 0.9;

/// Why a model cannot run on the GPU.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is the model's or the options' fault.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no kernel for it.
    #[error("the GPU kernels do not support {0}; --device cpu does")]
    Unsupported(String),
    /// It is the GPU's.
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

/// What runs, and how long its parts took to get ready.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The card.
    pub device: String,
    /// Where the kernels came from.
    pub kernels: KernelSource,
    /// What is where in its memory.
    pub memory: MemoryPlan,
    /// What was done, in order, and for how long.
    pub phases: Vec<(&'static str, Duration)>,
}

/// Whether there is a driver and a card.
pub fn is_present() -> bool {
    Device::is_present()
}

/// Times what is done one after the other.
struct Clock {
    phases: Vec<(&'static str, Duration)>,
    last: Instant,
}

impl Clock {
    fn done(&mut self, phase: &'static str) {
        let now = Instant::now();
        self.phases.push((phase, now - self.last));
        self.last = now;
    }
}

/// Opens the first GPU and puts the model on it.
pub fn open(
    files: ModelFiles,
    options: &OpenOptions,
) -> Result<LoadedModel<CudaRunner>, OpenError> {
    let ModelFiles {
        path,
        config,
        chat,
        tokenizer,
        format,
    } = files;
    check_support(&config)?;
    let mut clock = Clock {
        phases: Vec::new(),
        last: Instant::now(),
    };
    let device = Device::open()?;
    clock.done("GPU context and kernels");

    let layout = Layout::new(&config);
    let max_model_len = max_model_len(&config, options)?;
    let max_num_seqs = options.max_num_seqs.max(1);
    let capacity = Capacity {
        num_tokens: options.max_num_batched_tokens,
        num_rows: bucket(max_num_seqs),
        num_positions: max_model_len,
    };
    let memory = plan(&device, &config, &layout, options, capacity, max_num_seqs)?;
    let limits = limits(&config, &memory, options, max_model_len)?;

    let numbers = device.zeros::<bf16>("weights", layout.len)?;
    match (&format, options.load_format) {
        (Format::Folder, LoadFormat::Files) => load::load(
            &device,
            &config,
            &layout,
            &SafetensorsTensors::open(&path)?,
            &numbers,
        )?,
        (Format::Gguf { content, file }, LoadFormat::Files) => load::load(
            &device,
            &config,
            &layout,
            &GgufTensors::new(&path, content, file),
            &numbers,
        )?,
        (Format::Folder, LoadFormat::Dummy { seed }) => {
            load::make_up(&device, &config, &layout, seed, &numbers)?
        }
        (Format::Gguf { .. }, LoadFormat::Dummy { .. }) => {
            return Err(LoadError::dummy_gguf().into());
        }
    }
    drop(format);
    clock.done("weights");

    let cache = device.zeros::<bf16>(
        "keys and values",
        memory.num_blocks * (block_bytes(&config) as usize / size_of::<bf16>()),
    )?;
    let weights = DeviceWeights {
        config: config.clone(),
        layout,
        numbers,
    };
    let forward = Forward::new(&device, weights, cache, capacity)?;
    clock.done("key/value cache and buffers");

    let summary = Summary {
        device: device.name()?,
        kernels: KernelSource::of_this_process(),
        memory,
        phases: Vec::new(),
    };
    let mut runner = CudaRunner::new(
        device,
        forward,
        limits,
        max_num_seqs,
        options.max_num_batched_tokens,
        summary,
    )?;
    clock.done("graphs");
    runner.set_phases(clock.phases);
    Ok(LoadedModel {
        runner,
        config,
        chat,
        tokenizer,
        path,
    })
}

fn max_model_len(config: &ModelConfig, options: &OpenOptions) -> Result<usize, LoadError> {
    let asked = options.max_model_len.unwrap_or(config.max_position_len);
    match (1..=config.max_position_len).contains(&asked) {
        true => Ok(asked),
        false => Err(LoadError::Option(format!(
            "a maximum model length of {asked} is not within 1..={}",
            config.max_position_len
        ))),
    }
}

fn plan(
    device: &Device,
    config: &ModelConfig,
    layout: &Layout,
    options: &OpenOptions,
    capacity: Capacity,
    max_num_seqs: usize,
) -> Result<MemoryPlan, OpenError> {
    let (utilization, asked_blocks) = match options.kv_memory {
        KvMemory::Auto => (DEFAULT_UTILIZATION, None),
        KvMemory::Share(share) => (share, None),
        KvMemory::Bytes(bytes) => (
            DEFAULT_UTILIZATION,
            Some((bytes / block_bytes(config)) as usize),
        ),
        KvMemory::Blocks(blocks) => (DEFAULT_UTILIZATION, Some(blocks)),
    };
    Ok(MemoryPlan::new(
        config,
        layout,
        device.memory()?,
        utilization,
        capacity,
        max_num_seqs,
        asked_blocks,
    )?)
}

fn limits(
    config: &ModelConfig,
    memory: &MemoryPlan,
    options: &OpenOptions,
    max_model_len: usize,
) -> Result<RunnerLimits, LoadError> {
    let possible_len = memory.num_blocks * PAGE_LEN;
    if possible_len < max_model_len && options.max_model_len.is_some() {
        let mib = |blocks: usize| (blocks as u64 * block_bytes(config)).div_ceil(1 << 20);
        return Err(LoadError::CacheTooSmall {
            max_model_len,
            needed_mib: mib(max_model_len.div_ceil(PAGE_LEN)),
            given_mib: mib(memory.num_blocks),
            possible_len,
        });
    }
    Ok(RunnerLimits {
        block_len: PAGE_LEN,
        num_blocks: memory.num_blocks,
        vocab_len: config.vocab_len,
        hidden_len: config.hidden_len,
        max_model_len: max_model_len.min(possible_len),
    })
}

/// What the kernels can do. What they cannot is computed by the CPU.
pub fn check_support(config: &ModelConfig) -> Result<(), OpenError> {
    let refuse = |what: String| Err(OpenError::Unsupported(what));
    let biases = config.biases;
    if config.architecture == Architecture::Qwen2 || biases.qkv || biases.output || biases.mlp {
        return refuse("projections with biases (Qwen2)".to_owned());
    }
    DecodeAttention::group(config.num_heads, config.num_kv_heads, config.head_len)
        .map_err(OpenError::Unsupported)?;
    if config.rope_frequencies.len() * 2 != config.head_len {
        return refuse("heads that are turned in part".to_owned());
    }
    for (name, len) in [
        ("hidden size", config.hidden_len),
        ("feed-forward size", config.ffn_len),
    ] {
        if !len.is_multiple_of(64) || len > 1 << 16 {
            return refuse(format!(
                "a {name} of {len}, only multiples of 64 up to 65536"
            ));
        }
    }
    if config.vocab_len > MAX_VOCAB_LEN {
        return refuse(format!(
            "a vocabulary of {} tokens, only up to {MAX_VOCAB_LEN}",
            config.vocab_len
        ));
    }
    if !config.vocab_len.is_multiple_of(16) {
        return refuse(format!(
            "a vocabulary of {} tokens, only multiples of 16",
            config.vocab_len
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn support(json: &str) -> Result<(), String> {
        let config = ModelConfig::from_json(Path::new("config.json"), json).unwrap();
        check_support(&config).map_err(|error| error.to_string())
    }

    /// A config of Qwen3's form with these heads and vocabulary.
    fn qwen3(num_heads: usize, num_kv_heads: usize, head_len: usize, vocab_len: usize) -> String {
        format!(
            r#"{{"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 2,
            "num_attention_heads": {num_heads}, "num_key_value_heads": {num_kv_heads}, "head_dim": {head_len},
            "vocab_size": {vocab_len}, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1000000}}"#
        )
    }

    #[test]
    fn every_dense_qwen3_has_kernels() {
        for (heads, kv_heads) in [(16, 8), (32, 8), (40, 8), (64, 8)] {
            assert_eq!(support(&qwen3(heads, kv_heads, 128, 151_936)), Ok(()));
        }
    }

    #[test]
    fn what_has_no_kernel_is_named_with_a_way_out() {
        let heads = support(&qwen3(28, 4, 128, 151_936)).unwrap_err();
        assert!(
            heads.contains("28 query heads and 4 key/value heads")
                && heads.contains("--device cpu"),
            "{heads}"
        );
        let vocab = support(&qwen3(32, 8, 128, 151_935)).unwrap_err();
        assert!(vocab.contains("a vocabulary of 151935 tokens"), "{vocab}");
        let vocab = support(&qwen3(32, 8, 128, 1 << 20)).unwrap_err();
        assert!(vocab.contains("only up to"), "{vocab}");
        let qwen2 = r#"{"model_type": "qwen2", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 2,
            "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 151936, "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6}"#;
        assert!(support(qwen2).unwrap_err().contains("biases"));
    }
}
