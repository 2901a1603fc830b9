//! Tool calls on their way out: their ids, and how many of them.

use crate::ids::Digest;

/// The rules for the calls of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    answer: Digest,
    parallel: bool,
}

impl Calls {
    /// `parallel`: whether one choice may call more than one tool.
    pub(crate) fn new(request_id: &str, parallel: bool) -> Calls {
        Calls {
            answer: Digest::of(request_id),
            parallel,
        }
    }

    /// Whether the client wants to hear of a choice's call number `index`.
    pub(crate) fn admits(&self, index: u32) -> bool {
        self.parallel || index == 0
    }

    /// The call's id: unique in the answer by its last two numbers, and in a conversation by the request's id.
    pub(crate) fn id(&self, choice: u32, index: u32) -> String {
        format!("call_{}_{choice}_{index}", self.answer)
    }
}
