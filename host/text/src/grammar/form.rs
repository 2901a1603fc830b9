use llguidance::JsonCompileOptions;
use llguidance::api::TopLevelGrammar;
use llguidance::derivre::ExprRef;
use llguidance::earley::lexerspec::LexerSpec;
use serde_json::{Value, json};

use super::error::Problem;
use super::schema::SchemaCheck;
use super::{lark, regex};

/// In bytes; a hundred tools with their parameters are about as long.
pub(super) const MAX_SCHEMA_LEN: usize = 128 << 10;

/// Parts of regexes that may be left out, as all of `a?b*c{0,9}`. In a row, each costs work in proportion to the others.
const MAX_OPTIONAL_PARTS: usize = 1000;

/// Between two parts of a JSON text: nothing, a blank, or a line break and its indentation. JSON allows any number of
/// blanks, and small models, once on it, write them until they are stopped.
const JSON_WHITESPACE: &str = r"\x20|\n[\x20\t]{0,64}";

/// What a client may ask a text to be.
///
/// JSON begins with its first brace, quote or digit and is complete with its last; within, there may be single blanks, and
/// line breaks with up to 64 blanks or tabs of indentation.
///
/// Limits keep what a form costs within bounds. A schema may have 128 KiB, 1000 properties of an object (of which about 500
/// may be optional), 5000 values of `enum` and 250 patterns; a regex 16 KiB; a grammar 32 KiB beside its schemas and 500
/// definitions; and the regexes of each together 1000 parts that may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits this JSON Schema, of 2020-12 unless it names another draft. Properties come in the schema's order.
    JsonSchema(String),
    /// All that this regex matches as a whole; Rust's syntax without look-around.
    Regex(String),
    /// All that this grammar derives, in llguidance's dialect of Lark. Refused are tokens (`<...>`) and `stop=`;
    /// `temperature=` has no effect. JSON in it (`%json`) may have any blanks, unless its `x-guidance` says which.
    Lark(String),
}

impl Form {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::JsonObject => "JSON object",
            Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regex",
            Self::Lark(_) => "Lark grammar",
        }
    }

    /// The form as the library takes it, once its text is found harmless.
    pub(super) fn checked(&self) -> Result<TopLevelGrammar, Problem> {
        match self {
            Self::JsonObject => Ok(json_grammar(json!({"type": "object"}))),
            Self::JsonSchema(text) => {
                Problem::if_more(text.len(), "bytes", MAX_SCHEMA_LEN)?;
                let schema = serde_json::from_str(text)
                    .map_err(|error| Problem::Refused(format!("it is no JSON: {error}")))?;
                SchemaCheck::new().check(&schema)?;
                Ok(json_grammar(schema))
            }
            Self::Regex(text) => {
                regex::check(text)?;
                Ok(TopLevelGrammar::from_regex(text))
            }
            Self::Lark(text) => {
                lark::check(text)?;
                Ok(TopLevelGrammar::from_lark(text.clone()))
            }
        }
    }

    /// What the library says without the Lark grammar that it puts a regex in.
    pub(super) fn own_words(&self, problem: Problem) -> Problem {
        let Problem::Refused(said) = problem else {
            return problem;
        };
        let Self::Regex(_) = self else {
            return Problem::Refused(said);
        };
        let said = said
            .split_once("(in regex): ")
            .map_or(said.as_str(), |(_, own)| own);
        let own = said
            .rsplit_once("\n   1 | start: /")
            .map_or(said, |(own, _)| own);
        Problem::Refused(own.to_owned())
    }
}

fn json_grammar(mut schema: Value) -> TopLevelGrammar {
    if schema == Value::Bool(true) {
        // The same, but it can carry options.
        schema = json!({});
    }
    if schema.is_object() {
        let options = JsonCompileOptions {
            whitespace_pattern: Some(JSON_WHITESPACE.to_owned()),
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut schema);
    }
    TopLevelGrammar::from_json_schema(schema)
}

/// What only shows once all parts of a form are put together.
pub(super) fn check_lexer(lexer: &LexerSpec) -> Result<(), Problem> {
    if lexer.special_token_rx.is_some() {
        return Err(Problem::Refused(
            "tokens (<...>) cannot be written; write text in quotes".to_owned(),
        ));
    }
    if lexer.has_stop {
        return Err(Problem::Refused(
            "stop= is not supported, since what it stops at would stay in the text; use suffix=, or lazy".to_owned(),
        ));
    }
    let exprs = lexer.regex_builder.exprset();
    let ids = (1..exprs.len() as u32).map(ExprRef::new);
    let optional = ids.filter(|&expr| match exprs.get_args(expr) {
        // Alternatives have arguments, too, but are no sequence.
        [first, _] => exprs.is_nullable(*first) && exprs.iter_concat(expr).nth(1).is_some(),
        _ => false,
    });
    Problem::if_more(
        optional.count(),
        "parts of regexes that may be left out",
        MAX_OPTIONAL_PARTS,
    )
}
