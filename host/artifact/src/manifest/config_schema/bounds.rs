//! Bounds the work that a schema can make: whoever uploads a component writes its schema, and the host checks by it.
//!
//! A few lines of references to references stand for more checks than anybody can wait for, and nested alternatives are
//! tried again at each level. So a schema is measured as if every reference were written out.

use serde_json::Value;

/// Most values in a schema with all references written out.
const MAX_VALUES: usize = 10_000;

/// Most levels in it. Each alternative takes two, and may double the work.
const MAX_DEPTH: usize = 32;

/// The only dialect; in older ones, plain `id` gives a place another name.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keys that give a place another name, or look one up while checking.
const NAMES: [&str; 6] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
];

/// Fails, in words that go on after "`config.schema`", where a schema is too much work or refers to anything but its own parts.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut left = MAX_VALUES;
    measure(schema, schema, 0, &mut left)
}

fn measure(root: &Value, part: &Value, depth: usize, left: &mut usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "`config.schema` is more than {MAX_DEPTH} levels deep with its references followed, or refers to itself: make it \
             flatter"
        ));
    }
    *left = left.checked_sub(1).ok_or_else(|| {
        format!(
            "`config.schema` has more than {MAX_VALUES} values with its references followed: make it simpler"
        )
    })?;
    let inner: Vec<&Value> = match part {
        Value::Array(values) => values.iter().collect(),
        Value::Object(entries) => {
            if let Some(key) = NAMES.iter().find(|key| entries.contains_key(**key)) {
                return Err(format!(
                    "`config.schema` uses `{key}`: refer to its parts by their place, as in `#/$defs/name`"
                ));
            }
            if let Some(Value::String(other)) = entries.get("$schema")
                && other != DIALECT
            {
                return Err(format!(
                    "`config.schema` is written in `{other}`, and is read as `{DIALECT}`: write it so, without `$schema`"
                ));
            }
            let target = match entries.get("$ref") {
                Some(Value::String(reference)) => Some(target(root, reference)?),
                _ => None,
            };
            entries.values().chain(target).collect()
        }
        _ => return Ok(()),
    };
    inner
        .into_iter()
        .try_for_each(|value| measure(root, value, depth + 1, left))
}

fn target<'a>(root: &'a Value, reference: &str) -> Result<&'a Value, String> {
    let pointer = reference.strip_prefix('#').ok_or_else(|| {
        format!(
            "`config.schema` refers to `{reference}`, and nothing is fetched: copy it into `$defs`"
        )
    })?;
    // Whoever follows the reference later decodes `%`, and would arrive elsewhere.
    Some(pointer)
        .filter(|pointer| !pointer.contains('%'))
        .and_then(|pointer| root.pointer(pointer))
        .ok_or_else(|| format!("`config.schema` refers to `{reference}`, where there is nothing"))
}
