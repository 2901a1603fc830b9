mod combinations;
mod multiple;
mod references;

use std::ptr;

use serde_json::Value;

use self::combinations::Combinations;
use self::multiple::Multiple;
use self::references::target;
use super::error::Problem;
use super::regex;

/// No answer has as many items, characters or properties.
const MAX_MINIMUM: usize = 1 << 16;

/// Of any object in a schema, whether `properties`, `$defs` or the value of a `const`.
const MAX_MEMBERS: usize = 1000;

const MAX_ENUM_VALUES: usize = 5000;

/// `pattern`, `format` and keys of `patternProperties`. Each is checked on its own.
const MAX_PATTERNS: usize = 250;
const MAX_PATTERNS_LEN: usize = 16 << 10;

/// Goes through schemas before the library does, and refuses what would cost it too much, or what it would read wrongly.
///
/// Keywords are looked for everywhere, so that data in a schema which looks like one (in `const`, `examples`) is held to
/// the same limits.
pub(super) struct SchemaCheck {
    may_have_options: bool,
    num_enum_values: usize,
    num_patterns: usize,
    patterns_len: usize,
    multiple: Multiple,
    combinations: Combinations,
}

impl SchemaCheck {
    pub(super) fn new() -> Self {
        Self {
            may_have_options: false,
            num_enum_values: 0,
            num_patterns: 0,
            patterns_len: 0,
            multiple: Multiple::default(),
            combinations: Combinations::default(),
        }
    }

    /// As [`new`](Self::new), for schemas that may say how the library is to read them.
    pub(super) fn with_options() -> Self {
        Self {
            may_have_options: true,
            ..Self::new()
        }
    }

    /// Adds a schema to those checked so far.
    pub(super) fn check(&mut self, schema: &Value) -> Result<(), Problem> {
        self.check_within(schema, schema)?;
        self.combinations.add(schema)
    }

    fn check_within(&mut self, value: &Value, root: &Value) -> Result<(), Problem> {
        match value {
            Value::Object(members) => {
                Problem::if_more(members.len(), "members of one object", MAX_MEMBERS)?;
                for (keyword, member) in members {
                    if !ptr::eq(value, root) {
                        check_base(keyword, member, root)?;
                    }
                    self.check_keyword(keyword, member, root)?;
                    self.check_within(member, root)?;
                }
                Ok(())
            }
            Value::Array(values) => values
                .iter()
                .try_for_each(|value| self.check_within(value, root)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn check_keyword(&mut self, keyword: &str, value: &Value, root: &Value) -> Result<(), Problem> {
        match (keyword, value) {
            ("$ref", Value::String(reference)) if target(root, reference).is_none() => {
                Err(Problem::Refused(format!(
                    "the $ref {reference:?} leads to nothing in the schema; only JSON pointers within it are followed, as \
                     #/$defs/name"
                )))
            }
            ("x-guidance", _) if !self.may_have_options => Err(Problem::Refused(
                "x-guidance is not supported; blanks and escapes are not the client's to choose"
                    .to_owned(),
            )),
            ("minItems" | "minLength" | "minProperties", Value::Number(minimum)) => {
                // What is no count is the library's to refuse.
                let minimum = minimum.as_u64().unwrap_or(0);
                let minimum = usize::try_from(minimum).unwrap_or(usize::MAX);
                if minimum > MAX_MINIMUM {
                    return Err(Problem::TooLarge(format!(
                        "{keyword} {minimum} exceeds the limit of {MAX_MINIMUM}"
                    )));
                }
                Ok(())
            }
            ("required", Value::Array(names)) => {
                Problem::if_more(names.len(), "required names of one object", MAX_MEMBERS)
            }
            ("enum", Value::Array(values)) => {
                self.num_enum_values += values.len();
                Problem::if_more(self.num_enum_values, "enum values", MAX_ENUM_VALUES)
            }
            ("format", Value::String(_)) => self.check_pattern(""),
            ("pattern", Value::String(pattern)) => self.check_pattern(pattern),
            ("patternProperties", Value::Object(patterns)) => patterns
                .keys()
                .try_for_each(|pattern| self.check_pattern(pattern)),
            ("multipleOf", Value::Number(multiple)) => {
                self.multiple.include(multiple.as_f64().unwrap_or(0.0))
            }
            _ => Ok(()),
        }
    }

    fn check_pattern(&mut self, pattern: &str) -> Result<(), Problem> {
        self.num_patterns += 1;
        self.patterns_len += pattern.len();
        Problem::if_more(self.num_patterns, "patterns and formats", MAX_PATTERNS)?;
        Problem::if_more(self.patterns_len, "bytes of patterns", MAX_PATTERNS_LEN)?;
        regex::check(pattern)
    }
}

/// References are followed from the root. Within it, a schema that names itself would be the root of its own.
fn check_base(keyword: &str, value: &Value, root: &Value) -> Result<(), Problem> {
    let draft = root.get("$schema").and_then(Value::as_str).unwrap_or("");
    let names = match keyword {
        "$id" | "$schema" => true,
        "id" => draft.contains("draft-04"),
        _ => false,
    };
    if names && value.is_string() {
        return Err(Problem::Refused(format!(
            "{keyword} is only supported at the root of a schema"
        )));
    }
    Ok(())
}
