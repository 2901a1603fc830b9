use super::error::Problem;

/// In bytes. Classes of Unicode characters take a tenth of a millisecond each.
const MAX_LEN: usize = 16 << 10;

/// What the library reads in another way than its author meant, and what it reads too slowly.
pub(super) fn check(regex: &str) -> Result<(), Problem> {
    Problem::if_more(regex.len(), "bytes", MAX_LEN)?;
    let backslashes = regex.len() - regex.trim_end_matches('\\').len();
    if backslashes % 2 == 1 {
        return Err(Problem::Refused(
            "a regex ends in the middle of an escape (\\)".to_owned(),
        ));
    }
    if regex.contains('\n') && is_verbose(regex) {
        // Line breaks are written as escapes for the library, and no longer end comments.
        return Err(Problem::Refused(
            "a regex in verbose mode (x) must be one line".to_owned(),
        ));
    }
    check_groups(regex)
}

/// Whether the flag `x` is set, or unset, somewhere.
fn is_verbose(regex: &str) -> bool {
    regex.split("(?").skip(1).any(|flags| {
        let flags = flags.split([':', ')']).next().unwrap_or_default();
        flags.contains('x')
            && flags
                .chars()
                .all(|flag| flag.is_ascii_alphabetic() || flag == '-')
    })
}

/// The library takes a group of this name for a place to stop before, and leaves its text out of what it counts.
pub(super) fn check_groups(text: &str) -> Result<(), Problem> {
    if text.contains("?P<stop>") || text.contains("?<stop>") {
        return Err(Problem::Refused(
            "a group in a regex cannot be named \"stop\"".to_owned(),
        ));
    }
    Ok(())
}
