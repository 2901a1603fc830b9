//! Server-sent events: bytes in, in whatever pieces the network delivers them; data of whole events out.

/// An incremental parser for the `text/event-stream` format.
///
/// Lines end in LF, CRLF or CR. Comments and fields other than `data` are skipped, several `data` lines of one event are
/// joined by LF, and an event ends at an empty line; one that is cut off before that is never reported.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// The last byte seen was a CR, which ended its line; an LF that follows it belongs to the same line end.
    after_cr: bool,
}

impl SseParser {
    /// Takes the next bytes and returns the data of every event that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(rest);
                break;
            };
            self.line.extend_from_slice(&rest[..end]);
            events.extend(self.end_line());
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
        events
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        if self.line.is_empty() {
            return self.data.take();
        }
        let mut field = self.line.splitn(2, |&byte| byte == b':');
        if field.next() == Some(b"data") {
            let value = field.next().unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        self.line.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let events = pieces.iter().flat_map(|piece| parser.push(piece));
        events
            .map(|data| String::from_utf8_lossy(&data).into_owned())
            .collect()
    }

    #[test]
    fn events_end_at_an_empty_line_with_any_line_end() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
        ] {
            assert_eq!(parse(&[text.as_bytes()]), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn comments_and_other_fields_are_skipped() {
        let text = b": ping\n\nevent: x\nid: 1\nretry: 5\ndata: a\n:data: no\n\ndatax: no\n\n";
        assert_eq!(parse(&[text]), ["a"]);
    }

    #[test]
    fn data_lines_are_joined_and_lose_one_leading_space() {
        assert_eq!(
            parse(&[b"data:a\ndata:  b\ndata\ndata: c:d\n\n"]),
            ["a\n b\n\nc:d"]
        );
        assert_eq!(parse(&[b"data: a\r\ndata: b\r\n\r\n"]), ["a\nb"]);
    }

    #[test]
    fn an_event_that_is_cut_off_is_not_reported() {
        assert_eq!(parse(&[b"data: a\n\ndata: [DON"]), ["a"]);
        assert_eq!(parse(&[b"data: a\n\ndata: [DONE]\n"]), ["a"]);
    }

    #[test]
    fn every_split_into_three_gives_the_same_events() {
        let text = "\u{e9}: x\r\n: c\r\ndata: {\"a\":\"\u{20ac}\"}\r\n\r\ndata: b\r\ndata:c\n\n\rdata: [DONE]\r\r";
        let bytes = text.as_bytes();
        let whole = parse(&[bytes]);
        assert_eq!(whole, ["{\"a\":\"\u{20ac}\"}", "b\nc", "[DONE]"]);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parse(&pieces), whole, "split at {first} and {second}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_events(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("data: "), Just("data"), Just(":"), Just("\n"), Just("\r"), Just("\r\n"),
                    Just("\n\n"), Just(" "), Just("event: e"), Just("[DONE]"), Just("{\"x\":1}"), Just("\u{1f980}"),
                ],
                0..40,
            ),
            sizes in proptest::collection::vec(1usize..9, 1..20),
        ) {
            let text = parts.concat();
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for &size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, tail) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            prop_assert_eq!(parse(&pieces), parse(&[text.as_bytes()]));
        }
    }
}
