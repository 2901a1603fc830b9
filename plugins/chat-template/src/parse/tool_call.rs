//! The inside of `<tool_call>…</tool_call>`: a JSON object with a name and arguments.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a block's text is.
pub(crate) enum Block {
    /// A call.
    Call {
        /// The function's name; never empty.
        name: String,
        /// A JSON object's text, as the model wrote it.
        arguments: String,
    },
    /// No whole call: the text breaks off inside a JSON string, so what looked like the end was a part of that string.
    InsideString,
    /// No call.
    Other,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Reads a block's text, without its marks.
pub(crate) fn read(text: &str) -> Block {
    let Ok(Call { name, arguments }) = serde_json::from_str(text) else {
        return if breaks_off_in_string(text) {
            Block::InsideString
        } else {
            Block::Other
        };
    };
    let arguments = arguments.map_or("{}", RawValue::get);
    if name.is_empty() || !arguments.starts_with('{') {
        return Block::Other;
    }
    Block::Call {
        name,
        arguments: arguments.to_owned(),
    }
}

/// Whether a JSON object's text has an odd number of quotes that count.
fn breaks_off_in_string(text: &str) -> bool {
    if !text.trim_start().starts_with('{') {
        return false;
    }
    let mut inside = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => inside = !inside,
            // Whatever is escaped, it does not end the string.
            b'\\' if inside => {
                bytes.next();
            }
            _ => {}
        }
    }
    inside
}
