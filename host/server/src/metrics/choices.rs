//! What requests to the model show. vLLM makes a request of its own of each of the `n` choices of a prompt, and so it is counted
//! here: its `request` is our choice.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// vLLM's bounds for times to the first token, in seconds.
const FIRST_TOKEN: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];

/// Its bounds for times between tokens, in seconds.
const BETWEEN_TOKENS: [f64; 19] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];

/// Its bounds for times of a request, in seconds.
const REQUEST: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

/// Its bounds for the number of choices.
const CHOICES: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];

/// 1, 2, 5, 10, 20, 50 … as far as a sequence can be long.
fn tokens(max_model_len: usize) -> impl Iterator<Item = f64> {
    let decades = std::iter::successors(Some(1), |decade: &usize| decade.checked_mul(10));
    decades
        .flat_map(|decade| [1, 2, 5].map(|digit| decade.saturating_mul(digit)))
        .take_while(move |&bound| bound <= max_model_len)
        .map(|bound| bound as f64)
}

/// Counters and histograms of prompts and choices.
pub(crate) struct ChoiceMetrics {
    prompt_tokens: Counter,
    cached_tokens: Counter,
    tokens_by_source: Family<Source, Counter>,
    generation_tokens: Counter,
    ended: Family<Finished, Counter>,
    first_token: Histogram,
    between_tokens: Histogram,
    per_output_token: Histogram,
    whole: Histogram,
    queue: Histogram,
    inference: Histogram,
    prefill: Histogram,
    decode: Histogram,
    prompt_len: Histogram,
    computed_len: Histogram,
    answer_len: Histogram,
    longest_answer: Histogram,
    num_choices: Histogram,
    max_tokens: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Finished {
    finished_reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

/// How a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChoiceEnd {
    /// By a stop token, a stop string, or the end of its form.
    Stop,
    /// With a call of a tool.
    ToolCalls,
    /// At `max_tokens` or the end of the context.
    Length,
    /// Its client left.
    Abort,
    /// It was lost.
    Error,
}

impl ChoiceEnd {
    /// The metric's label; those that vLLM has are named as there.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ChoiceEnd::Stop => "stop",
            ChoiceEnd::ToolCalls => "tool_calls",
            ChoiceEnd::Length => "length",
            ChoiceEnd::Abort => "abort",
            ChoiceEnd::Error => "error",
        }
    }
}

/// A choice that had a token.
pub(crate) struct Inference {
    /// From the start of its sequence to its first token.
    pub(crate) prefill: Duration,
    /// From there to its last one.
    pub(crate) decode: Duration,
    /// Tokens of the answer, a stop token among them; at least 1.
    pub(crate) answer_len: usize,
}

impl ChoiceMetrics {
    pub(super) fn new(max_model_len: usize) -> Self {
        let request = || Histogram::new(REQUEST);
        let lens = || Histogram::new(tokens(max_model_len));
        Self {
            prompt_tokens: Counter::default(),
            cached_tokens: Counter::default(),
            tokens_by_source: Family::default(),
            generation_tokens: Counter::default(),
            ended: Family::default(),
            first_token: Histogram::new(FIRST_TOKEN),
            between_tokens: Histogram::new(BETWEEN_TOKENS),
            per_output_token: Histogram::new(BETWEEN_TOKENS),
            whole: request(),
            queue: request(),
            inference: request(),
            prefill: request(),
            decode: request(),
            prompt_len: lens(),
            computed_len: lens(),
            answer_len: lens(),
            longest_answer: lens(),
            num_choices: Histogram::new(CHOICES),
            max_tokens: lens(),
        }
    }

    /// The engine took a prompt on: so many choices of at most so many tokens.
    pub(crate) fn asked(&self, num_choices: u32, max_tokens: usize) {
        self.num_choices.observe(f64::from(num_choices));
        self.max_tokens.observe(max_tokens as f64);
    }

    /// A prompt's first sequence began to run: this much of it is new, and this much was in the cache.
    pub(crate) fn prompt(&self, computed_len: usize, cached_len: usize) {
        let of_source = |source| {
            self.tokens_by_source
                .get_or_create_owned(&Source { source })
        };
        self.prompt_tokens
            .inc_by((computed_len + cached_len) as u64);
        self.cached_tokens.inc_by(cached_len as u64);
        of_source("local_compute").inc_by(computed_len as u64);
        of_source("local_cache_hit").inc_by(cached_len as u64);
    }

    /// A sequence began to run after so long a wait; this much of its prompt is not in the cache.
    pub(crate) fn started(&self, after: Duration, computed_len: usize) {
        self.queue.observe(after.as_secs_f64());
        self.computed_len.observe(computed_len as f64);
    }

    /// A choice's first tokens were ready, this long after the request arrived.
    pub(crate) fn first_tokens(&self, len: usize, after: Duration) {
        self.generation_tokens.inc_by(len as u64);
        self.first_token.observe(after.as_secs_f64());
    }

    /// `len` more tokens of a choice came, this long after the ones before.
    pub(crate) fn more_tokens(&self, len: usize, gap: Duration) {
        self.generation_tokens.inc_by(len as u64);
        let each = gap.as_secs_f64() / len as f64;
        (0..len).for_each(|_| self.between_tokens.observe(each));
    }

    /// A choice ended. As with vLLM, one that was given up or lost is counted and not timed.
    pub(crate) fn ended(
        &self,
        end: ChoiceEnd,
        prompt_len: usize,
        since_arrival: Duration,
        inference: Option<Inference>,
    ) {
        let finished_reason = end.as_str();
        self.ended
            .get_or_create(&Finished { finished_reason })
            .inc();
        if matches!(end, ChoiceEnd::Abort | ChoiceEnd::Error) {
            return;
        }
        self.whole.observe(since_arrival.as_secs_f64());
        self.prompt_len.observe(prompt_len as f64);
        let Some(Inference {
            prefill,
            decode,
            answer_len,
        }) = inference
        else {
            return;
        };
        self.prefill.observe(prefill.as_secs_f64());
        self.decode.observe(decode.as_secs_f64());
        self.inference.observe((prefill + decode).as_secs_f64());
        self.answer_len.observe(answer_len as f64);
        if answer_len > 1 {
            let each = decode.as_secs_f64() / (answer_len - 1) as f64;
            self.per_output_token.observe(each);
        }
    }

    /// All choices of a request ended, the longest with so many tokens.
    pub(crate) fn all_ended(&self, longest_answer: usize) {
        self.longest_answer.observe(longest_answer as f64);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "vllm:prompt_tokens",
                "Tokens of the prompts that began to run",
                &self.prompt_tokens,
            ),
            (
                "vllm:prompt_tokens_cached",
                "Those of them that were in the cache",
                &self.cached_tokens,
            ),
            (
                "vllm:generation_tokens",
                "Tokens generated",
                &self.generation_tokens,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "vllm:prompt_tokens_by_source",
            "The same, by where their keys and values came from",
            self.tokens_by_source.clone(),
        );
        registry.register(
            "vllm:request_success",
            "Choices that ended, by reason",
            self.ended.clone(),
        );
        for (name, help, histogram) in self.times() {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        for (name, help, histogram) in self.lens() {
            registry.register(name, help, histogram.clone());
        }
    }

    fn times(&self) -> [Shown<'_>; 8] {
        [
            (
                "vllm:time_to_first_token",
                "From arrival to the first token",
                &self.first_token,
            ),
            (
                "vllm:inter_token_latency",
                "Between tokens of one choice",
                &self.between_tokens,
            ),
            (
                "vllm:request_time_per_output_token",
                "Mean time of a token of a choice after the first",
                &self.per_output_token,
            ),
            (
                "vllm:e2e_request_latency",
                "From arrival to a choice's end",
                &self.whole,
            ),
            (
                "vllm:request_queue_time",
                "From the engine's taking a choice on to its start",
                &self.queue,
            ),
            (
                "vllm:request_inference_time",
                "From a choice's start to its last token",
                &self.inference,
            ),
            (
                "vllm:request_prefill_time",
                "From a choice's start to its first token",
                &self.prefill,
            ),
            (
                "vllm:request_decode_time",
                "From a choice's first token to its last",
                &self.decode,
            ),
        ]
    }

    fn lens(&self) -> [Shown<'_>; 6] {
        [
            (
                "vllm:request_prompt_tokens",
                "Tokens of a choice's prompt",
                &self.prompt_len,
            ),
            (
                "vllm:request_prefill_kv_computed_tokens",
                "Tokens of a choice's prompt that were not in the cache",
                &self.computed_len,
            ),
            (
                "vllm:request_generation_tokens",
                "Tokens of a choice's answer",
                &self.answer_len,
            ),
            (
                "vllm:request_max_num_generation_tokens",
                "Tokens of a request's longest answer",
                &self.longest_answer,
            ),
            (
                "vllm:request_params_n",
                "Choices that a prompt asks for",
                &self.num_choices,
            ),
            (
                "vllm:request_params_max_tokens",
                "The most tokens that an answer may have",
                &self.max_tokens,
            ),
        ]
    }
}

type Shown<'a> = (&'static str, &'static str, &'a Histogram);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_ones_twos_and_fives_up_to_the_context() {
        let bounds = |max_model_len| tokens(max_model_len).collect::<Vec<_>>();
        assert_eq!(bounds(100), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(bounds(40_960).last(), Some(&20_000.0));
    }
}
