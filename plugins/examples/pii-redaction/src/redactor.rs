//! Replaces what is found, each value by the same placeholder throughout a request.

use std::{collections::BTreeMap, fmt};

use crate::{Kind, Settings, find::find, json};

/// What one request has been found to hold.
pub(crate) struct Redactor<'a> {
    settings: &'a Settings,
    found: Found,
}

/// What was found of each kind, in the order of [`Kind::ALL`].
#[derive(Default)]
pub(crate) struct Found([OfKind; Kind::ALL.len()]);

#[derive(Default)]
struct OfKind {
    /// How often the kind was found.
    count: usize,
    /// The number of each value, from 1, in the order in which they were first seen.
    numbers: BTreeMap<String, usize>,
}

impl<'a> Redactor<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Redactor {
            settings,
            found: Found::default(),
        }
    }

    /// The text with placeholders; nothing where there is nothing to replace. A text that is JSON stays JSON.
    pub(crate) fn redact(&mut self, text: &str) -> Option<String> {
        if json::is_container(text) {
            json::rewrite(text, |string| self.redact_plain(string))
        } else {
            self.redact_plain(text)
        }
    }

    /// What was found so far.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    fn redact_plain(&mut self, text: &str) -> Option<String> {
        let found = find(text, self.settings);
        if found.is_empty() {
            return None;
        }
        let mut redacted = String::with_capacity(text.len());
        let mut copied = 0;
        for (span, kind) in found {
            redacted.push_str(&text[copied..span.start]);
            redacted.push_str(&self.placeholder(kind, &text[span.clone()]));
            copied = span.end;
        }
        redacted.push_str(&text[copied..]);
        Some(redacted)
    }

    /// `[EMAIL_1]`, …
    fn placeholder(&mut self, kind: Kind, value: &str) -> String {
        let of_kind = &mut self.found.0[kind as usize];
        of_kind.count += 1;
        let next = of_kind.numbers.len() + 1;
        let number = of_kind.numbers.entry(kind.canonical(value)).or_insert(next);
        format!("[{}_{number}]", kind.name().to_ascii_uppercase())
    }
}

impl Found {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|of_kind| of_kind.count == 0)
    }
}

/// Kinds and counts and never a value: `email 2, phone 1`.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (kind, OfKind { count, .. }) in Kind::ALL.iter().zip(&self.0) {
            if *count > 0 {
                write!(f, "{comma}{} {count}", kind.name())?;
                comma = ", ";
            }
        }
        Ok(())
    }
}
