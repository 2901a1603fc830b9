use serde_json::{Deserializer, Value};

use super::error::Problem;
use super::form::MAX_SCHEMA_LEN;
use super::regex;
use super::schema::SchemaCheck;

/// In bytes, without schemas; the grammar of a large programming language is about as long.
const MAX_LEN: usize = 32 << 10;

/// Each may need the next one's: the library follows them by recursion.
const MAX_DEFINITIONS: usize = 500;

/// What the library would not notice, or only after much work.
pub(super) fn check(lark: &str) -> Result<(), Problem> {
    let schemas_len = check_schemas(lark)?;
    Problem::if_more(lark.len() - schemas_len, "bytes", MAX_LEN)?;
    let definitions = lark.lines().filter(|line| may_define(line));
    Problem::if_more(definitions.count(), "definitions", MAX_DEFINITIONS)?;
    if lark.contains("allow_invalid_utf8") {
        return Err(Problem::Refused(
            "allow_invalid_utf8 is not supported: an answer is text".to_owned(),
        ));
    }
    regex::check_groups(lark)
}

/// Definitions begin on lines of their own, with a name. So does not what is within JSON.
fn may_define(line: &str) -> bool {
    let named = |first: char| first.is_ascii_alphabetic() || "_!?".contains(first);
    line.trim_start().starts_with(named) && line.contains(':')
}

/// Schemas in a grammar are held to the same limits, together, as one on its own. Returns their length in bytes.
fn check_schemas(lark: &str) -> Result<usize, Problem> {
    let mut check = SchemaCheck::with_options();
    let (mut len, mut counted) = (0, 0);
    for (at, keyword) in lark.match_indices("%json") {
        let rest = &lark[at + keyword.len()..];
        // What is no JSON is either not the keyword, as in a string, or the library's to refuse.
        let mut schemas = Deserializer::from_str(rest).into_iter::<Value>();
        if let Some(Ok(schema)) = schemas.next() {
            // One within another, as in a string of it, counts once.
            let end = at + keyword.len() + schemas.byte_offset();
            len += end.saturating_sub(at.max(counted));
            counted = counted.max(end);
            Problem::if_more(len, "bytes of schemas", MAX_SCHEMA_LEN)?;
            check.check(&schema)?;
        }
    }
    Ok(len)
}
