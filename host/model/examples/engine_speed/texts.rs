//! What is asked: texts of the demo model, as tokens.

use engine::TokenId;
use serde::Deserialize;

/// `tests/data/smollm2-greedy.json`.
#[derive(Deserialize)]
pub(crate) struct Texts {
    cases: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    prompt_token_ids: Vec<TokenId>,
    output_token_ids: Vec<TokenId>,
}

impl Texts {
    pub(crate) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("../../tests/data/smollm2-greedy.json"))
    }

    /// `num` different prompts: those of the file, then the same with ever longer beginnings of their answers.
    pub(crate) fn prompts(&self, num: usize) -> Vec<Vec<TokenId>> {
        let prompt = |(number, text): (usize, &Text)| {
            let answer_len = number / self.cases.len() * 8;
            [&text.prompt_token_ids, &text.output_token_ids[..answer_len]].concat()
        };
        let texts = self.cases.iter().cycle().enumerate();
        texts.take(num).map(prompt).collect()
    }

    pub(crate) fn long_prompt(&self, len: usize) -> Vec<TokenId> {
        let tokens = |text: &Text| [&text.prompt_token_ids[..], &text.output_token_ids].concat();
        let all: Vec<TokenId> = self.cases.iter().flat_map(tokens).collect();
        all.into_iter().cycle().take(len).collect()
    }

    /// The first answer is a list that begins to go round in circles.
    pub(crate) fn repetitive_prompt(&self) -> Vec<TokenId> {
        self.cases[0].output_token_ids[..32].repeat(3)
    }

    /// The last question is answered in prose.
    pub(crate) fn prose_prompt(&self) -> Vec<TokenId> {
        self.cases[3].prompt_token_ids.clone()
    }
}
