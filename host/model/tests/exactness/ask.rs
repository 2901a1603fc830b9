//! Requests that can be made again, and what came of them, to the bit.

use engine::{ChosenToken, Event, Request, SamplingParams, TokenId, fake::Residue};

/// A request to make as often as need be.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) sampling: SamplingParams,
    pub(crate) max_tokens: usize,
    pub(crate) form: Option<Residue>,
    pub(crate) prompt_logprobs: Option<usize>,
}

impl Ask {
    pub(crate) fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            max_tokens: self.max_tokens,
            constraint: self.form.clone().map(|form| Box::new(form) as _),
            prompt_logprobs: self.prompt_logprobs,
            ..Request::default()
        }
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Tokens of the prompt that were in the cache.
    pub(crate) cached_len: usize,
    pub(crate) said: Said,
}

/// The part of an answer that must not depend on anything but the request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// The tokens of the prompt after the first, where they were asked for.
    pub(crate) prompt: Vec<(TokenId, LogprobBits)>,
    pub(crate) tokens: Vec<TokenId>,
    /// For each token its log probability and those of the likeliest, where they were asked for.
    pub(crate) logprobs: Vec<Option<LogprobBits>>,
    pub(crate) end: Event,
}

/// Equal only if every bit is.
pub(crate) type LogprobBits = (u32, Vec<(TokenId, u32)>);

impl Answer {
    /// From all events of one sequence.
    pub(crate) fn new(events: Vec<Event>) -> Self {
        let mut events = events.into_iter();
        let first = events.next();
        let Some(Event::Started { cached_len }) = first else {
            panic!("a sequence begins with its start, not with {first:?}");
        };
        let end = events.next_back().expect("a sequence has an end");
        assert!(matches!(end, Event::Finished { .. }), "{end:?}");
        let (mut prompt, mut tokens, mut logprobs) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Prompt(part) if tokens.is_empty() => {
                    prompt.extend(part.iter().map(|token| {
                        let bits = logprob_bits(token).expect("a prompt is reported with them");
                        (token.id, bits)
                    }))
                }
                Event::Token(token) => {
                    tokens.push(token.id);
                    logprobs.push(logprob_bits(&token));
                }
                other => panic!("{other:?} in the midst of a sequence"),
            }
        }
        Self {
            cached_len,
            said: Said {
                prompt,
                tokens,
                logprobs,
                end,
            },
        }
    }
}

fn logprob_bits(token: &ChosenToken) -> Option<LogprobBits> {
    let logprobs = token.logprobs.as_ref()?;
    let bits = |(token, logprob): &(TokenId, f32)| (*token, logprob.to_bits());
    let top = logprobs.top.iter().map(bits).collect();
    Some((logprobs.chosen.to_bits(), top))
}
