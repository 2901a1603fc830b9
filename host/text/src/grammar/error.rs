use std::fmt::Display;
use std::io;

/// The longest reason in bytes, so that a message stays below 1 kB.
const MAX_REASON_LEN: usize = 800;

/// Why a form has no grammar. All but [`Thread`](Self::Thread) are the client's to mend.
#[derive(Debug, thiserror::Error)]
pub enum GrammarError {
    /// It would cost too much time or memory. A smaller or simpler one may do.
    #[error("the {form} is too large: {reason}")]
    TooLarge {
        /// What was to be compiled.
        form: &'static str,
        /// Which limit it exceeds.
        reason: String,
    },
    /// It is malformed, or asks for what is not supported.
    #[error("the {form} is refused: {reason}")]
    Refused {
        /// What was to be compiled.
        form: &'static str,
        /// What is wrong, and where as far as known.
        reason: String,
    },
    /// It is well formed, but nothing can be written in it.
    #[error("no text has the form of this {form}")]
    Unsatisfiable {
        /// What was to be compiled.
        form: &'static str,
    },
    /// The system has no room for the thread that compiles. The same form may do later.
    #[error("no thread could be started to compile the {form}: {reason}")]
    Thread {
        /// What was to be compiled.
        form: &'static str,
        /// What the system said.
        reason: io::Error,
    },
}

/// What is wrong with a form, told by who does not know which form it is.
pub(super) enum Problem {
    TooLarge(String),
    Refused(String),
}

impl Problem {
    /// Whether there are more than `limit` of `what`, a plural.
    pub(super) fn if_more(count: usize, what: &str, limit: usize) -> Result<(), Self> {
        if count > limit {
            return Err(Self::TooLarge(format!(
                "{count} {what} exceed the limit of {limit}"
            )));
        }
        Ok(())
    }

    pub(super) fn into_reason(self) -> String {
        match self {
            Self::TooLarge(reason) | Self::Refused(reason) => cut(&reason),
        }
    }

    pub(super) fn of(self, form: &'static str) -> GrammarError {
        match self {
            Self::TooLarge(reason) => GrammarError::TooLarge {
                form,
                reason: cut(&reason),
            },
            Self::Refused(reason) => GrammarError::Refused {
                form,
                reason: cut(&reason),
            },
        }
    }
}

/// What the library says of limits, and what that means to a client, who cannot raise them.
const LIMITS: [(&str, &str); 10] = [
    (
        "operation cancelled",
        "it took too long to tell what may come next; let fewer alternatives begin alike",
    ),
    (
        "initial lexer configuration",
        "its regexes and strings together are too many or too long",
    ),
    ("grammar size", "it has too many parts"),
    (
        "schema too large",
        "combining its parts makes too many schemas",
    ),
    (
        "stack level exceeded",
        "it combines schemas within each other too deeply",
    ),
    (
        "fuel exhausted",
        "its regexes are too complex to tell whether they match anything",
    ),
    (
        "too many expressions constructed",
        "it takes too much work to tell what may come next in one of its regexes or strings",
    ),
    (
        "too many states",
        "a regex, or a string of limited length, has become too long",
    ),
    (
        "Too many items",
        "it takes too much work to tell what may come next; let fewer alternatives begin alike",
    ),
    (
        "Current row has",
        "it has too many alternatives at one place; an object may have about 500 optional properties",
    ),
];

/// The same for what is not supported, or went wrong.
const OTHERS: [(&str, &str); 4] = [
    ("parser stopped", "the text is complete"),
    ("NoExtensionBias", "no token continues the text in its form"),
    (
        "oneOf constraints are not supported",
        "the options of a oneOf may overlap; use anyOf, or let a property have another const in each",
    ),
    (
        "circular references with sibling keys",
        "a $ref that leads back to itself has other keywords beside it",
    ),
];

/// What the library says, fit for a client.
pub(super) fn readable(error: impl Display) -> Problem {
    // The alternate form tells causes, too.
    let said = format!("{error:#}");
    if said.starts_with("panic: ") {
        // What follows is meant for those who maintain it, stack and all.
        return failed();
    }
    let meant = |table: &[(&str, &str)]| {
        let entry = table.iter().find(|(part, _)| said.contains(part))?;
        Some(entry.1.to_owned())
    };
    if let Some(reason) = meant(&LIMITS) {
        return Problem::TooLarge(reason);
    }
    let as_it_is = || said.strip_suffix("\n<non-verbose/>").unwrap_or(&said);
    Problem::Refused(meant(&OTHERS).unwrap_or_else(|| as_it_is().to_owned()))
}

/// For what makes the library panic.
pub(super) fn failed() -> Problem {
    Problem::Refused("the grammar library fails on it; it may do in other words".to_owned())
}

/// Long texts lose their middle: the client's own words often stand there.
fn cut(reason: &str) -> String {
    if reason.len() <= MAX_REASON_LEN {
        return reason.trim_end().to_owned();
    }
    let start = reason.floor_char_boundary(MAX_REASON_LEN / 2);
    let end = reason.ceil_char_boundary(reason.len() - MAX_REASON_LEN / 2);
    format!("{} [...] {}", &reason[..start], reason[end..].trim_end())
}
