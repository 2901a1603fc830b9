use crate::Error;

/// Vocabularies stay below this; a larger id means a damaged file and would cost memory in proportion.
const MAX_VOCAB_LEN: usize = 1 << 24;

/// How a vocabulary entry is written, and whether it is text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each character stands for one byte.
    Normal,
    /// Its text is written as it is.
    Added,
    /// As added, and no part of an answer.
    Special,
}

/// The bytes of every token, end to end in one allocation: decoding is a copy out of it.
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where those of the token before end.
    ends: Vec<u32>,
    special: Vec<bool>,
}

impl Pieces {
    /// From (id, token as the vocabulary writes it, kind), in any order. Ids left out stand for nothing.
    pub(super) fn new(mut tokens: Vec<(u32, String, Kind)>) -> Result<Self, Error> {
        tokens.sort_unstable_by_key(|&(id, ..)| id);
        let len = tokens.last().map_or(0, |&(id, ..)| id as usize + 1);
        if len > MAX_VOCAB_LEN {
            return Err(Error::Vocabulary(format!(
                "token id {} is beyond {MAX_VOCAB_LEN}",
                len - 1
            )));
        }
        if let Some([(id, a, _), (_, b, _)]) = tokens.array_windows().find(|[a, b]| a.0 == b.0) {
            return Err(Error::Vocabulary(format!(
                "token id {id} is both {a:?} and {b:?}"
            )));
        }
        let mut pieces = Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(len),
            special: vec![false; len],
        };
        for (id, token, kind) in tokens {
            let id = id as usize;
            // Closes the gap to this id, if any, with empty pieces.
            pieces.ends.resize(id, pieces.bytes.len() as u32);
            if kind == Kind::Normal && is_byte_level(&token) {
                pieces.bytes.extend(token.chars().filter_map(byte_of));
            } else {
                // Of a normal token outside the alphabet the reference decoder, too, takes the text.
                pieces.bytes.extend(token.as_bytes());
            }
            let end = u32::try_from(pieces.bytes.len())
                .map_err(|_| Error::Vocabulary("its tokens together exceed 4 GiB".to_owned()))?;
            pieces.ends.push(end);
            pieces.special[id] = kind == Kind::Special;
        }
        Ok(pieces)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self, token: u32) -> Option<&[u8]> {
        let id = token as usize;
        let end = *self.ends.get(id)? as usize;
        let start = id
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        Some(&self.bytes[start..end])
    }

    pub(super) fn is_special(&self, token: u32) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }
}

fn is_byte_level(token: &str) -> bool {
    token.chars().all(|character| byte_of(character).is_some())
}

/// The byte that a character of GPT-2's alphabet stands for: printable Latin-1 stands for itself, and the characters from
/// U+0100 on for the 68 other bytes in rising order.
fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_byte_has_one_character_of_the_alphabet() {
        let characters = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert_eq!(characters.len(), 256);
        let bytes: BTreeSet<u8> = characters.into_iter().filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(
            ['Ġ', 'Ċ', 'a', 'ÿ', 'Ń', ' '].map(byte_of),
            [
                Some(b' '),
                Some(b'\n'),
                Some(b'a'),
                Some(0xff),
                Some(0xad),
                None
            ]
        );
    }

    #[test]
    fn only_normal_tokens_are_written_in_the_alphabet() {
        let tokens = [
            ("Ġé", Kind::Normal),
            ("Ġé", Kind::Added),
            ("Ġ é", Kind::Normal),
        ];
        let tokens = (0..)
            .zip(tokens)
            .map(|(id, (token, kind))| (id, token.to_owned(), kind));
        let pieces = Pieces::new(tokens.collect()).unwrap();
        assert_eq!(pieces.bytes(0), Some(&b" \xe9"[..]));
        assert_eq!(pieces.bytes(1), Some("Ġé".as_bytes()));
        assert_eq!(pieces.bytes(2), Some("Ġ é".as_bytes()));
    }

    #[test]
    fn ids_left_out_stand_for_nothing() {
        let tokens = vec![
            (4, "d".to_owned(), Kind::Special),
            (1, "Ġa".to_owned(), Kind::Normal),
        ];
        let pieces = Pieces::new(tokens).unwrap();
        let all: Vec<_> = (0..6).map(|id| pieces.bytes(id)).collect();
        assert_eq!(
            all,
            [
                Some(&b""[..]),
                Some(b" a"),
                Some(b""),
                Some(b""),
                Some(b"d"),
                None
            ]
        );
        assert!(pieces.is_special(4) && !pieces.is_special(1) && !pieces.is_special(6));
    }

    #[test]
    fn absurd_and_repeated_ids_are_refused() {
        for ids in [&[u32::MAX][..], &[3, 3]] {
            let tokens = ids.iter().map(|&id| (id, "a".to_owned(), Kind::Normal));
            assert!(
                matches!(Pieces::new(tokens.collect()), Err(Error::Vocabulary(_))),
                "{ids:?}"
            );
        }
    }
}
