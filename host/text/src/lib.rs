#![doc = include_str!("../README.md")]

mod detokenizer;
mod error;
mod grammar;
mod stop;
mod tokenizer;

pub use detokenizer::Detokenizer;
pub use error::Error;
pub use grammar::{Allowed, Form, Grammar, GrammarError, Grammars};
pub use stop::{Checked, StopStrings};
pub use tokenizer::{GgufVocab, Specials, Tokenizer};
