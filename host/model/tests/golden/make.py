#!/usr/bin/env python3
"""Makes the tiny Qwen3 checkpoints beside this file, and what Hugging Face Transformers computes with them.

    python -m venv .venv
    .venv/bin/pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
    .venv/bin/python make.py

`tied/` is stored as f32 with a tied head and a config.json as Transformers 5 writes it; `untied/` as bf16 with a head of
its own, heads of 128 as the large models have them, and a config.json in the older form of Qwen's published files. The
weights are random but not small: the logits spread, the norms matter, and greedy text does not fall into a loop at once.

golden.json holds f32 results, computed without a KV cache: every token from a full pass over all tokens before it. Stored
bf16 weights are widened first, so the only rounding is f32's. Greedy never ends at an end token. No margin between the
best two tokens is below MIN_MARGIN: a different order of summation must not be able to change a token.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import Qwen3Config, Qwen3ForCausalLM

HERE = Path(__file__).parent
# Around one block of 16, its first slot, and several blocks.
PROMPT_LENGTHS = [1, 5, 17, 40]
NEW_TOKENS = 24
MIN_MARGIN = 0.01
# A sequence with fewer different tokens than this would hide faults in positions and cache.
MIN_DISTINCT = 10

CHECKPOINTS = {
    "tied": dict(
        dtype=torch.float32, published_form=False, vocab_size=300, hidden_size=64, intermediate_size=80, head_dim=32,
        tie_word_embeddings=True, rope_theta=10_000.0, rms_norm_eps=1e-5,
    ),
    "untied": dict(
        dtype=torch.bfloat16, published_form=True, vocab_size=256, hidden_size=64, intermediate_size=128, head_dim=128,
        tie_word_embeddings=False, rope_theta=5_000_000.0, rms_norm_eps=1e-6,
    ),
}


def config_of(vocab_size, rope_theta, **shape):
    return Qwen3Config(
        vocab_size=vocab_size, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        attn_implementation="eager", **shape,
    )


def randomise(model, generator):
    """Matrices that keep the size of what passes through them; norm weights far from 1."""
    for name, weight in sorted(model.named_parameters()):
        if weight.dim() == 1:
            # QK-norm decides how sharp attention is: around 1.5 its scores spread over several units.
            low, high = (0.5, 2.5) if name.endswith(("q_norm.weight", "k_norm.weight")) else (0.3, 1.7)
            values = torch.empty(weight.shape).uniform_(low, high, generator=generator)
        else:
            spread = 0.4 if "embed_tokens" in name else 1.5 * weight.shape[-1] ** -0.5
            values = torch.empty(weight.shape).normal_(0.0, spread, generator=generator)
        weight.data.copy_(values)


def save(model, folder, published_form, shape):
    model.save_pretrained(folder)
    if not published_form:
        return
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("rope_parameters")
    config.pop("layer_types", None)
    config["torch_dtype"] = config.pop("dtype")
    config["rope_scaling"] = None
    config["rope_theta"] = int(shape["rope_theta"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def continue_greedily(model, prompt):
    tokens, margins, first = list(prompt), [], None
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        first = logits if first is None else first
        best = logits[-1].topk(2)
        margins.append((best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
    return first, tokens[len(prompt):], margins


def rounded(values):
    return [float(f"{value:.7g}") for value in values]


def cases_of(model, vocab_size, generator):
    """The cases, or None where this seed gave a near-tie or a dull text."""
    cases = []
    for length in PROMPT_LENGTHS:
        prompt = torch.randint(0, vocab_size, (length,), generator=generator).tolist()
        logits, greedy, margins = continue_greedily(model, prompt)
        if min(margins) < MIN_MARGIN or len(set(greedy)) < MIN_DISTINCT:
            return None
        cases.append({
            "prompt": prompt, "greedy": greedy, "greedy_margin": rounded(margins),
            "logits": [rounded(row.tolist()) for row in logits],
        })
    return cases


def make(name, dtype, published_form, **shape):
    folder = HERE / name
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        model = Qwen3ForCausalLM(config_of(**shape))
        randomise(model, generator)
        save(model.to(dtype), folder, published_form, shape)
        # From the files alone: rounded to the stored type, then widened, as any reader of them does it.
        stored = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        cases = cases_of(stored, shape["vocab_size"], generator)
        if cases is not None:
            break
    else:
        sys.exit(f"{name}: no seed below 1000 gives clear margins; change the spreads in randomise()")
    head = {"transformers": transformers.__version__, "torch": torch.__version__, "seed": seed}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (folder / "golden.json").write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n')
    least = min(margin for case in cases for margin in case["greedy_margin"])
    spread = torch.tensor(cases[-1]["logits"]).std().item()
    distinct = [len(set(case["greedy"])) for case in cases]
    print(f"{name}: seed {seed}, least margin {least:.4f}, logits' spread {spread:.2f}, distinct tokens {distinct}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    for name, settings in CHECKPOINTS.items():
        make(name, **settings)
