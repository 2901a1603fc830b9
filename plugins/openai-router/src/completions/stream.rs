//! Completions sent as they are made.

use plugin_sdk::{ApiError, Event, Header, PromptReport, Reply, Usage};
use serde::Serialize;

use super::{
    choice::{finish_reason, text},
    echo::Echo,
    logprobs::{Logprobs, Offsets, Token},
};
use crate::{
    answer::Identity,
    generation::StreamOptions,
    logprobs::Unsent,
    settings::Finish,
    sse::{self, Chunks},
};

/// Writes a chunk for each event.
pub(super) struct CompletionStream {
    chunks: Chunks,
    echo: Echo,
    finish: Finish,
    logprobs: Unsent,
    offsets: Offsets,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'static str>,
}

impl CompletionStream {
    pub(super) fn new(
        identity: &Identity,
        options: StreamOptions,
        echo: Echo,
        finish: Finish,
    ) -> CompletionStream {
        CompletionStream {
            chunks: Chunks::new(identity, options),
            echo,
            finish,
            logprobs: Unsent::default(),
            offsets: Offsets::default(),
        }
    }

    /// A chunk for each choice of the prompt.
    fn write_prompt(&mut self, out: &mut Vec<u8>, prompt: &PromptReport) {
        for index in self.echo.choices(prompt) {
            self.chunks.write(
                out,
                &ChunkChoice {
                    index,
                    text: &prompt.text,
                    logprobs: Logprobs::of(self.echo.tokens(prompt), self.offsets.of(index)),
                    finish_reason: None,
                },
            );
        }
    }
}

impl Reply for CompletionStream {
    fn headers(&self) -> Vec<Header> {
        sse::headers()
    }

    fn push(&mut self, events: Vec<Event>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            let (index, delta, reason) = match event {
                Event::Prompt(prompt) => {
                    self.write_prompt(&mut out, &prompt);
                    continue;
                }
                // Not asked for.
                Event::Embedding(_) => continue,
                Event::Logprobs(more) => {
                    self.logprobs.add(more);
                    continue;
                }
                Event::Delta(grown) => {
                    self.chunks.count(grown.usage_so_far);
                    let reason = sse::merged_finish(
                        self.finish,
                        grown.choice,
                        &mut events,
                        &mut self.logprobs,
                    );
                    (grown.choice, Some(grown.delta), reason)
                }
                Event::Finished(end) => (end.choice, None, Some(end.reason)),
            };
            let text = delta.as_ref().map_or("", text);
            let logprobs = self.logprobs.take(index);
            let tokens = logprobs.iter().map(Token::of_answer).collect();
            let finish_reason = reason.map(finish_reason);
            self.chunks.write(
                &mut out,
                &ChunkChoice {
                    index,
                    text,
                    logprobs: Logprobs::of(tokens, self.offsets.of(index)),
                    finish_reason,
                },
            );
        }
        out
    }

    fn finish(&mut self, usage: Usage) -> Vec<u8> {
        self.chunks.finish(usage)
    }

    fn fail(&mut self, error: ApiError) -> Vec<u8> {
        self.chunks.fail(&error)
    }
}
