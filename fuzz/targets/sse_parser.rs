//! Any bytes in any pieces: the load client's parser reports the events that the format's rules give for the whole.
//!
//! The first four bytes are the sizes of the first pieces.

#![no_main]

use benchmark::SseParser;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; 4], &[u8])| {
    let (sizes, bytes) = input;
    let by_the_rules = events(bytes);
    assert_eq!(SseParser::default().push(bytes), by_the_rules);
    let single = bytes.iter().map(std::slice::from_ref);
    assert_eq!(in_pieces(single), by_the_rules, "byte by byte");
    let mut rest = bytes;
    let mut sizes = sizes.into_iter().map(usize::from);
    let pieces = std::iter::from_fn(|| {
        let len = sizes.next().unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at(len);
        let is_end = rest.is_empty();
        rest = behind;
        (!is_end).then_some(piece)
    });
    assert_eq!(in_pieces(pieces), by_the_rules, "in pieces");
});

fn in_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut parser = SseParser::default();
    pieces.flat_map(|piece| parser.push(piece)).collect()
}

/// The data of the events of a whole text, by the rules of the format and without regard to speed.
fn events(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && bytes[at - 1] == b'\r' => {}
            b'\n' | b'\r' => lines.push(std::mem::take(&mut line)),
            _ => line.push(byte),
        }
    }
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(data.join(&b'\n'));
            }
            data.clear();
        } else if line == b"data" {
            data.push(Vec::new());
        } else if let Some(value) = line.strip_prefix(b"data:") {
            data.push(value.strip_prefix(b" ").unwrap_or(value).to_owned());
        }
    }
    events
}
