//! Finding a mark in text that is still growing.

/// What is known about a text and a mark.
pub(crate) enum Found {
    /// The mark is there. The newlines before it belong to it.
    Mark {
        /// Where the newlines begin, in bytes.
        before: usize,
        /// Where the mark ends, in bytes.
        after: usize,
    },
    /// It is not. The text beyond `len` bytes may be its beginning.
    Certain {
        /// In bytes.
        len: usize,
    },
}

/// Looks for the first mark.
pub(crate) fn find(text: &str, mark: &str) -> Found {
    match text.find(mark) {
        Some(at) => Found::Mark {
            before: text[..at].trim_end_matches('\n').len(),
            after: at + mark.len(),
        },
        None => {
            let certain = &text[..text.len() - begun_len(text, mark)];
            Found::Certain {
                len: certain.trim_end_matches('\n').len(),
            }
        }
    }
}

/// The length of the longest end of `text` that the mark begins with, in bytes. Marks are ASCII.
pub(crate) fn begun_len(text: &str, mark: &str) -> usize {
    (1..mark.len())
        .rev()
        .find(|&len| text.ends_with(&mark[..len]))
        .unwrap_or(0)
}
