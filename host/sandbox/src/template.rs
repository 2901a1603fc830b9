//! Calls of a chat template: a conversation in, a prompt out, and the model's text read back.

use std::sync::Arc;

use wasmtime::component::{InstancePre, ResourceAny};

use crate::bindings::template::{ChatTemplate as Bindings, ChatTemplateIndices};
use crate::bindings::templating::{ModelTemplate, Prompt};
use crate::bindings::types::{ApiError, Conversation, Delta};
use crate::error::{Fault, Phase, PluginError};
use crate::guest::Guest;
use crate::instance::Instance;
use crate::plugin::{Loaded, PluginInfo};
use crate::untrusted;

/// A loaded plugin that writes prompts and reads answers. Cheap to clone.
#[derive(Clone)]
pub struct Template(Arc<Inner>);

struct Inner {
    pre: InstancePre<Guest>,
    indices: ChatTemplateIndices,
    plugin: Arc<Loaded>,
}

/// One request's instance of a chat template: it renders, and holds the parsers of all choices.
pub struct TemplateInstance {
    instance: Instance<Bindings>,
    parsers: Vec<Choice>,
}

/// One choice's parser in the guest, and how many tool calls it has reported.
struct Choice {
    resource: ResourceAny,
    num_tool_calls: u32,
}

/// A parser of one choice's text; belongs to the [`TemplateInstance`] that made it.
#[derive(Debug)]
pub struct Parser(usize);

impl Template {
    /// Starts and drops an instance, which shows that it runs.
    pub(crate) async fn new(
        pre: InstancePre<Guest>,
        plugin: Arc<Loaded>,
    ) -> Result<Template, PluginError> {
        let indices = ChatTemplateIndices::new(&pre).map_err(|e| plugin.misfit(&e))?;
        let template = Template(Arc::new(Inner {
            pre,
            indices,
            plugin,
        }));
        template.start("").await?;
        Ok(template)
    }

    /// What is known of the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.0.plugin.info
    }

    /// A fresh instance for the request of this id.
    pub async fn start(&self, request_id: &str) -> Result<TemplateInstance, PluginError> {
        let bind = |store: &mut _, instance: &_| self.0.indices.load(store, instance);
        let instance = Instance::start(&self.0.pre, &self.0.plugin, request_id, bind).await?;
        Ok(TemplateInstance {
            instance,
            parsers: Vec::new(),
        })
    }
}

impl TemplateInstance {
    /// The prompt for a conversation, and the form of what follows it. `Ok(Err(_))` is the template's refusal, to be told to the client.
    pub async fn render(
        &mut self,
        model: &ModelTemplate,
        conversation: &Conversation,
    ) -> Result<Result<Prompt, ApiError>, PluginError> {
        let call = self.instance.begin(Phase::Render)?;
        let guest = self.instance.bindings.lm_plugin_templating();
        let result = call
            .bounded(guest.call_render(&mut self.instance.store, model, conversation))
            .await;
        Ok(self
            .instance
            .end(call, result)?
            .map_err(untrusted::api_error))
    }

    /// A parser for one choice. `prompt` is the text that [`render`](TemplateInstance::render) returned.
    pub async fn parser(
        &mut self,
        conversation: &Conversation,
        prompt: &str,
    ) -> Result<Parser, PluginError> {
        let call = self.instance.begin(Phase::ParserNew)?;
        let guest = self
            .instance
            .bindings
            .lm_plugin_templating()
            .output_parser();
        let result = call
            .bounded(guest.call_constructor(&mut self.instance.store, conversation, prompt))
            .await;
        let resource = self.instance.end(call, result)?;
        self.parsers.push(Choice {
            resource,
            num_tool_calls: 0,
        });
        Ok(Parser(self.parsers.len() - 1))
    }

    /// Reads the next piece of a choice's text. What may be part of a mark is held back.
    pub async fn push(&mut self, parser: &Parser, text: &str) -> Result<Vec<Delta>, PluginError> {
        let resource = self.choice(parser, Phase::ParserPush)?.resource;
        let call = self.instance.begin(Phase::ParserPush)?;
        let guest = self
            .instance
            .bindings
            .lm_plugin_templating()
            .output_parser();
        let result = call
            .bounded(guest.call_push(&mut self.instance.store, resource, text))
            .await;
        let deltas = self.instance.end(call, result)?;
        self.checked(parser, deltas, Phase::ParserPush)
    }

    /// Ends a choice: returns what its parser held back.
    pub async fn finish(&mut self, parser: Parser) -> Result<Vec<Delta>, PluginError> {
        let resource = self.choice(&parser, Phase::ParserFinish)?.resource;
        let call = self.instance.begin(Phase::ParserFinish)?;
        let guest = self
            .instance
            .bindings
            .lm_plugin_templating()
            .output_parser();
        let result = call
            .bounded(guest.call_finish(&mut self.instance.store, resource))
            .await;
        let deltas = self.instance.end(call, result)?;
        self.checked(&parser, deltas, Phase::ParserFinish)
    }

    /// Parsers are numbers on the outside because the runtime panics on another instance's handle.
    fn choice(&mut self, parser: &Parser, phase: Phase) -> Result<&mut Choice, PluginError> {
        let plugin = &self.instance.plugin;
        self.parsers
            .get_mut(parser.0)
            .ok_or_else(|| plugin.failure(phase, Fault::Unusable))
    }

    fn checked(
        &mut self,
        parser: &Parser,
        deltas: Vec<Delta>,
        phase: Phase,
    ) -> Result<Vec<Delta>, PluginError> {
        let choice = self.choice(parser, phase)?;
        let checked = untrusted::deltas(deltas, &mut choice.num_tool_calls);
        checked.map_err(|what| self.instance.plugin.breach(phase, what))
    }
}
