//! A request's sequences while they run: tokens become text, text becomes answer, reasoning and tool calls.

mod logprobs;
mod progress;

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use engine::{ChosenToken, Generation, GenerationFailed};
use http::StatusCode;
use sandbox::{
    ApiError, ChoiceDelta, ChoiceFinish, ChoiceLogprobs, Delta, Event, FinishReason, Parser,
    PromptReport, Sampling, TemplateInstance, Usage,
};
use text::{Detokenizer, Specials, StopStrings};

use crate::{app::App, error, metrics::ChoiceEnd, pipeline::Arrival, trace};
use progress::Progress;

/// The choices of one request. Dropping it cancels what still runs.
pub(crate) struct Generating {
    app: Arc<App>,
    arrival: Arrival,
    /// Where the parsers of all choices live; `None` until a conversation was rendered.
    pub(crate) template: Option<TemplateInstance>,
    choices: Vec<Choice>,
    /// What the client is told of each input's prompt, until it was told.
    reports: Vec<Option<PromptReport>>,
    usage: Usage,
    longest_answer: usize,
}

struct Choice {
    /// `None` once the choice has ended.
    running: Option<Running>,
}

struct Running {
    generation: Generation,
    /// The input that it continues.
    input: usize,
    /// Whether the client wants the prompt alone.
    prompt_only: bool,
    progress: Progress,
    /// Whether this is the first sample of its prompt, whose share of the cache counts for the request.
    is_first: bool,
    detokenizer: Detokenizer,
    stop: StopStrings,
    parser: Option<Parser>,
    calls_tools: bool,
    is_reasoning: bool,
}

/// What ended a choice.
enum End {
    /// A stop string was found; this stands before it.
    StopString { before: String },
    /// The engine says so.
    Engine(engine::FinishReason),
}

impl Generating {
    pub(crate) fn new(app: Arc<App>, arrival: Arrival) -> Self {
        let usage = Usage {
            prompt_tokens: 0,
            completion_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
        };
        Self {
            app,
            arrival,
            template: None,
            choices: Vec::new(),
            reports: Vec::new(),
            usage,
            longest_answer: 0,
        }
    }

    /// The next choices: all samples of one prompt. `report` is what the client is told of that before; `parsers`, where there are
    /// any, belong to `template`.
    pub(crate) fn add(
        &mut self,
        samples: Vec<Generation>,
        sampling: &Sampling,
        report: Option<PromptReport>,
        parsers: Vec<Parser>,
    ) {
        self.reports.push(report);
        let prompt_len = samples.first().map_or(0, Generation::prompt_len);
        self.usage.prompt_tokens += prompt_len as u32;
        self.arrival.charge_tokens(prompt_len);
        let mut parsers = parsers.into_iter();
        for (sample, generation) in samples.into_iter().enumerate() {
            let running = Running {
                generation,
                input: self.reports.len() - 1,
                prompt_only: sampling.max_tokens == Some(0),
                progress: Progress::new(&self.arrival, self.choices.len(), prompt_len),
                is_first: sample == 0,
                detokenizer: Detokenizer::new(self.app.model.tokenizer.clone(), Specials::Drop),
                stop: StopStrings::new(&sampling.stop),
                parser: parsers.next(),
                calls_tools: false,
                is_reasoning: false,
            };
            self.choices.push(Choice {
                running: Some(running),
            });
        }
    }

    /// Tokens so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Waits until the engine has something, and returns what it comes to; nothing once every choice has ended.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, ApiError> {
        let mut events = Vec::new();
        while events.is_empty() && self.choices.iter().any(|choice| choice.running.is_some()) {
            let (choice, batch) = poll_fn(|context| self.poll_engine(context)).await;
            self.read(choice, batch, &mut events).await?;
        }
        Ok(events)
    }

    /// The first running choice that has events, with those.
    fn poll_engine(&mut self, context: &mut Context<'_>) -> Poll<(usize, Vec<engine::Event>)> {
        let mut batch = Vec::new();
        for (index, choice) in self.choices.iter_mut().enumerate() {
            let Some(running) = &mut choice.running else {
                continue;
            };
            // The first sample tells of the prompt; until it did, the others wait.
            if !running.is_first && self.reports[running.input].is_some() {
                continue;
            }
            match running.generation.poll_next(context, &mut batch) {
                Poll::Ready(_) => return Poll::Ready((index, batch)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    async fn read(
        &mut self,
        choice: usize,
        batch: Vec<engine::Event>,
        events: &mut Vec<Event>,
    ) -> Result<(), ApiError> {
        if let Some(running) = &mut self.choices[choice].running {
            let metrics = &self.app.metrics.choices;
            running.progress.observe(&batch, &self.arrival, metrics);
        }
        let num_tokens = batch.iter().filter(|event| progress::is_token(event));
        self.arrival.charge_tokens(num_tokens.count());
        for event in batch {
            let Some(running) = &mut self.choices[choice].running else {
                return Ok(());
            };
            let (input, prompt_only) = (running.input, running.prompt_only);
            if let engine::Event::Token(_) | engine::Event::Finished { .. } = event {
                // The prompt comes before all else, and not before it was computed: until then a failure has a status.
                events.extend(self.reports[input].take().map(Event::Prompt));
            }
            match event {
                engine::Event::Started { cached_len } => {
                    if running.is_first {
                        self.usage.cached_tokens += cached_len as u32;
                        let computed_len = running.generation.prompt_len() - cached_len;
                        let metrics = &self.app.metrics.choices;
                        metrics.prompt(computed_len, cached_len);
                    }
                }
                engine::Event::Prompt(tokens) => self.score_prompt(input, &tokens),
                engine::Event::Token(_) | engine::Event::Finished { .. } if prompt_only => {
                    let end = End::Engine(engine::FinishReason::Length);
                    self.end(choice, end, events).await?;
                }
                engine::Event::Token(token) => {
                    self.usage.completion_tokens += 1;
                    let checked = running.stop.push(&running.detokenizer.push(token.id));
                    self.report_logprobs(choice, &token, events);
                    if checked.stopped {
                        self.end(
                            choice,
                            End::StopString {
                                before: checked.text,
                            },
                            events,
                        )
                        .await?;
                    } else {
                        self.emit(choice, &checked.text, events).await?;
                    }
                }
                engine::Event::Finished { reason, stop_token } => {
                    self.usage.completion_tokens += u32::from(stop_token.is_some());
                    if let Some(token) = stop_token {
                        self.report_logprobs(choice, &token, events);
                    }
                    self.end(choice, End::Engine(reason), events).await?;
                }
                engine::Event::Failed(failure) => {
                    if let Some(running) = self.choices[choice].running.take() {
                        self.ended(running.progress, ChoiceEnd::Error);
                    }
                    return Err(failed(&failure));
                }
            }
        }
        Ok(())
    }

    /// Fills in how likely the next tokens of a prompt were, from its second on.
    fn score_prompt(&mut self, input: usize, scored: &[ChosenToken]) {
        let Some(report) = &mut self.reports[input] else {
            return;
        };
        let told = report.tokens.iter_mut().skip(1);
        let next = told.filter(|token| token.logprob.is_none());
        for (token, scored) in next.zip(scored) {
            if let Some(position) = logprobs::position(&self.app.model.tokenizer, scored) {
                token.logprob = Some(position.chosen.logprob);
                token.top = position.top;
            }
        }
    }

    /// Has the template read a piece of a choice's text.
    async fn emit(
        &mut self,
        choice: usize,
        text: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), ApiError> {
        let Some(running) = &mut self.choices[choice].running else {
            return Ok(());
        };
        let deltas = match (&running.parser, &mut self.template) {
            _ if text.is_empty() => Vec::new(),
            (Some(parser), Some(template)) => template
                .push(parser, text)
                .await
                .map_err(|e| error::of_plugin(&e))?,
            _ => vec![Delta::Content(text.to_owned())],
        };
        running.calls_tools |= deltas
            .iter()
            .any(|delta| matches!(delta, Delta::ToolCallStart(_)));
        if let Some(last) = deltas.last() {
            running.is_reasoning = matches!(last, Delta::Reasoning(_));
        }
        self.usage.reasoning_tokens += u32::from(running.is_reasoning);
        self.report(choice, deltas, events);
        Ok(())
    }

    /// Ends a choice with what was held back; dropping its generation tells the engine.
    async fn end(
        &mut self,
        choice: usize,
        end: End,
        events: &mut Vec<Event>,
    ) -> Result<(), ApiError> {
        let Some(running) = self.choices[choice].running.take() else {
            return Ok(());
        };
        let Running {
            progress,
            detokenizer,
            mut stop,
            parser,
            mut calls_tools,
            ..
        } = running;
        let (text, reason) = match end {
            End::StopString { before } => (before, FinishReason::Stop),
            End::Engine(reason) => {
                let last = stop.push(&detokenizer.finish());
                match reason {
                    _ if last.stopped => (last.text, FinishReason::Stop),
                    engine::FinishReason::Stop => (last.text + &stop.finish(), FinishReason::Stop),
                    engine::FinishReason::Length => {
                        (last.text + &stop.finish(), FinishReason::Length)
                    }
                }
            }
        };
        let deltas = match (parser, &mut self.template) {
            (Some(parser), Some(template)) => {
                let mut deltas = template
                    .push(&parser, &text)
                    .await
                    .map_err(|e| error::of_plugin(&e))?;
                deltas.extend(
                    template
                        .finish(parser)
                        .await
                        .map_err(|e| error::of_plugin(&e))?,
                );
                deltas
            }
            _ if text.is_empty() => Vec::new(),
            _ => vec![Delta::Content(text)],
        };
        calls_tools |= deltas
            .iter()
            .any(|delta| matches!(delta, Delta::ToolCallStart(_)));
        self.report(choice, deltas, events);
        let (reason, end) = match reason {
            FinishReason::Stop if calls_tools => (FinishReason::ToolCalls, ChoiceEnd::ToolCalls),
            FinishReason::Length => (reason, ChoiceEnd::Length),
            _ => (reason, ChoiceEnd::Stop),
        };
        self.ended(progress, end);
        events.push(Event::Finished(ChoiceFinish {
            choice: choice as u32,
            reason,
        }));
        Ok(())
    }

    fn report(&self, choice: usize, deltas: Vec<Delta>, events: &mut Vec<Event>) {
        let usage_so_far = self.usage;
        events.extend(deltas.into_iter().map(|delta| {
            Event::Delta(ChoiceDelta {
                choice: choice as u32,
                delta,
                usage_so_far,
            })
        }));
    }

    /// Tells how likely a token was, where the request asks.
    fn report_logprobs(&self, choice: usize, token: &ChosenToken, events: &mut Vec<Event>) {
        let Some(position) = logprobs::position(&self.app.model.tokenizer, token) else {
            return;
        };
        events.push(Event::Logprobs(ChoiceLogprobs {
            choice: choice as u32,
            tokens: vec![position],
        }));
    }

    fn ended(&mut self, progress: Progress, end: ChoiceEnd) {
        let num_tokens = progress.end(end, &self.arrival, &self.app.metrics.choices);
        self.longest_answer = self.longest_answer.max(num_tokens);
    }
}

/// What the client is told of a lost sequence. A request that ran into its deadline would do so again.
pub(crate) fn failed(failure: &GenerationFailed) -> ApiError {
    let status = match failure {
        GenerationFailed::Step(_) | GenerationFailed::Constraint(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        GenerationFailed::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        GenerationFailed::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    };
    error::refusal(status, failure.to_string())
}

impl Drop for Generating {
    fn drop(&mut self) {
        let running = |choice: &mut Choice| choice.running.take();
        let left: Vec<Running> = self.choices.iter_mut().filter_map(running).collect();
        if left.is_empty() && !self.choices.is_empty() {
            self.app.metrics.choices.all_ended(self.longest_answer);
        }
        for running in left {
            self.ended(running.progress, ChoiceEnd::Abort);
        }
        trace::used(&self.arrival.span, &self.usage);
    }
}
