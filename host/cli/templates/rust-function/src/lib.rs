//! Sums up the text that it is sent, word by word as the model writes.

use std::io::Write;

use plugin_sdk::function::{Function, Request, Responder};
use plugin_sdk::{ApiError, Conversation, Header, InferenceRequest, Input, Message};
use plugin_sdk::{inference, register};

/// Most bytes of a text; a longer one is refused with 413.
const MAX_TEXT: usize = 64 << 10;

/// The plugin.
struct Summary;

impl Function for Summary {
    fn handle(mut request: Request, response: Responder) -> Result<(), ApiError> {
        let text = String::from_utf8(request.read_body(MAX_TEXT)?)
            .map_err(|_| refusal("send text in UTF-8"))?;
        if text.trim().is_empty() {
            return Err(refusal("send the text that is to be summed up"));
        }
        let conversation = Conversation::new(vec![
            Message::new("system", "Sum up what you are sent in one sentence."),
            Message::new("user", text),
        ]);
        let model = inference::models().into_iter().next().unwrap_or_default();
        let mut asked = InferenceRequest::new(model, vec![Input::Chat(conversation)]);
        asked.sampling.max_tokens = Some(500);
        asked.stream = true;
        let mut generation = inference::generate(&asked)?;

        let plain = Header::new("content-type", "text/plain; charset=utf-8");
        let mut answer = response.start(200, vec![plain])?;
        for text in generation.texts() {
            answer.write_all(text?.as_bytes())?;
            answer.flush()?; // waits while the client does not read; fails, and so ends the generation, once it is gone
        }
        Ok(())
    }
}

fn refusal(message: &str) -> ApiError {
    ApiError::new(400, "invalid_request_error", message)
}

register!(function: Summary);

#[cfg(test)]
mod tests {
    use plugin_sdk::mock::{self, Ending, Request};

    use super::*;

    #[test]
    fn each_word_is_sent_as_it_comes() {
        mock::set_answer_text(["It ", "rains."]);
        let answer = mock::call::<Summary>(Request::post("/fn/{{name}}", "Rain, all day."));
        assert_eq!(answer.pieces, [&b"It "[..], b"rains."]);
        assert_eq!(answer.ending, Ending::Finished);
    }

    #[test]
    fn a_body_that_is_no_text_is_refused() {
        for body in [&[0xff][..], b" \n"] {
            let answer = mock::call::<Summary>(Request::post("/fn/{{name}}", body));
            assert_eq!(answer.status, 400);
            assert!(mock::take_generations().is_empty());
        }
    }
}
