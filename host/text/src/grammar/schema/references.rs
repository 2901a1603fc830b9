use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What a `$ref` leads to: a JSON pointer from `root`, as a URI has it (`#/$defs/node`).
///
/// The library also follows anchors and URIs of schemas within a schema. Who counts the work would have to do so alike.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = percent_decode_str(reference.strip_prefix('#')?);
    root.pointer(&pointer.decode_utf8().ok()?)
}
