//! Entity tags: whether a browser's copy of a file is the present one.

/// FNV-1a over the bytes, computed when the crate is compiled. It tells versions of one file apart and guards nothing.
pub(crate) const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

/// Whether a value of `if-none-match` names `tag`. By HTTP's rules weak tags count, and `*` is any.
pub(crate) fn matches(if_none_match: &str, tag: &str) -> bool {
    let mut tags = if_none_match.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_published_one_of_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tag_is_found_among_others_weak_or_not_and_any_matches_all() {
        for value in [
            "\"a\"",
            "W/\"a\"",
            "\"b\", \"a\"",
            "\"b\",W/\"a\" ,\"c\"",
            "*",
        ] {
            assert!(matches(value, "\"a\""), "{value}");
        }
        for value in ["", "a", "\"b\"", "\"ab\"", "W/", "\"b\" \"a\""] {
            assert!(!matches(value, "\"a\""), "{value}");
        }
    }
}
