//! Tool calls on their way out: their ids, and how many of them.

/// The rules for the calls of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    answer: u64,
    parallel: bool,
}

impl Calls {
    /// `parallel`: whether one choice may call more than one tool.
    pub(super) fn new(request_id: &str, parallel: bool) -> Calls {
        Calls {
            answer: fnv1a(request_id.as_bytes()),
            parallel,
        }
    }

    /// Whether the client wants to hear of a choice's call number `index`.
    pub(super) fn admits(&self, index: u32) -> bool {
        self.parallel || index == 0
    }

    /// The call's id: unique in the answer by its last two numbers, and in a conversation by the request's id, of which
    /// only a digest is used, since clients limit the length of call ids but may choose long request ids.
    pub(super) fn id(&self, choice: u32, index: u32) -> String {
        format!("call_{:016x}_{choice}_{index}", self.answer)
    }
}

/// The FNV-1a digest, which unlike the standard library's hashers is the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
