//! A form without a grammar.

use crate::{
    constraint::{Constraint, Next, TokenMask},
    runner::TokenId,
};

/// Every token leaves the same remainder; complete after `len` tokens.
#[derive(Clone, Debug)]
pub struct Residue {
    /// What tokens are divided by.
    pub divisor: u32,
    /// What every token leaves.
    pub remainder: u32,
    /// How many tokens are still to come.
    pub len: usize,
    /// Tokens in the vocabulary.
    pub vocab_len: usize,
}

impl Residue {
    /// Whether a token leaves the remainder.
    pub fn allows(&self, token: TokenId) -> bool {
        token % self.divisor == self.remainder
    }

    /// All tokens that do.
    pub fn mask(&self) -> TokenMask {
        let mut words = vec![0; self.vocab_len.div_ceil(32)];
        for token in (0..self.vocab_len as TokenId).filter(|token| self.allows(*token)) {
            words[token as usize / 32] |= 1 << (token % 32);
        }
        TokenMask::from_words(words)
    }
}

impl Constraint for Residue {
    fn start(&mut self) -> Result<Next, String> {
        Ok(Next::Among(self.mask()))
    }

    fn advance(&mut self, token: TokenId) -> Result<Next, String> {
        if !self.allows(token) {
            return Err(format!("{token} was not allowed"));
        }
        self.len -= 1;
        Ok(match self.len {
            0 => Next::Complete,
            _ => Next::Among(self.mask()),
        })
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}
