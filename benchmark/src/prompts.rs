//! The texts that are sent: one fixed text, short questions, or random words.

use crate::args::BenchmarkArgs;

/// Where prompts come from. The prompt of an index is always the same, on every machine.
#[derive(Debug)]
pub(crate) enum Prompts {
    Fixed(String),
    Questions,
    Random { words: u32, seed: u64 },
}

impl Prompts {
    pub(crate) fn of(args: &BenchmarkArgs) -> Self {
        match (&args.prompt, args.input_len) {
            (Some(text), _) => Prompts::Fixed(text.clone()),
            (None, Some(words)) => Prompts::Random {
                words: words.get(),
                seed: args.seed.unwrap_or(0),
            },
            (None, None) => Prompts::Questions,
        }
    }

    /// The prompt of request `index`.
    pub(crate) fn get(&self, index: u32) -> String {
        match *self {
            Prompts::Fixed(ref text) => text.clone(),
            Prompts::Questions => question(index as usize),
            Prompts::Random { words, seed } => random(words, seed, index),
        }
    }
}

/// Subject changes from one request to the next, so that neighbours in a batch share no long prefix.
fn question(index: usize) -> String {
    let form = FORMS[index / SUBJECTS.len() % FORMS.len()];
    form.replace("{}", SUBJECTS[index % SUBJECTS.len()])
}

fn random(words: u32, seed: u64, index: u32) -> String {
    // Each index has a stream of its own: no two prompts share a prefix that a cache could serve.
    let mut state = mix(mix(seed) ^ u64::from(index));
    let mut text = String::new();
    for position in 0..words {
        if position > 0 {
            text.push(' ');
        }
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The remainder favours no word by more than one part in 2^57: nothing a benchmark can see.
        text.push_str(WORDS[(mix(state) % WORDS.len() as u64) as usize]);
    }
    text
}

/// The output function of SplitMix64: a bijection that spreads every input bit over all output bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FORMS: [&str; 5] = [
    "Describe {} to a curious twelve-year-old.",
    "What are the three most important facts about {}?",
    "How would you introduce {} to a new colleague?",
    "Which common belief about {} is wrong, and why?",
    "Tell a short story that teaches something about {}.",
];

const SUBJECTS: [&str; 24] = [
    "tides",
    "bicycles",
    "coffee roasting",
    "the printing press",
    "bees",
    "elliptic curves",
    "volcanoes",
    "sourdough bread",
    "garbage collection in programming languages",
    "migrating birds",
    "the Silk Road",
    "lighthouses",
    "probability",
    "violins",
    "glaciers",
    "railway signals",
    "chess openings",
    "solar panels",
    "the human ear",
    "suspension bridges",
    "sleep",
    "paper money",
    "weather forecasts",
    "compilers",
];

/// Short, frequent words, which most vocabularies hold as one token with the space before them.
const WORDS: [&str; 96] = [
    "stone", "river", "light", "green", "table", "horse", "window", "paper", "small", "bread",
    "north", "music", "train", "cloud", "field", "salt", "clock", "bridge", "apple", "silver",
    "winter", "garden", "letter", "hand", "island", "blue", "market", "forest", "sound", "wheel",
    "glass", "road", "summer", "wind", "book", "fire", "tree", "wall", "gold", "ship", "moon",
    "bird", "snow", "rain", "door", "chair", "lamp", "boat", "sand", "leaf", "fish", "milk",
    "king", "farm", "hill", "lake", "ring", "rope", "seed", "star", "coat", "corn", "dust", "face",
    "flag", "game", "gate", "hair", "iron", "key", "land", "line", "map", "mind", "name", "nest",
    "note", "page", "path", "plan", "pool", "rice", "roof", "root", "rose", "shop", "silk", "skin",
    "song", "soup", "step", "tail", "town", "wave", "wood", "word",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn questions_repeat_only_after_every_pair_of_form_and_subject() {
        let pairs = FORMS.len() * SUBJECTS.len();
        let distinct: HashSet<_> = (0..pairs).map(question).collect();
        assert_eq!(distinct.len(), pairs);
        assert_eq!(question(pairs), question(0));
    }

    #[test]
    fn a_random_prompt_has_the_asked_length_and_depends_on_seed_and_index() {
        let prompt = |seed, index| Prompts::Random { words: 40, seed }.get(index);
        assert_eq!(prompt(1, 0).split(' ').count(), 40);
        assert_eq!(prompt(1, 0), prompt(1, 0));
        assert_ne!(prompt(1, 0), prompt(1, 1));
        assert_ne!(prompt(1, 0), prompt(2, 0));
    }
}
