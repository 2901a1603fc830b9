/// What became of a piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What may be shown now, of this piece and of what was held back before.
    pub text: String,
    /// Whether a stop string is complete: the text ended before it, and all that follows is dropped.
    pub stopped: bool,
}

/// Ends a text before the first stop string in it, however the text is cut into pieces.
///
/// The first is the one that is complete first; of two that end at the same place, the longer. So the result does not depend on
/// the pieces, and generation can end at once. Text is held back only while it may be the beginning of a stop string.
#[derive(Clone, Debug)]
pub struct StopStrings {
    matchers: Vec<Matcher>,
    /// A beginning of a stop string: the end of the text so far.
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// Begins a text. An empty stop string never stops anything.
    pub fn new<S: AsRef<str>>(stops: impl IntoIterator<Item = S>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.as_ref().is_empty());
        let matchers = stops
            .map(|stop| Matcher::new(stop.as_ref().as_bytes()))
            .collect();
        Self {
            matchers,
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes the next piece of text and returns what is certain not to be in a stop string.
    pub fn push(&mut self, piece: &str) -> Checked {
        if self.stopped {
            return Checked {
                text: String::new(),
                stopped: true,
            };
        }
        let mut text = std::mem::take(&mut self.held);
        let scanned = text.len();
        text.push_str(piece);
        for (index, byte) in piece.bytes().enumerate() {
            let complete = self
                .matchers
                .iter_mut()
                .filter_map(|matcher| matcher.step(byte));
            if let Some(len) = complete.max() {
                self.stopped = true;
                // A stop string is valid UTF-8, so it begins and ends between characters.
                text.truncate(scanned + index + 1 - len);
                return Checked {
                    text,
                    stopped: true,
                };
            }
        }
        let held = self
            .matchers
            .iter()
            .map(|matcher| matcher.matched)
            .max()
            .unwrap_or(0);
        self.held = text.split_off(text.len() - held);
        Checked {
            text,
            stopped: false,
        }
    }

    /// No more text comes: returns what was held back.
    pub fn finish(self) -> String {
        self.held
    }
}

/// Finds one string in a stream of bytes, each looked at once (Knuth, Morris, Pratt).
#[derive(Clone, Debug)]
struct Matcher {
    wanted: Box<[u8]>,
    /// For each number of matched bytes, less one: how many of them are also a beginning of `wanted`.
    shorter: Box<[usize]>,
    /// How many bytes of `wanted` the stream ends with; always less than all.
    matched: usize,
}

impl Matcher {
    /// `wanted` is not empty.
    fn new(wanted: &[u8]) -> Self {
        let mut shorter = vec![0; wanted.len()];
        let mut matched = 0;
        for end in 1..wanted.len() {
            while matched > 0 && wanted[matched] != wanted[end] {
                matched = shorter[matched - 1];
            }
            matched += usize::from(wanted[matched] == wanted[end]);
            shorter[end] = matched;
        }
        Self {
            wanted: wanted.into(),
            shorter: shorter.into(),
            matched: 0,
        }
    }

    /// Takes a byte; returns the length of the string if the byte completes it. The stream ends there.
    fn step(&mut self, byte: u8) -> Option<usize> {
        while self.matched > 0 && self.wanted[self.matched] != byte {
            self.matched = self.shorter[self.matched - 1];
        }
        self.matched += usize::from(self.wanted[self.matched] == byte);
        (self.matched == self.wanted.len()).then_some(self.matched)
    }
}
