//! What the model's files say of prompts.

use super::{MODEL, record};

/// A template as models of the Qwen family have it, without tools.
const CHAT_ML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

record!(
    /// What a chat template is told of the model.
    #[serde(default)]
    ModelTemplate {
        model: String,
        chat_template: Option<String>,
        bos_token: Option<String>,
        eos_token: Option<String>,
        now: u64,
    }
);

impl Default for ModelTemplate {
    fn default() -> Self {
        ModelTemplate {
            model: MODEL.into(),
            chat_template: Some(CHAT_ML.into()),
            bos_token: None,
            eos_token: Some("<|im_end|>".into()),
            now: 1_700_000_000,
        }
    }
}
