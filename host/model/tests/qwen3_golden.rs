//! Tiny Qwen3 checkpoints against the logits and greedy tokens that Hugging Face Transformers computes (`golden/make.py`).

#[path = "support/feed.rs"]
mod feed;
#[path = "support/golden.rs"]
mod golden;

#[test]
fn a_tied_float_checkpoint_computes_what_transformers_computes() {
    golden::check("golden/tied");
}

#[test]
fn an_untied_bfloat16_checkpoint_computes_what_transformers_computes() {
    golden::check("golden/untied");
}
