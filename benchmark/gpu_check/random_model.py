"""Writes a Qwen3 model with random weights in bf16 as safetensors: the same for the same seed on the same kind of device.

Weights have a standard deviation of 0.02, norms are near 1.
"""

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

QWEN3_4B = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 9728,
    "max_position_embeddings": 262144,
    "max_window_layers": 36,
    "model_type": "qwen3",
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 5000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
# What a model's folder holds besides config and weights.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
SHARD_BYTES = 2 << 30
DEVIATION = 0.02


def shapes(config):
    """Names and shapes of all weights, in the order of the file. A norm has one dimension."""
    hidden, head = config["hidden_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        yield start + "input_layernorm.weight", (hidden,)
        yield start + "self_attn.q_proj.weight", (q, hidden)
        yield start + "self_attn.k_proj.weight", (kv, hidden)
        yield start + "self_attn.v_proj.weight", (kv, hidden)
        yield start + "self_attn.q_norm.weight", (head,)
        yield start + "self_attn.k_norm.weight", (head,)
        yield start + "self_attn.o_proj.weight", (hidden, q)
        yield start + "post_attention_layernorm.weight", (hidden,)
        yield start + "mlp.gate_proj.weight", (config["intermediate_size"], hidden)
        yield start + "mlp.up_proj.weight", (config["intermediate_size"], hidden)
        yield start + "mlp.down_proj.weight", (hidden, config["intermediate_size"])
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def write(folder, layers, seed=1, config=QWEN3_4B, tokenizer=None):
    """Fills `folder`; copies the tokenizer's files from the folder `tokenizer` where there is one."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {**config, "num_hidden_layers": layers, "max_window_layers": layers}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in TOKENIZER_FILES:
        if tokenizer and (pathlib.Path(tokenizer) / name).is_file():
            shutil.copy(pathlib.Path(tokenizer) / name, folder / name)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator(device).manual_seed(seed)
    shards, shard, held = [], {}, 0
    for name, shape in shapes(config):
        weight = torch.randn(shape, generator=random, device=device)
        if len(shape) == 1:
            weight = 1 + 0.1 * weight
        else:
            weight *= DEVIATION
        if held > SHARD_BYTES:
            shards.append(shard)
            shard, held = {}, 0
        shard[name] = weight.to(torch.bfloat16).cpu().contiguous()
        held += shard[name].nbytes
    shards.append(shard)

    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    where = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(shard, file))
    total = sum(weight.nbytes for shard in shards for weight in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder")
    arguments.add_argument("--layers", type=int, default=36)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--tokenizer", help="a folder whose tokenizer is copied")
    given = arguments.parse_args()
    write(given.folder, given.layers, given.seed, tokenizer=given.tokenizer)


if __name__ == "__main__":
    main()
