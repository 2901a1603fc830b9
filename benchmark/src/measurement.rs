//! The times and counts of one request.

use std::time::{Duration, Instant};

use crate::{
    chunk::{Chunk, Usage},
    error::Failure,
};

/// How request `index` ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) index: u32,
    pub(crate) result: Result<Measurement, Failure>,
}

/// A request in flight: collects what its chunks say and when they came.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    sent: Instant,
    text_at: Vec<Duration>,
    usage: Option<Usage>,
}

impl Stopwatch {
    /// Starts at the moment the request is sent.
    pub(crate) fn start(sent: Instant) -> Self {
        Stopwatch {
            sent,
            text_at: Vec::new(),
            usage: None,
        }
    }

    /// Takes a chunk that was received at `now`.
    pub(crate) fn record(&mut self, now: Instant, chunk: Chunk) {
        if chunk.has_text {
            self.text_at.push(now - self.sent);
        }
        // With usage on every chunk each one is a running total, so the last one counts.
        self.usage = chunk.usage.or(self.usage);
    }

    /// Stops at the moment `[DONE]` was received.
    pub(crate) fn stop(self, now: Instant) -> Measurement {
        Measurement {
            latency: now - self.sent,
            text_at: self.text_at,
            usage: self.usage,
        }
    }
}

/// A successful request.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// Request sent → `[DONE]`.
    pub(crate) latency: Duration,
    /// Arrival of each chunk with text, counted from the sending of the request.
    text_at: Vec<Duration>,
    usage: Option<Usage>,
}

impl Measurement {
    /// Request sent → first chunk with text; nothing if there was none.
    pub(crate) fn ttft(&self) -> Option<Duration> {
        self.text_at.first().copied()
    }

    /// Gaps between chunks with text.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.text_at.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// (latency − TTFT) / (tokens − 1); nothing below two tokens.
    pub(crate) fn tpot(&self) -> Option<Duration> {
        let steps = self.tokens().checked_sub(1).filter(|&steps| steps > 0)?;
        let after_first = self.latency - self.ttft()?;
        Some(after_first.div_f64(steps as f64))
    }

    /// Chunks with text.
    pub(crate) fn chunks(&self) -> u64 {
        self.text_at.len() as u64
    }

    /// Generated tokens as the server counts them, else chunks.
    pub(crate) fn tokens(&self) -> u64 {
        self.usage
            .map_or_else(|| self.chunks(), |usage| usage.completion_tokens)
    }

    /// Tokens of the prompt as the server counts them.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.prompt_tokens)
    }

    /// Whether the server stated token counts.
    pub(crate) fn usage_reported(&self) -> bool {
        self.usage.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(has_text: bool, usage: Option<(u64, u64)>) -> Chunk {
        let usage = usage.map(|(prompt_tokens, completion_tokens)| Usage {
            prompt_tokens,
            completion_tokens,
        });
        Chunk { has_text, usage }
    }

    fn measured(chunks: Vec<(u64, Chunk)>, done: u64) -> Measurement {
        let sent = Instant::now();
        let mut stopwatch = Stopwatch::start(sent);
        for (at, chunk) in chunks {
            stopwatch.record(sent + Duration::from_millis(at), chunk);
        }
        stopwatch.stop(sent + Duration::from_millis(done))
    }

    #[test]
    fn times_follow_the_definitions() {
        let m = measured(
            vec![
                (5, chunk(false, None)),
                (20, chunk(true, None)),
                (30, chunk(true, Some((7, 2)))),
                (60, chunk(true, None)),
                (70, chunk(false, Some((7, 6)))),
            ],
            120,
        );
        assert_eq!(m.latency, Duration::from_millis(120));
        assert_eq!(m.ttft(), Some(Duration::from_millis(20)));
        assert_eq!(
            m.gaps().collect::<Vec<_>>(),
            [10, 30].map(Duration::from_millis)
        );
        assert_eq!(m.tpot(), Some(Duration::from_millis(20)));
        assert_eq!((m.tokens(), m.chunks(), m.prompt_tokens()), (6, 3, 7));
    }

    #[test]
    fn without_usage_chunks_are_counted() {
        let m = measured(vec![(10, chunk(true, None)), (20, chunk(true, None))], 30);
        assert_eq!((m.tokens(), m.usage_reported()), (2, false));
        assert_eq!(m.tpot(), Some(Duration::from_millis(20)));
    }

    #[test]
    fn an_empty_answer_has_no_ttft_and_one_token_has_no_tpot() {
        let empty = measured(vec![(10, chunk(false, Some((3, 0))))], 20);
        assert_eq!(
            (empty.ttft(), empty.tpot(), empty.tokens()),
            (None, None, 0)
        );
        assert_eq!(measured(vec![(10, chunk(true, None))], 20).tpot(), None);
    }
}
