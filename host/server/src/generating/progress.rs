//! How far a choice is, and since when: what its histograms and its spans are fed from. Times are those at which the request
//! hears of its sequence, so a client that reads slowly is part of them.

use std::time::Instant;

use engine::Event;
use tracing::Span;

use crate::{
    metrics::{ChoiceEnd, ChoiceMetrics, Inference},
    pipeline::Arrival,
    trace,
};

/// One choice's way through the engine.
pub(super) struct Progress {
    choice: usize,
    prompt_len: usize,
    phase: Phase,
    /// Of the phase.
    span: Span,
}

enum Phase {
    Queued {
        since: Instant,
    },
    Prefilling {
        since: Instant,
    },
    Decoding {
        started: Instant,
        first: Instant,
        last: Instant,
        num_tokens: usize,
    },
}

impl Progress {
    /// The engine has taken the choice on.
    pub(super) fn new(arrival: &Arrival, choice: usize, prompt_len: usize) -> Self {
        Self {
            choice,
            prompt_len,
            phase: Phase::Queued {
                since: Instant::now(),
            },
            span: trace::queue(&arrival.span, choice),
        }
    }

    /// Notes what the engine reports.
    pub(super) fn observe(&mut self, batch: &[Event], arrival: &Arrival, metrics: &ChoiceMetrics) {
        let now = Instant::now();
        let started = batch.iter().find_map(|event| match event {
            Event::Started { cached_len } => Some(*cached_len),
            _ => None,
        });
        if let (Some(cached_len), Phase::Queued { since }) = (started, &self.phase) {
            metrics.started(now - *since, self.prompt_len - cached_len);
            self.phase = Phase::Prefilling { since: now };
            // A span ends when it is dropped, which must not be after the next one began.
            self.span = Span::none();
            self.span = trace::prefill(&arrival.span, self.choice, self.prompt_len, cached_len);
        }
        let len = batch.iter().filter(|event| is_token(event)).count();
        if len > 0 {
            self.advance(len, now, arrival, metrics);
        }
    }

    fn advance(&mut self, len: usize, now: Instant, arrival: &Arrival, metrics: &ChoiceMetrics) {
        match &mut self.phase {
            Phase::Decoding {
                last, num_tokens, ..
            } => {
                metrics.more_tokens(len, now - *last);
                *last = now;
                *num_tokens += len;
            }
            Phase::Queued { since } | Phase::Prefilling { since } => {
                metrics.first_tokens(len, now - arrival.at);
                self.phase = Phase::Decoding {
                    started: *since,
                    first: now,
                    last: now,
                    num_tokens: len,
                };
                self.span = Span::none();
                self.span = trace::decode(&arrival.span, self.choice);
            }
        }
    }

    /// The choice is over. The tokens that it had.
    pub(super) fn end(self, end: ChoiceEnd, arrival: &Arrival, metrics: &ChoiceMetrics) -> usize {
        let (inference, num_tokens) = match &self.phase {
            Phase::Queued { .. } | Phase::Prefilling { .. } => (None, 0),
            Phase::Decoding {
                started,
                first,
                last,
                num_tokens,
            } => {
                self.span.record("gen_ai.usage.output_tokens", *num_tokens);
                self.span.record("finish_reason", end.as_str());
                let inference = Inference {
                    prefill: *first - *started,
                    decode: *last - *first,
                    answer_len: *num_tokens,
                };
                (Some(inference), *num_tokens)
            }
        };
        metrics.ended(end, self.prompt_len, arrival.at.elapsed(), inference);
        num_tokens
    }
}

/// Whether the event is a token of the answer, its last one included.
pub(super) fn is_token(event: &Event) -> bool {
    match event {
        Event::Token(_) => true,
        Event::Finished { stop_token, .. } => stop_token.is_some(),
        Event::Started { .. } | Event::Prompt(_) | Event::Failed(_) => false,
    }
}
