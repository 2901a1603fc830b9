//! A client: what it asks for, and when it leaves.

use std::time::Instant;

use engine::{
    CacheScope, ChosenToken, EmbeddingRequest, EngineHandle, Event, Generation, GenerationFailed,
    Pooling, Request, SamplingParams, SubmitError, TokenId,
    fake::{FakeRunner, Residue},
};
use tokio::task::yield_now;

pub(crate) const VOCAB_LEN: usize = 97;
pub(crate) const HIDDEN_LEN: usize = 4;

/// Numbers that look random (Knuth's MMIX generator) and are the same in every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.below(2);
        chance
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// True once in `rarity` times.
    fn once_in(&mut self, rarity: u64) -> bool {
        self.below(rarity) == 0
    }

    /// A number from -1 to 1.
    fn around_zero(&mut self) -> f32 {
        self.below(2_001) as f32 / 1_000.0 - 1.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Never,
    /// Right after the submission.
    AtOnce,
    /// When it has so many events.
    After(usize),
    /// In the middle of a wait for more, the so-manieth.
    Waiting(usize),
}

pub(crate) struct Visit {
    prompt: Vec<TokenId>,
    sampling: SamplingParams,
    max_tokens: usize,
    priority: i32,
    is_overdue: bool,
    salt: Option<String>,
    form: Option<Residue>,
    prompt_logprobs: Option<usize>,
    /// The prompt is to become a vector and not to be continued.
    embeds: Option<Pooling>,
    num_samples: usize,
    leaves: Leaves,
}

/// How a visit went.
pub(crate) struct Outcome {
    /// How often there was no room for it.
    pub(crate) num_refusals: u64,
    pub(crate) overdue: bool,
    pub(crate) left: bool,
}

impl Visit {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        // Prompts that begin alike, so that there is something to share.
        let beginning = (0..16)
            .map(|token| token % 5)
            .take(chance.below(3) as usize * 8);
        let end_len = 1 + chance.below(12);
        let end: Vec<_> = (0..end_len)
            .map(|_| chance.below(VOCAB_LEN as u64) as TokenId)
            .collect();
        Self {
            prompt: beginning.chain(end).collect(),
            sampling: sampling(chance),
            max_tokens: 1 + chance.below(30) as usize,
            priority: chance.below(5) as i32 - 2,
            is_overdue: chance.once_in(50),
            salt: chance.once_in(4).then(|| chance.below(3).to_string()),
            form: chance.once_in(20).then(|| Residue {
                divisor: 2 + chance.below(5) as u32,
                remainder: 1,
                len: 1 + chance.below(10) as usize,
                vocab_len: VOCAB_LEN,
            }),
            prompt_logprobs: chance.once_in(6).then(|| chance.below(4) as usize),
            embeds: match chance.below(12) {
                0 => Some(Pooling::Last),
                1 => Some(Pooling::Mean),
                _ => None,
            },
            num_samples: 1 + chance.below(3) as usize,
            leaves: match chance.below(12) {
                0 => Leaves::AtOnce,
                1 => Leaves::After(chance.below(20) as usize),
                2 => Leaves::Waiting(chance.below(10) as usize),
                _ => Leaves::Never,
            },
        }
    }

    /// Asks for the answers, reads as many as the client cares to, and checks them.
    pub(crate) async fn make(self, handle: &EngineHandle) -> Outcome {
        let mut outcome = Outcome {
            num_refusals: 0,
            overdue: self.is_overdue,
            left: self.leaves != Leaves::Never,
        };
        if let Some(pooling) = self.embeds {
            self.embed(pooling, handle, &mut outcome).await;
            return outcome;
        }
        let samples = loop {
            match handle.submit(self.request(), self.num_samples) {
                Ok(samples) => break samples,
                Err(SubmitError::Overloaded { .. }) => outcome.num_refusals += 1,
                Err(other) => panic!("the request is sound, but {other}"),
            }
            yield_now().await;
        };
        if self.leaves == Leaves::AtOnce {
            return outcome;
        }
        for (sample, generation) in (0..).zip(samples) {
            let events = self.read(generation).await;
            self.check(sample, &events);
        }
        outcome
    }

    /// Asks for the prompt's vector, waits for it, unless the client leaves, and checks it.
    async fn embed(&self, pooling: Pooling, handle: &EngineHandle, outcome: &mut Outcome) {
        let request = || EmbeddingRequest {
            tokens: self.prompt.clone(),
            pooling,
            priority: self.priority,
            deadline: self.is_overdue.then(Instant::now),
            scope: self.scope(),
        };
        let embedding = loop {
            match handle.embed(request()) {
                Ok(embedding) => break embedding,
                Err(SubmitError::Overloaded { .. }) => outcome.num_refusals += 1,
                Err(other) => panic!("the request is sound, but {other}"),
            }
            yield_now().await;
        };
        match self.leaves {
            Leaves::AtOnce => {}
            Leaves::After(_) | Leaves::Waiting(_) => {
                tokio::select! {
                    biased;
                    _ = embedding => {}
                    () = yield_now() => {}
                }
            }
            Leaves::Never if self.is_overdue => {
                assert_eq!(embedding.await, Err(GenerationFailed::DeadlineExceeded));
            }
            Leaves::Never => {
                let vector = FakeRunner::expected_embedding(&self.prompt, pooling, HIDDEN_LEN);
                assert_eq!(embedding.await, Ok(vector));
            }
        }
    }

    fn scope(&self) -> CacheScope {
        CacheScope {
            adapter: None,
            salt: self.salt.clone(),
        }
    }

    /// Reads until the sample or the client's patience is at its end.
    async fn read(&self, mut generation: Generation) -> Vec<Event> {
        let mut events = Vec::new();
        for wait in 0.. {
            match self.leaves {
                Leaves::After(len) if events.len() >= len => break,
                Leaves::Waiting(last) if wait == last => {
                    tokio::select! {
                        biased;
                        _ = generation.next(&mut events) => {}
                        () = yield_now() => {}
                    }
                    break;
                }
                _ => {}
            }
            if !generation.next(&mut events).await {
                break;
            }
        }
        events
    }

    fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            max_tokens: self.max_tokens,
            priority: self.priority,
            deadline: self.is_overdue.then(Instant::now),
            scope: self.scope(),
            constraint: self.form.clone().map(|form| Box::new(form) as _),
            prompt_logprobs: self.prompt_logprobs,
        }
    }

    /// Compares what was read with what this sample must be, up to where the client left.
    fn check(&self, sample: u64, events: &[Event]) {
        let token = |event: &Event| match event {
            Event::Token(token) => Some(token.id),
            _ => None,
        };
        let tokens: Vec<_> = events.iter().filter_map(token).collect();
        let is_end = |event: &Event| matches!(event, Event::Finished { .. } | Event::Failed(_));
        let num_ends = events.iter().filter(|event| is_end(event)).count();
        let has_ended = events.last().is_some_and(is_end);
        assert_eq!(
            num_ends,
            usize::from(has_ended),
            "the end comes once and last"
        );
        assert!(has_ended || self.leaves != Leaves::Never);
        if self.is_overdue {
            let late = Event::Failed(GenerationFailed::DeadlineExceeded);
            assert!(events.iter().all(|event| *event == late));
            return;
        }
        let (expected, end) = self.expected(sample);
        let scores: Vec<_> = events.iter().flat_map(scores_in).cloned().collect();
        let expected_scores = match self.prompt_logprobs {
            Some(num_top) if sample == 0 => {
                FakeRunner::expected_scores(&self.prompt, num_top, VOCAB_LEN)
            }
            _ => Vec::new(),
        };
        if has_ended {
            assert_eq!((&tokens, events.last()), (&expected, Some(&end)));
            assert_eq!(scores, expected_scores);
        }
        assert!(expected.starts_with(&tokens) && expected_scores.starts_with(&scores));
    }

    /// The text of a sample and its end, made without an engine.
    fn expected(&self, sample: u64) -> (Vec<TokenId>, Event) {
        let sampling = SamplingParams {
            seed: self.sampling.seed + sample,
            ..self.sampling.clone()
        };
        let form = self.form.as_ref();
        FakeRunner::answer(&self.prompt, self.max_tokens, VOCAB_LEN, &sampling, form)
    }
}

/// What an event says of the prompt.
fn scores_in(event: &Event) -> &[ChosenToken] {
    match event {
        Event::Prompt(scores) => scores,
        _ => &[],
    }
}

fn sampling(chance: &mut Chance) -> SamplingParams {
    let mut params = SamplingParams::default();
    if chance.once_in(2) {
        params.temperature = 1.0 + chance.around_zero() / 2.0;
        params.top_k = chance.below(20) as usize;
        params.top_p = 0.75 + chance.around_zero() / 4.0;
        params.seed = chance.below(1_000);
    }
    if chance.once_in(4) {
        params.repetition_penalty = 1.5 + chance.around_zero() / 2.0;
        params.presence_penalty = chance.around_zero();
        params.frequency_penalty = chance.around_zero();
    }
    if chance.once_in(8) {
        params.logit_bias = vec![(chance.below(VOCAB_LEN as u64) as TokenId, 2.0)];
        params.logprobs = Some(2);
    }
    params
}
