//! Tiny Llama and Qwen2 checkpoints against what Hugging Face Transformers computes (`families/make.py`).

#[path = "support/feed.rs"]
mod feed;
#[path = "support/golden.rs"]
mod golden;

#[test]
fn a_llama_in_pieces_with_biases_and_scaled_rope_computes_what_transformers_computes() {
    golden::check("families/llama");
}

#[test]
fn a_half_float_qwen2_computes_what_transformers_computes() {
    golden::check("families/qwen2");
}
