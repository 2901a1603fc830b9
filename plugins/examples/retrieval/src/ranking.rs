//! BM25: which passages say most about the words of a question.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::terms::terms;

/// How soon a word that is said again counts no more, and how much a long passage is held against it: the usual values.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// What the index keeps of a passage.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Indexed {
    /// Number of words.
    len: u32,
    /// How often each occurs.
    counts: BTreeMap<String, u32>,
}

impl Indexed {
    pub(crate) fn new(passage: &str) -> Indexed {
        let mut indexed = Indexed {
            len: 0,
            counts: BTreeMap::new(),
        };
        for term in terms(passage) {
            indexed.len += 1;
            *indexed.counts.entry(term).or_default() += 1;
        }
        indexed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A passage that has a word of the question.
#[derive(Debug, PartialEq)]
pub(crate) struct Hit {
    /// The id of its document.
    pub(crate) document: String,
    /// Its number within the document, from 0.
    pub(crate) passage: usize,
    /// Higher is better; only comparable within one search.
    pub(crate) score: f32,
}

/// Reads the passages of all documents one by one, and keeps of each only what the question asks about.
pub(crate) struct Search {
    terms: Vec<String>,
    candidates: Vec<Candidate>,
    num_passages: u32,
    total_len: u64,
    /// For each term, the passages that have it.
    frequencies: Vec<u32>,
}

struct Candidate {
    document: String,
    passage: usize,
    len: u32,
    counts: Vec<u32>,
}

impl Search {
    /// A search for the words of `question`.
    pub(crate) fn new(question: &str) -> Search {
        let mut terms = terms(question);
        terms.sort();
        terms.dedup();
        let frequencies = vec![0; terms.len()];
        Search {
            terms,
            candidates: Vec::new(),
            num_passages: 0,
            total_len: 0,
            frequencies,
        }
    }

    /// Whether the question has no words, and so cannot find anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Takes a document into account.
    pub(crate) fn read(&mut self, document: &str, passages: &[Indexed]) {
        for (passage, indexed) in passages.iter().enumerate() {
            self.num_passages += 1;
            self.total_len += u64::from(indexed.len);
            let count = |term| indexed.counts.get(term).copied().unwrap_or(0);
            let counts: Vec<u32> = self.terms.iter().map(count).collect();
            for (frequency, &count) in self.frequencies.iter_mut().zip(&counts) {
                *frequency += u32::from(count > 0);
            }
            if counts.iter().any(|&count| count > 0) {
                let document = document.to_owned();
                self.candidates.push(Candidate {
                    document,
                    passage,
                    len: indexed.len,
                    counts,
                });
            }
        }
    }

    /// The best passages, best first, at most `max` of them.
    pub(crate) fn best(self, max: usize) -> Vec<Hit> {
        let average_len = self.total_len as f32 / self.num_passages.max(1) as f32;
        let weights: Vec<f32> = self
            .frequencies
            .iter()
            .map(|&n| weight(n, self.num_passages))
            .collect();
        let hit = |candidate: Candidate| {
            let excess = 1.0 - B + B * candidate.len as f32 / average_len;
            let of_term = |(&count, weight): (&u32, &f32)| {
                let count = count as f32;
                weight * count * (K1 + 1.0) / (count + K1 * excess)
            };
            let score = candidate.counts.iter().zip(&weights).map(of_term).sum();
            Hit {
                document: candidate.document,
                passage: candidate.passage,
                score,
            }
        };
        let mut hits: Vec<Hit> = self.candidates.into_iter().map(hit).collect();
        // Stable, so equals stay in the order of documents and passages.
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(max);
        hits
    }
}

/// What a word is worth that `frequency` of `num_passages` passages have. Above 0 even if all have it.
fn weight(frequency: u32, num_passages: u32) -> f32 {
    let (frequency, total) = (frequency as f32, num_passages as f32);
    (1.0 + (total - frequency + 0.5) / (frequency + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(question: &str, passages: &[&str], max: usize) -> Vec<Hit> {
        let mut search = Search::new(question);
        for (number, passage) in passages.iter().enumerate() {
            search.read(&number.to_string(), &[Indexed::new(passage)]);
        }
        search.best(max)
    }

    fn order(question: &str, passages: &[&str]) -> Vec<String> {
        best(question, passages, usize::MAX)
            .into_iter()
            .map(|hit| hit.document)
            .collect()
    }

    #[test]
    fn a_rare_word_is_worth_more_than_a_common_one() {
        let passages = ["the boiler is on", "the valve is shut", "the door is open"];
        assert_eq!(order("the valve", &passages), ["1", "0", "2"]);
    }

    #[test]
    fn a_short_passage_comes_before_a_long_one_that_says_the_word_as_often() {
        let long = format!("valve {}", "and so on ".repeat(50));
        assert_eq!(order("valve", &[&long, "valve here"]), ["1", "0"]);
    }

    #[test]
    fn a_word_said_more_often_counts_more_but_ever_less_so() {
        let scores = |n: usize| {
            best(
                "valve",
                &[
                    &format!("{}{}", "valve ".repeat(n), "x ".repeat(20 - n)),
                    "y",
                ],
                1,
            )[0]
            .score
        };
        let gains = [scores(2) - scores(1), scores(3) - scores(2)];
        assert!(gains[0] > gains[1] && gains[1] > 0.0, "{gains:?}");
    }

    #[test]
    fn passages_without_a_word_of_the_question_are_not_found() {
        assert!(best("pump", &["the valve", ""], 9).is_empty());
        assert!(Search::new("?!").is_empty());
    }

    #[test]
    fn scores_are_those_of_the_published_formula() {
        // Two passages of 2 and 4 words; `a` is in the first only: ln(1 + (2 - 1 + 0.5) / 1.5) * 1 * 2.2 / (1 + 1.2 * 0.75).
        let hits = best("a", &["a b", "c d e f"], 9);
        let expected = 2.0_f32.ln() * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * 2.0 / 3.0));
        assert!(
            (hits[0].score - expected).abs() < 1e-6,
            "{hits:?} {expected}"
        );
    }
}
