//! Chat templates: a conversation to a prompt, and the model's text to what it means.

use sandbox::{Loader, Phase, PluginError, PluginSpec, Template};
use serde::Deserialize;
use serde_json::json;

use super::{
    records::{Constraint, Conversation, Delta, ModelTemplate, Twin, snapshot},
    shaper::refused,
    subject::{Seen, Subject, Torture},
    timings::Timings,
    torture,
};

/// `input.json` of a chat template.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Input {
    pub(super) model: ModelTemplate,
    pub(super) conversation: Conversation,
    /// What the model writes, as it is cut.
    pub(super) pieces: Vec<String>,
}

impl Subject for Template {
    type Input = Input;

    async fn load(loader: &Loader, spec: PluginSpec, wasm: Vec<u8>) -> Result<Self, PluginError> {
        loader.load_template(spec, wasm).await
    }

    async fn call(&self, input: Input, timings: &mut Timings) -> Result<Seen, PluginError> {
        let model = input.model.into_host();
        let conversation = input.conversation.into_host();
        let mut instance = timings.time(Phase::Start, self.start("case")).await?;
        let rendered = timings.time(Phase::Render, instance.render(&model, &conversation));
        let prompt = match rendered.await? {
            Ok(prompt) => prompt,
            Err(refusal) => return Ok(refused(refusal)),
        };
        let made = timings.time(
            Phase::ParserNew,
            instance.parser(&conversation, &prompt.text),
        );
        let parser = made.await?;
        let mut pushed = Vec::with_capacity(input.pieces.len());
        for piece in &input.pieces {
            let deltas = timings.time(Phase::ParserPush, instance.push(&parser, piece));
            pushed.push(Vec::<Delta>::of(deltas.await?));
        }
        let rest = timings.time(Phase::ParserFinish, instance.finish(parser));
        let rest = Vec::<Delta>::of(rest.await?);
        Ok(Seen {
            summary: format!("a prompt of {} bytes", prompt.text.len()),
            snapshot: snapshot(&json!({
                "prompt": prompt.text,
                "constraint": Option::<Constraint>::of(prompt.constraint),
                "pushed": pushed,
                "finished": rest,
            })),
        })
    }

    fn torture(&self, _: &[Input]) -> Vec<Torture<Input>> {
        torture::template::inputs()
    }
}
