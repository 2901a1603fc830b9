#!/usr/bin/env python3
"""Makes the small tokenizer beside this file, and what Hugging Face's library encodes with it.

    python -m venv .venv
    .venv/bin/pip install tokenizers==0.23.3
    .venv/bin/python make.py

A byte-level BPE of 700 tokens is trained on the text below. tokenizer.json is it in Qwen3's form (NFC, Qwen's regex, marks
that are special and marks that are not). expected.json holds the ids of TEXTS for that vocabulary under each way of
cutting text that GGUF files name, set up as the models' own tokenizer.json files have it, and with some ids decoded.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

HERE = Path(__file__).parent
VOCAB_LEN = 700
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
NOT_SPECIAL = ["<think>", "</think>"]

CORPUS = """\
The server reads a request, finds out what the client wants, and writes the answer while it is being made. A request that
waits too long is refused; a request that nobody reads any more is dropped. We don't know what the next word will be, and
that's why we ask the model. It'll answer with numbers: 1, 2, 3, 10, 100, 1000, 1995, 2000, 2024, 2025, 1234, 12345, 123456
and 123456789; 1/12, 1/123 and 12.34, 123.45, 1000.00. They've said: "I'm here,
you're there; he'd go if we'd let him." WE DON'T SHOUT. The quick brown fox jumps over the lazy dog, then the dog sleeps.

Der Anfang ist schwer, aber über Nacht wird es schöner: größer, höher, süßer. Les élèves étaient très étonnés; où est-ce que
le garçon a déjà mangé? El niño soñó con mañana. Привет, мир! Привет, люди! 你好，世界。你好，朋友。世界很大。こんにちは世界、
こんにちは。 안녕하세요 세계. नमस्ते दुनिया। مرحبا بالعالم 🙂 🙂 👩‍💻 🎉🎉

fn main() {
    let numbers = vec![1, 2, 3];
    for number in numbers.iter() {
        println!("{}", number);
    }
}

def answer(question):
    if not question:
        return None
    return {"question": question, "answer": 42}
"""

TEXTS = [
    "", " ", "a", "The server reads a request.", "  two  blanks   three", "don't DON'T I'll we'D they've", "1 12 123 1234 3.14159",
    "x²+½=Ⅷ ٣٤", "tab\tand\nnew\r\nlines\n\n\n  end  ", "    return None\n", "größer schöner", "e\u0301te\u0301 = \u00e9t\u00e9",
    "你好，世界。", "Привет, мир!", "नमस्ते", "안녕하세요", "\u1112\u1161\u11ab", "🙂👩‍💻🎉 🏳️‍🌈", "zero\u200bwidth \u00a0nbsp", "!!!???...---", "'s's 't",
    "<|im_start|>user\nHello<|im_end|>\n", "<|im_start|><|im_start|> <|im_end", "<think>\nwhy\n</think>\n\nbecause", "\u0000\u0001\u007f",
    "<|im_end|>\u0338", "unmergeable", "a1b22c333", "(2024-12-31 23:59)",
]

QWEN2 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)


def by_regex(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
# name in GGUF: (cut, normaliser, words that are tokens are not merged)
WAYS = {
    "gpt-2": (GPT2, None, False),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2]), None, False),
    "qwen2": (by_regex(QWEN2), normalizers.NFC(), False),
    "llama-bpe": (by_regex(QWEN2.replace("\\p{N}|", "\\p{N}{1,3}|")), None, True),
}


def tokenizer(vocab, merges, way):
    cut, normaliser, ignore_merges = WAYS[way]
    made = Tokenizer(BPE(vocab, merges, ignore_merges=ignore_merges))
    made.pre_tokenizer = cut
    if normaliser is not None:
        made.normalizer = normaliser
    made.decoder = decoders.ByteLevel()
    made.add_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in NOT_SPECIAL])
    return made


def main():
    trained = Tokenizer(BPE())
    # Cuts less than any of WAYS, so that there are merges which each of them must prevent.
    trained.pre_tokenizer = by_regex("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+|[^\\p{L}\\p{N}]+")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_LEN, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([CORPUS], trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
    # No merges lead to it: only where whole words go first is it ever used.
    vocab["unmergeable"] = len(vocab)

    made = {way: tokenizer(vocab, merges, way) for way in WAYS}
    (HERE / "tokenizer.json").write_text(made["qwen2"].to_str(pretty=False) + "\n")
    encodings = {way: [{"text": text, "ids": made[way].encode(text).ids} for text in TEXTS] for way in WAYS}
    # Ids that cut characters apart, and ids beyond the vocabulary.
    start, end, think = (made["qwen2"].token_to_id(mark) for mark in ("<|im_start|>", "<|im_end|>", "<think>"))
    streams = [made["qwen2"].encode(text).ids for text in TEXTS]
    streams += [list(range(240)), [start, 40, 9999, end, 41, think, 187]]
    decodings = [
        {"ids": ids, "keep": made["qwen2"].decode(ids, False), "drop": made["qwen2"].decode(ids, True)} for ids in streams
    ]
    expected = json.dumps({"encodings": encodings, "decodings": decodings}, ensure_ascii=True, separators=(",", ":"))
    (HERE / "expected.json").write_text(expected + "\n")
    sizes = {way: sum(len(case["ids"]) for case in cases) for way, cases in encodings.items()}
    print(f"{made['qwen2'].get_vocab_size()} tokens; ids per way: {sizes}")


if __name__ == "__main__":
    main()
