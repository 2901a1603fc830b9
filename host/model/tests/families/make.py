#!/usr/bin/env python3
"""Makes tiny Llama and Qwen2 checkpoints beside this file, and what Hugging Face Transformers computes with them.

    python -m venv .venv
    .venv/bin/pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
    .venv/bin/python make.py

They cover what the Qwen3 checkpoints in ../golden do not: biases on every projection, Llama 3.1's rope scaling, a head that
is no power of two, lengths that are no multiple of 16, half floats, and weights in pieces with an index.

golden.json is as in ../golden: f32 results from full passes without a KV cache, prompts long enough for several blocks.
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

HERE = Path(__file__).parent
PROMPT_LENGTHS = [3, 37]
NEW_TOKENS = 12
MIN_MARGIN = 0.01

SHAPE = dict(
    hidden_size=48, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, intermediate_size=40,
    max_position_embeddings=512, bos_token_id=0, eos_token_id=1, attn_implementation="eager",
)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=10_000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
CHECKPOINTS = {
    "llama": (
        LlamaForCausalLM, torch.float32, "80KB",
        LlamaConfig(**SHAPE, head_dim=12, vocab_size=90, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3),
    ),
    "qwen2": (
        Qwen2ForCausalLM, torch.float16, "1GB",
        Qwen2Config(**SHAPE, vocab_size=101, tie_word_embeddings=True),
    ),
}


def randomise(model, generator):
    """Matrices that keep the size of what passes through them; biases that cannot be overlooked."""
    for name, weight in sorted(model.named_parameters()):
        if weight.dim() == 1:
            low, high = (-0.5, 0.5) if name.endswith("bias") else (0.3, 1.7)
            values = torch.empty(weight.shape).uniform_(low, high, generator=generator)
        else:
            spread = 0.4 if "embed_tokens" in name else 1.5 * weight.shape[-1] ** -0.5
            values = torch.empty(weight.shape).normal_(0.0, spread, generator=generator)
        weight.data.copy_(values)


def case_of(model, prompt):
    tokens, first, least = list(prompt), None, float("inf")
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        first = logits if first is None else first
        best = logits[-1].topk(2)
        least = min(least, (best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
    rounded = [[float(f"{value:.7g}") for value in row] for row in first.tolist()]
    return {"prompt": prompt, "greedy": tokens[len(prompt):], "logits": rounded}, least


def make(name, kind, dtype, shard_size, config):
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        model = kind(config)
        randomise(model, generator)
        model.to(dtype).save_pretrained(HERE / name, max_shard_size=shard_size)
        stored = kind.from_pretrained(HERE / name, dtype=torch.float32, attn_implementation="eager").eval()
        prompts = [torch.randint(0, config.vocab_size, (length,), generator=generator).tolist() for length in PROMPT_LENGTHS]
        cases, margins = zip(*(case_of(stored, prompt) for prompt in prompts))
        if min(margins) >= MIN_MARGIN:
            break
    head = {"transformers": transformers.__version__, "torch": torch.__version__, "seed": seed}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / name / "golden.json").write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n')
    print(f"{name}: seed {seed}, least margin {min(margins):.4f}, tokens {cases[0]['greedy']}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    for name, settings in CHECKPOINTS.items():
        make(name, *settings)
