//! From the model's text to answer, reasoning and tool calls.
//!
//! Newlines next to a mark belong to the mark, as Qwen3's template writes them: `<think>\n…\n</think>\n\n…` and
//! `…\n<tool_call>\n…\n</tool_call>`. All other text comes out as it went in.

mod arguments;
mod hold_back;
mod opening;
mod tool_call;

use plugin_sdk::{Conversation, Delta, OutputParser, ToolCallArguments, ToolCallStart, ToolChoice};

use crate::marks::{THINK, THINK_END, TOOL_CALL, TOOL_CALL_END};
use arguments::{Arguments, Head};
use hold_back::{Found, begun_len, find};
use opening::Opening;
use tool_call::Block;

/// Reads one choice. Whatever pieces the text comes in, the deltas add up to the same.
///
/// A tool call begins to come out once its name is there and its arguments begin, and its arguments come as they are written. What
/// does not begin like that comes out once its end is there, as a call or, if it cannot be read as one, as the text that it is.
pub struct MarkParser {
    state: State,
    /// Text whose meaning is not certain yet.
    held: String,
    /// Whether tool calls are looked for.
    tools: bool,
    /// Whether nothing else may be written.
    forced: bool,
    num_calls: u32,
}

/// Where in the answer `held` begins.
enum State {
    /// Nothing but whitespace was written: reasoning may begin here, and only here.
    Start,
    /// Inside `<think>`.
    Reasoning {
        /// Whether newlines are dropped, because only `<think>` stands before.
        after_mark: bool,
    },
    /// The answer itself.
    Content {
        /// Whether newlines are dropped, because only a mark stands before.
        after_mark: bool,
    },
    /// Inside `<tool_call>`.
    ToolCall {
        /// The newlines and the mark that the block began with, to be given back with it if it is no call.
        begun_with: String,
        /// How much of `held` the prompt has written and not the model, in bytes.
        prompted_len: usize,
        /// How much of `held` is known to hold no end of the block, in bytes.
        searched_len: usize,
    },
    /// Inside the arguments of a call that has begun to come out.
    Arguments(Arguments),
    /// Behind them, before `</tool_call>`.
    CallEnd,
}

impl MarkParser {
    pub(crate) fn new(conversation: &Conversation, prompt: &str) -> MarkParser {
        let mut held = String::new();
        let opening = opening::of(conversation, prompt);
        let forced = matches!(opening, Opening::ToolCall { .. });
        let state = match opening {
            Opening::Nothing => State::Start,
            Opening::Reasoning { after_mark } => State::Reasoning { after_mark },
            Opening::ToolCall { begun } => {
                held = begun;
                State::ToolCall {
                    begun_with: String::new(),
                    prompted_len: held.len(),
                    searched_len: held.len(),
                }
            }
            Opening::Answer => State::Content { after_mark: false },
        };
        MarkParser {
            state,
            held,
            tools: !conversation.tools.is_empty() && conversation.tool_choice != ToolChoice::None,
            forced,
            num_calls: 0,
        }
    }

    /// Takes one mark, or all text that is certain, out of `held`. False when there is nothing more to take.
    fn step(&mut self, deltas: &mut Deltas) -> bool {
        match &mut self.state {
            State::Start => self.start(),
            State::Reasoning { after_mark } => {
                if drop_newlines(&mut self.held, after_mark) {
                    return false;
                }
                match find(&self.held, THINK_END) {
                    Found::Mark { before, after } => {
                        deltas.reasoning(&self.held[..before]);
                        self.held.drain(..after);
                        self.state = State::Content { after_mark: true };
                        true
                    }
                    Found::Certain { len } => {
                        deltas.reasoning(&self.held[..len]);
                        self.held.drain(..len);
                        false
                    }
                }
            }
            State::Content { after_mark } => {
                if drop_newlines(&mut self.held, after_mark) {
                    return false;
                }
                if !self.tools {
                    deltas.content(&self.held);
                    self.held.clear();
                    return false;
                }
                match find(&self.held, TOOL_CALL) {
                    Found::Mark { before, after } => {
                        deltas.content(&self.held[..before]);
                        let begun_with = self.held[before..after].to_owned();
                        self.held.drain(..after);
                        self.state = State::ToolCall {
                            begun_with,
                            prompted_len: 0,
                            searched_len: 0,
                        };
                        true
                    }
                    Found::Certain { len } => {
                        deltas.content(&self.held[..len]);
                        self.held.drain(..len);
                        false
                    }
                }
            }
            State::ToolCall { .. } => self.begun_call(deltas) || self.tool_call(deltas),
            State::Arguments(arguments) => {
                let (len, ended) = arguments.read(&self.held);
                deltas.arguments(self.num_calls - 1, &self.held[..len]);
                self.held.drain(..len);
                if ended {
                    self.state = State::CallEnd;
                }
                ended
            }
            State::CallEnd => self.call_end(),
        }
    }

    /// Decides whether the answer begins with reasoning.
    fn start(&mut self) -> bool {
        let text = self.held.trim_start();
        if let Some(reasoning) = text.strip_prefix(THINK) {
            self.held = reasoning.to_owned();
            self.state = State::Reasoning { after_mark: true };
            return true;
        }
        if THINK.starts_with(text) {
            return false;
        }
        self.state = State::Content { after_mark: false };
        true
    }

    /// Lets a call begin to come out, once its name and the first brace of its arguments are there.
    fn begun_call(&mut self, deltas: &mut Deltas) -> bool {
        let Head::Call { name, len } = arguments::head(&self.held) else {
            return false;
        };
        deltas.start(self.num_calls, name);
        self.num_calls += 1;
        self.held.drain(..len);
        self.state = State::Arguments(Arguments::default());
        true
    }

    /// Drops what stands behind a call's arguments, up to the end mark. A model that leaves the mark out goes on with its answer.
    fn call_end(&mut self) -> bool {
        let held = self.held.trim_start();
        let closed = held.strip_prefix('}').map(str::trim_start);
        let rest = closed.unwrap_or(held);
        let is_member = closed.is_none() && rest.starts_with(',');
        if let Some(at) = rest.find(TOOL_CALL_END)
            && (at == 0 || is_member)
        {
            self.held = rest[at + TOOL_CALL_END.len()..].to_owned();
        } else if is_member || TOOL_CALL_END.starts_with(rest) {
            return false;
        } else {
            self.held = rest.to_owned();
        }
        self.state = State::Content { after_mark: true };
        true
    }

    /// Looks for the end of a tool call that did not begin as calls do.
    fn tool_call(&mut self, deltas: &mut Deltas) -> bool {
        let State::ToolCall {
            begun_with,
            prompted_len,
            searched_len,
        } = &mut self.state
        else {
            return false;
        };
        let Some(at) = self.held[*searched_len..].find(TOOL_CALL_END) else {
            *searched_len = self.held.len() - begun_len(&self.held, TOOL_CALL_END);
            return false;
        };
        let end = *searched_len + at;
        let after = end + TOOL_CALL_END.len();
        let after_mark = match tool_call::read(&self.held[..end]) {
            Block::Call { name, arguments } => {
                deltas.call(self.num_calls, name, arguments);
                self.num_calls += 1;
                true
            }
            // The end mark is a part of an argument's text.
            Block::InsideString => {
                *searched_len = after;
                return true;
            }
            Block::Other => {
                deltas.content(begun_with);
                deltas.content(&self.held[*prompted_len..after]);
                false
            }
        };
        self.held.drain(..after);
        self.state = State::Content { after_mark };
        true
    }
}

impl OutputParser for MarkParser {
    fn push(&mut self, text: String) -> Vec<Delta> {
        self.held.push_str(&text);
        let mut deltas = Deltas::default();
        while self.step(&mut deltas) {}
        deltas.0
    }

    fn finish(&mut self) -> Vec<Delta> {
        let mut deltas = Deltas::default();
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Content { after_mark: false }) {
            State::Start | State::Content { .. } => deltas.content(&held),
            State::Reasoning { .. } => deltas.reasoning(&held),
            // The limit of tokens, most likely: the client has what there is.
            State::Arguments(_) | State::CallEnd => {}
            // A grammar has held the model to the call that it had no time to write.
            State::ToolCall { .. } if self.forced => {}
            State::ToolCall {
                begun_with,
                prompted_len,
                ..
            } => match tool_call::read(&held) {
                // The end mark is often the very token that stops the model.
                Block::Call { name, arguments } => {
                    deltas.call(self.num_calls, name, arguments);
                    self.num_calls += 1;
                }
                Block::InsideString | Block::Other => {
                    deltas.content(&begun_with);
                    deltas.content(&held[prompted_len..]);
                }
            },
        }
        deltas.0
    }
}

/// Drops the newlines that still belong to the mark before. True while nothing else has come.
fn drop_newlines(held: &mut String, after_mark: &mut bool) -> bool {
    if *after_mark {
        let newlines = held.len() - held.trim_start_matches('\n').len();
        held.drain(..newlines);
        *after_mark = held.is_empty();
    }
    *after_mark
}

/// Deltas in order; adjacent pieces of the same kind become one.
#[derive(Default)]
struct Deltas(Vec<Delta>);

impl Deltas {
    fn content(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Content(last)) => last.push_str(text),
            _ => self.0.push(Delta::Content(text.to_owned())),
        }
    }

    fn reasoning(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::Reasoning(last)) => last.push_str(text),
            _ => self.0.push(Delta::Reasoning(text.to_owned())),
        }
    }

    fn call(&mut self, index: u32, name: String, arguments: String) {
        self.start(index, name);
        self.arguments(index, &arguments);
    }

    fn start(&mut self, index: u32, name: String) {
        self.0
            .push(Delta::ToolCallStart(ToolCallStart { index, name }));
    }

    fn arguments(&mut self, index: u32, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Delta::ToolCallArguments(last)) => last.text.push_str(text),
            _ => self.0.push(Delta::ToolCallArguments(ToolCallArguments {
                index,
                text: text.to_owned(),
            })),
        }
    }
}
