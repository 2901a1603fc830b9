//! The arguments of a call while they are being written.

/// What a block's text begins with.
pub(crate) enum Head {
    /// `{"name": "…", "arguments": {`: a call.
    Call {
        /// The function's name; never empty.
        name: String,
        /// Where the arguments begin, in bytes.
        len: usize,
    },
    /// Not that, or not yet.
    Other,
}

/// Reads what a block begins with. Members in another order, or other members before, are not looked for here.
pub(crate) fn head(text: &str) -> Head {
    let read = || {
        let rest = member(text.trim_start().strip_prefix('{')?, r#""name""#)?;
        let (name, rest) = string(rest)?;
        let rest = member(rest.trim_start().strip_prefix(',')?, r#""arguments""#)?;
        let len = text.len() - rest.len();
        (rest.starts_with('{') && !name.is_empty()).then_some(Head::Call { name, len })
    };
    read().unwrap_or(Head::Other)
}

/// What stands behind a member's name and colon.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.trim_start().strip_prefix(name)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// A JSON string, and what stands behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = text.strip_prefix('"')?.find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    })?;
    // With both quotes.
    let (string, rest) = text.split_at(end + 2);
    Some((serde_json::from_str(string).ok()?, rest))
}

/// How far into a JSON object its text has been read.
#[derive(Default)]
pub(crate) struct Arguments {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Arguments {
    /// How much of the text belongs to the object, in bytes, and whether that ended it. A `<` ends it too: outside of a string no JSON
    /// has one, but an end mark.
    pub(crate) fn read(&mut self, text: &str) -> (usize, bool) {
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                b'<' => return (at, true),
                _ => {}
            }
        }
        (text.len(), false)
    }
}
