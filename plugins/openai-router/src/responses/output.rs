//! From the engine's events to the items of a response. Whole answers and streams are made of the same.

use std::mem;

use plugin_sdk::{Delta, Event, FinishReason, PositionLogprobs, ToolCallStart};

use super::item::{Item, Kind, Status};
use crate::{calls::Calls, ids::Digest};

/// The items so far. At most the last of them is still being written: a model writes one after the other.
pub(super) struct Output {
    answer: Digest,
    calls: Calls,
    items: Vec<Item>,
    /// Of tokens whose text has not come yet.
    unsent: Vec<PositionLogprobs>,
    finish: FinishReason,
}

/// What an event did to an item, which is named by its place in the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// It began.
    Opened(usize),
    /// It was written on.
    Grown {
        item: usize,
        /// Where the new text begins, in bytes.
        text_from: usize,
        /// Where the new log probabilities begin.
        logprobs_from: usize,
    },
    /// It ended.
    Closed(usize),
}

impl Output {
    pub(super) fn new(answer: Digest, calls: Calls) -> Output {
        Output {
            answer,
            calls,
            items: Vec::new(),
            unsent: Vec::new(),
            finish: FinishReason::Stop,
        }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Why the answer ended.
    pub(super) fn finish(&self) -> FinishReason {
        self.finish
    }

    /// Takes an event, and says what it changed.
    pub(super) fn take(&mut self, event: Event) -> Vec<Change> {
        let mut changes = Vec::new();
        match event {
            // Not asked for.
            Event::Prompt(_) | Event::Embedding(_) => {}
            Event::Logprobs(more) => self.unsent.extend(more.tokens),
            Event::Delta(grown) => self.grow(grown.delta, &mut changes),
            Event::Finished(end) => {
                self.finish = end.reason;
                let status = match end.reason {
                    FinishReason::Stop | FinishReason::ToolCalls => Status::Completed,
                    FinishReason::Length | FinishReason::ContentFilter => Status::Incomplete,
                };
                self.close(status, &mut changes);
            }
        }
        changes
    }

    /// The answer failed: what is being written stays as it is.
    pub(super) fn fail(&mut self) {
        self.close(Status::Incomplete, &mut Vec::new());
    }

    fn grow(&mut self, delta: Delta, changes: &mut Vec<Change>) {
        match delta {
            Delta::Content(text) => {
                if text.is_empty() {
                    return;
                }
                if !self.writes(|kind| matches!(kind, Kind::Message)) {
                    self.open("msg", Kind::Message, changes);
                }
                let logprobs = mem::take(&mut self.unsent);
                self.write(&text, logprobs, changes);
            }
            Delta::Reasoning(text) => {
                // Only a message's tokens have a place for their log probabilities.
                self.unsent.clear();
                if text.is_empty() {
                    return;
                }
                if !self.writes(|kind| matches!(kind, Kind::Reasoning)) {
                    self.open("rs", Kind::Reasoning, changes);
                }
                self.write(&text, Vec::new(), changes);
            }
            Delta::ToolCallStart(ToolCallStart { index, name }) => {
                self.unsent.clear();
                if self.calls.admits(index) {
                    let call_id = self.calls.id(0, index);
                    let call = Kind::Call {
                        index,
                        call_id,
                        name,
                    };
                    self.open("fc", call, changes);
                }
            }
            Delta::ToolCallArguments(more) => {
                self.unsent.clear();
                let is_its =
                    |kind: &Kind| matches!(kind, Kind::Call { index, .. } if *index == more.index);
                if !more.text.is_empty() && self.writes(is_its) {
                    self.write(&more.text, Vec::new(), changes);
                }
            }
        }
    }

    /// Whether the item that is being written is of this kind.
    fn writes(&self, is_kind: impl FnOnce(&Kind) -> bool) -> bool {
        self.items
            .last()
            .is_some_and(|last| last.status == Status::InProgress && is_kind(&last.kind))
    }

    /// Begins an item, and ends the one before.
    fn open(&mut self, prefix: &str, kind: Kind, changes: &mut Vec<Change>) {
        self.close(Status::Completed, changes);
        let place = self.items.len();
        self.items.push(Item {
            id: format!("{prefix}_{}_{place}", self.answer),
            status: Status::InProgress,
            kind,
            text: String::new(),
            logprobs: Vec::new(),
        });
        changes.push(Change::Opened(place));
    }

    /// Writes on in the last item.
    fn write(&mut self, text: &str, logprobs: Vec<PositionLogprobs>, changes: &mut Vec<Change>) {
        let Some((last, before)) = self.items.split_last_mut() else {
            return;
        };
        changes.push(Change::Grown {
            item: before.len(),
            text_from: last.text.len(),
            logprobs_from: last.logprobs.len(),
        });
        last.text.push_str(text);
        last.logprobs.extend(logprobs);
    }

    /// Ends the item that is being written, if there is one.
    fn close(&mut self, status: Status, changes: &mut Vec<Change>) {
        if let Some((last, before)) = self.items.split_last_mut()
            && last.status == Status::InProgress
        {
            last.status = status;
            changes.push(Change::Closed(before.len()));
        }
    }
}
