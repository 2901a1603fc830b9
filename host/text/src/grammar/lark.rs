use serde_json::{Deserializer, Value};

use super::error::Problem;
use super::regex;
use super::schema::SchemaCheck;

/// In bytes; the grammar of a large programming language is about as long.
const MAX_LEN: usize = 32 << 10;

/// Each may need the next one's: the library follows them by recursion.
const MAX_DEFINITIONS: usize = 500;

/// What the library would not notice, or only after much work.
pub(super) fn check(lark: &str) -> Result<(), Problem> {
    Problem::if_more(lark.len(), "bytes", MAX_LEN)?;
    let definitions = lark.lines().filter(|line| may_define(line));
    Problem::if_more(definitions.count(), "definitions", MAX_DEFINITIONS)?;
    if lark.contains("allow_invalid_utf8") {
        return Err(Problem::Refused(
            "allow_invalid_utf8 is not supported: an answer is text".to_owned(),
        ));
    }
    regex::check_groups(lark)?;
    check_schemas(lark)
}

/// Definitions begin on lines of their own, with a name. So does not what is within JSON.
fn may_define(line: &str) -> bool {
    let named = |first: char| first.is_ascii_alphabetic() || "_!?".contains(first);
    line.trim_start().starts_with(named) && line.contains(':')
}

/// Schemas in a grammar are held to the same limits, together, as one on its own.
fn check_schemas(lark: &str) -> Result<(), Problem> {
    let mut check = SchemaCheck::with_options();
    for (at, keyword) in lark.match_indices("%json") {
        let rest = &lark[at + keyword.len()..];
        // What is no JSON is either not the keyword, as in a string, or the library's to refuse.
        if let Some(Ok(schema)) = Deserializer::from_str(rest).into_iter::<Value>().next() {
            check.check(&schema)?;
        }
    }
    Ok(())
}
