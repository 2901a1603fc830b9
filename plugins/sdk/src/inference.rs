//! Calling the model from a function. Needs the grant `inference`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::shared::lm::plugin::inference as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock::model as host;
use crate::{ApiError, Delta, EmbeddingRequest, Embeddings, Event, InferenceRequest, Usage};

/// The served names of the model; the first is the default.
pub fn models() -> Vec<String> {
    host::models()
}

/// Starts a generation. Refusals are those that a client would see (an unknown model, a prompt that is too long, a full
/// queue) and may be returned as they are.
pub fn generate(request: &InferenceRequest) -> Result<Generation, ApiError> {
    host::generate(request).map(Generation)
}

/// Turns inputs into vectors of length 1, one for each, and waits for all of them. Refusals are as in [`generate`].
pub fn embed(request: &EmbeddingRequest) -> Result<Embeddings, ApiError> {
    host::embed(request)
}

/// A running generation. Dropping it cancels what still runs.
pub struct Generation(host::Generation);

impl Generation {
    /// Waits until something has happened and returns all that has, in order; empty when every choice has finished. After an
    /// error, and after the end, it returns nothing more. A function that does not call it holds back its own generation only.
    #[expect(
        clippy::should_implement_trait,
        reason = "the contract's name; an iterator would hide that the end and an error are two things"
    )]
    pub fn next(&mut self) -> Result<Vec<Event>, ApiError> {
        self.0.next()
    }

    /// Tokens so far; final once `next` has returned nothing.
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// The answer's text, piece by piece as it is made, for a request of one choice; reasoning and tool calls are left out.
    /// Ends after an error.
    pub fn texts(&mut self) -> Texts<'_> {
        Texts {
            generation: self,
            ended: false,
        }
    }
}

/// The pieces of an answer's text. Made by [`Generation::texts`].
pub struct Texts<'a> {
    generation: &'a mut Generation,
    ended: bool,
}

impl Iterator for Texts<'_> {
    type Item = Result<String, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let events = match self.generation.next() {
                Ok(events) => events,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            };
            self.ended = events.is_empty();
            let text: String = events.iter().filter_map(content).collect();
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
        None
    }
}

fn content(event: &Event) -> Option<&str> {
    match event {
        Event::Delta(piece) => match &piece.delta {
            Delta::Content(text) => Some(text),
            Delta::Reasoning(_) | Delta::ToolCallStart(_) | Delta::ToolCallArguments(_) => None,
        },
        Event::Prompt(_) | Event::Embedding(_) | Event::Logprobs(_) | Event::Finished(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChoiceDelta, Input, mock};

    fn piece(delta: Delta) -> Event {
        Event::Delta(ChoiceDelta {
            choice: 0,
            delta,
            usage_so_far: Usage::default(),
        })
    }

    fn ask() -> Result<Generation, ApiError> {
        generate(&InferenceRequest::new(
            "m",
            vec![Input::Text("hi".to_owned())],
        ))
    }

    #[test]
    fn the_text_of_an_answer_is_its_content_in_pieces() {
        mock::reset();
        let thought = piece(Delta::Reasoning("hm".to_owned()));
        let text = |text: &str| piece(Delta::Content(text.to_owned()));
        mock::set_answer([
            Ok(vec![thought]),
            Ok(vec![text("a"), text("b")]),
            Ok(vec![text("c")]),
        ]);
        let texts: Result<Vec<_>, _> = ask().unwrap().texts().collect();
        assert_eq!(texts.unwrap(), ["ab", "c"]);
        assert_eq!(mock::take_generations()[0].model, "m");
    }

    #[test]
    fn an_error_ends_the_text() {
        mock::reset();
        let text = piece(Delta::Content("a".to_owned()));
        let failure = ApiError::server("the engine stopped");
        mock::set_answer([Ok(vec![text]), Err(failure.clone())]);
        let texts: Vec<_> = ask().unwrap().texts().collect();
        assert_eq!(texts, [Ok("a".to_owned()), Err(failure)]);
    }

    #[test]
    fn a_refusal_comes_before_there_is_a_generation() {
        mock::reset();
        mock::refuse_generations(ApiError::new(429, "rate_limit_error", "the queue is full"));
        assert_eq!(ask().err().unwrap().status, 429);
    }

    #[test]
    fn vectors_are_those_that_the_test_has_set_one_for_each_input() {
        mock::reset();
        mock::set_embedding(|text| vec![text.len() as f32]);
        let inputs = ["a", "bcd"].map(|text| Input::Text(text.to_owned()));
        let embeddings = embed(&EmbeddingRequest::new("m", inputs.into())).unwrap();
        assert_eq!(embeddings.vectors, [[1.0], [3.0]]);
        mock::refuse_generations(ApiError::new(429, "rate_limit_error", "the queue is full"));
        assert_eq!(
            embed(&EmbeddingRequest::new("m", vec![]))
                .unwrap_err()
                .status,
            429
        );
    }

    #[test]
    fn usage_is_what_the_last_piece_said() {
        mock::reset();
        mock::set_answer_text(["one ", "two"]);
        let mut generation = ask().unwrap();
        assert_eq!(generation.usage(), Usage::default());
        assert_eq!(generation.texts().count(), 2);
        assert_eq!(generation.usage().completion_tokens, 2);
    }
}
