//! Any sampling parameters, for any logits: the engine refuses them by name, or a token of the vocabulary is chosen with a
//! probability that is one.

#![no_main]

use arbitrary::Arbitrary;
use engine::{SamplingParams, sampling::Sampler};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    numbers: [Number; 6],
    top_k: Option<u32>,
    logit_bias: Vec<(u8, Number)>,
    seed: u64,
    logprobs: Option<u8>,
    stop_token_ids: Vec<u8>,
    min_tokens: u8,
    tokens: Vec<u8>,
    prompt_len: u8,
    /// In 64ths.
    logits: Vec<i16>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Thousandths(i16),
    Any(f32),
}

impl Number {
    fn value(self) -> f32 {
        match self {
            Number::Thousandths(count) => f32::from(count) / 1000.0,
            Number::Any(value) => value,
        }
    }
}

fuzz_target!(|input: Input| {
    let [
        temperature,
        top_p,
        min_p,
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
    ] = input.numbers.map(Number::value);
    let params = SamplingParams {
        temperature,
        top_p,
        top_k: input.top_k.unwrap_or(0) as usize,
        min_p,
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
        logit_bias: input
            .logit_bias
            .into_iter()
            .map(|(id, bias)| (id.into(), bias.value()))
            .collect(),
        seed: input.seed,
        logprobs: input.logprobs.map(usize::from),
        stop_token_ids: input.stop_token_ids.into_iter().map(u32::from).collect(),
        min_tokens: input.min_tokens.into(),
    };
    let logits: Vec<f32> = input
        .logits
        .into_iter()
        .map(|logit| f32::from(logit) / 64.0)
        .collect();
    let vocab_len = logits.len();
    if let Err(refusal) = params.check(vocab_len) {
        return assert!(!refusal.param.is_empty() && !refusal.must_be.is_empty());
    }
    let tokens: Vec<u32> = input
        .tokens
        .into_iter()
        .map(u32::from)
        .filter(|&token| (token as usize) < vocab_len)
        .collect();
    let prompt_len = usize::from(input.prompt_len).min(tokens.len());
    let is_barred = |token: u32| {
        tokens.len() - prompt_len < params.min_tokens && params.stop_token_ids.contains(&token)
    };
    let mut sampler = Sampler::new(&params, &tokens, prompt_len);
    let Some(chosen) = sampler.choose(&logits, tokens.len(), None) else {
        // A penalty so great makes a logit minus infinity.
        let is_overflow = repetition_penalty > 1e30;
        return assert!(
            is_overflow || (0..vocab_len as u32).all(is_barred),
            "nothing was chosen"
        );
    };
    assert!((chosen.id as usize) < vocab_len && !is_barred(chosen.id));
    assert_eq!(chosen.logprobs.is_some(), params.logprobs.is_some());
    if let Some(logprobs) = &chosen.logprobs {
        assert_eq!(
            logprobs.top.len(),
            params.logprobs.unwrap_or(0).min(vocab_len)
        );
        let all = logprobs
            .top
            .iter()
            .map(|&(_, logprob)| logprob)
            .chain([logprobs.chosen]);
        assert!(
            all.into_iter()
                .all(|logprob| (-9999.0..=0.001).contains(&logprob)),
            "{logprobs:?}"
        );
        assert!(
            logprobs
                .top
                .is_sorted_by(|(_, more), (_, less)| more >= less)
        );
    }
});
