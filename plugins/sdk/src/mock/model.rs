//! A model that answers what a test has set.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::{
    ApiError, ChoiceDelta, ChoiceFinish, Delta, EmbeddingRequest, Embeddings, Event, FinishReason,
    InferenceRequest, Input, Usage,
};

type Steps = VecDeque<Result<Vec<Event>, ApiError>>;

/// The vector of a text.
type Embed = fn(&str) -> Vec<f32>;

thread_local! {
    static EMBED: Cell<Embed> = const { Cell::new(|_| vec![1.0]) };
    static MODELS: RefCell<Vec<String>> = RefCell::new(vec!["mock-model".to_owned()]);
    static STEPS: RefCell<Result<Steps, ApiError>> = const { RefCell::new(Ok(VecDeque::new())) };
    static ASKED: RefCell<Vec<InferenceRequest>> = const { RefCell::new(Vec::new()) };
}

/// The served names. `mock-model` alone at first.
pub fn set_models(names: impl IntoIterator<Item = impl Into<String>>) {
    MODELS.set(names.into_iter().map(Into::into).collect());
}

/// What `next` returns in turn, in every generation from now on. Nothing follows after the last one, and after an error.
pub fn set_answer(steps: impl IntoIterator<Item = Result<Vec<Event>, ApiError>>) {
    STEPS.set(Ok(steps.into_iter().collect()));
}

/// An answer of one choice in these pieces, each of which counts as a token.
pub fn set_answer_text(pieces: impl IntoIterator<Item = impl Into<String>>) {
    let delta = |(number, text): (u32, String)| {
        let usage_so_far = Usage {
            completion_tokens: number,
            ..Usage::default()
        };
        let delta = Delta::Content(text);
        Ok(vec![Event::Delta(ChoiceDelta {
            choice: 0,
            delta,
            usage_so_far,
        })])
    };
    let deltas = (1..).zip(pieces.into_iter().map(Into::into)).map(delta);
    let finish = ChoiceFinish {
        choice: 0,
        reason: FinishReason::Stop,
    };
    set_answer(deltas.chain([Ok(vec![Event::Finished(finish)])]));
}

/// How texts become vectors. Whatever is not plain text counts as an empty one. `[1.0]` at first.
pub fn set_embedding(embed: fn(&str) -> Vec<f32>) {
    EMBED.set(embed);
}

/// Every generation and embedding from now on is refused.
pub fn refuse_generations(error: ApiError) {
    STEPS.set(Err(error));
}

/// Takes the requests that were made since the last call, refused ones too.
pub fn take_generations() -> Vec<InferenceRequest> {
    ASKED.take()
}

pub(crate) fn models() -> Vec<String> {
    MODELS.with_borrow(Clone::clone)
}

pub(crate) fn generate(request: &InferenceRequest) -> Result<Generation, ApiError> {
    ASKED.with_borrow_mut(|asked| asked.push(request.clone()));
    let steps = STEPS.with_borrow(Clone::clone)?;
    Ok(Generation {
        steps,
        usage: Usage::default(),
    })
}

pub(crate) fn embed(request: &EmbeddingRequest) -> Result<Embeddings, ApiError> {
    STEPS.with_borrow(|steps| steps.as_ref().map(|_| ()).map_err(Clone::clone))?;
    let vector = |input: &Input| match input {
        Input::Text(text) => EMBED.get()(text),
        Input::Chat(_) | Input::Tokens(_) => EMBED.get()(""),
    };
    Ok(Embeddings {
        vectors: request.inputs.iter().map(vector).collect(),
        usage: Usage::default(),
    })
}

pub(crate) struct Generation {
    steps: Steps,
    usage: Usage,
}

impl Generation {
    pub(crate) fn next(&mut self) -> Result<Vec<Event>, ApiError> {
        let events = self.steps.pop_front().unwrap_or_else(|| Ok(Vec::new()));
        match &events {
            Ok(events) => {
                for event in events {
                    if let Event::Delta(piece) = event {
                        self.usage = piece.usage_so_far;
                    }
                }
            }
            Err(_) => self.steps.clear(),
        }
        events
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }
}

pub(super) fn reset() {
    set_models(["mock-model"]);
    set_answer([]);
    set_embedding(|_| vec![1.0]);
    take_generations();
}
