//! Steps on the GPU.

mod choices;
mod decode;
mod extend;
mod hidden;
mod scores;

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use engine::runner::{
    ModelRunner, RowOutcome, RunnerLimits, SlotId, Step, StepError, StepRow, Want,
};
use kernels::cuda::{CudaError, Device, cublas_lt::Rows, sampling::Sampler};

use super::{
    forward::Forward,
    graphs::Graphs,
    inputs::{Inputs, Words},
    open::Summary,
    slots::{Slots, Token},
    tune::{Tuned, tune},
};
use choices::{Choice, Results, Stage};
use hidden::Hidden;
use scores::Scores;

/// Runs a dense decoder on the GPU.
pub struct CudaRunner {
    // Before what it points into, so that it is dropped first.
    graphs: Graphs,
    forward: Forward,
    sampler: Sampler,
    slots: Slots,
    /// Of decode batches: graphs read from it.
    decode_inputs: Inputs,
    /// Of everything else.
    extend_inputs: Inputs,
    results: Results,
    /// Packed anew in each step.
    words: Words,
    pending: VecDeque<Pending>,
    /// After a fault nothing can be done with the device.
    fault: Option<String>,
    limits: RunnerLimits,
    max_num_seqs: usize,
    summary: Summary,
    device: Device,
}

/// A step that was launched.
struct Pending {
    rows: Vec<Awaited>,
    results: Stage,
}

/// What is to come of a row.
enum Awaited {
    /// Nothing more.
    Now(RowOutcome),
    /// Choices on the device.
    Choices(Choice),
    /// How likely its followers were.
    Scores(Scores),
    /// A sum of hidden states.
    Hidden(Hidden),
}

/// A row that can be computed.
struct SoundRow<'a> {
    /// Its place in the step.
    index: usize,
    row: &'a StepRow<'a>,
    tokens: Vec<Token>,
    way: Way,
}

/// How a row's products are computed. A property of its tokens alone, since the ways differ in the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In the decode batch: a token that was chosen and is to be followed by another.
    Decode,
    /// With others of its kind: a prompt, even if its last token comes alone, since where a prompt is cut must not matter; and guesses.
    Extend(Rows),
}

/// Prompts up to here are multiplied by the algorithm for short ones.
const SHORT_PROMPT_LEN: usize = 256;

impl Way {
    fn of(row: &StepRow<'_>, num_tokens: usize, prompt_len: usize) -> Self {
        let is_prompt = row.start < prompt_len;
        match row.want {
            Want::Token | Want::TokenAmong(_) if num_tokens == 1 && !is_prompt => Self::Decode,
            _ if is_prompt && prompt_len > SHORT_PROMPT_LEN => Self::Extend(Rows::LongPrompts),
            _ => Self::Extend(Rows::ShortPrompts),
        }
    }
}

impl CudaRunner {
    pub(super) fn new(
        device: Device,
        forward: Forward,
        limits: RunnerLimits,
        max_num_seqs: usize,
        max_num_tokens: usize,
        summary: Summary,
    ) -> Result<Self, CudaError> {
        let sampler = Sampler::new(
            &device,
            sampler_rows(max_num_seqs),
            limits.vocab_len,
            max_num_seqs,
        )?;
        let mut runner = Self {
            graphs: Graphs::default(),
            forward,
            sampler,
            slots: Slots::default(),
            decode_inputs: Inputs::new(&device)?,
            extend_inputs: Inputs::new(&device)?,
            results: Results::new(
                &device,
                max_num_seqs + max_num_tokens,
                max_num_seqs * limits.hidden_len,
            )?,
            words: Words::default(),
            pending: VecDeque::new(),
            fault: None,
            limits,
            max_num_seqs,
            summary,
            device,
        };
        runner.record_first_graphs()?;
        Ok(runner)
    }

    /// What it is and how it came about, for the operator.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn set_phases(&mut self, phases: Vec<(&'static str, Duration)>) {
        self.summary.phases = phases;
    }

    /// Looks for faster tilings of the products of a decode step than the table's. No sequence may be running: this writes over the
    /// cache.
    pub fn tune(&mut self, num_rows: usize, context: usize) -> Result<Tuned, CudaError> {
        self.device.bind()?;
        tune(&self.device, &mut self.forward, num_rows, context)
    }

    fn try_launch(&mut self, step: &Step<'_>) -> Result<Pending, CudaError> {
        self.device.bind()?;
        for admission in step.admissions {
            self.slots.admit(admission);
        }
        let mut awaited: Vec<Option<Awaited>> = step.rows.iter().map(|_| None).collect();
        let rows = self.sound_rows(step.rows, &mut awaited);
        let (decode, extend): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.way == Way::Decode);
        let is_short = |row: &SoundRow<'_>| row.way == Way::Extend(Rows::ShortPrompts);
        let (short, long): (Vec<_>, Vec<_>) = extend.into_iter().partition(is_short);
        let mut results = self.results.take();
        self.count_tokens(step.admissions)?;
        for (kind, rows) in [(Rows::ShortPrompts, &short), (Rows::LongPrompts, &long)] {
            if !rows.is_empty() {
                self.extend(kind, rows, &mut awaited, &mut results)?;
            }
        }
        if !decode.is_empty() {
            self.decode(&decode, &mut awaited, &mut results)?;
        }
        results.finish(&self.device)?;
        let rows = awaited
            .into_iter()
            .map(|row| row.expect("each row was computed or refused"))
            .collect();
        Ok(Pending { rows, results })
    }

    /// The rows that can be computed, with their tokens; the others have failed.
    fn sound_rows<'a>(
        &self,
        rows: &'a [StepRow<'a>],
        awaited: &mut [Option<Awaited>],
    ) -> Vec<SoundRow<'a>> {
        let mut slots = HashSet::new();
        let mut sound = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            match self.tokens_of(row, &mut slots) {
                Ok((tokens, way)) => sound.push(SoundRow {
                    index,
                    row,
                    tokens,
                    way,
                }),
                Err(why) => awaited[index] = Some(Awaited::Now(RowOutcome::Failed(why))),
            }
        }
        sound
    }

    fn tokens_of(
        &self,
        row: &StepRow<'_>,
        slots: &mut HashSet<SlotId>,
    ) -> Result<(Vec<Token>, Way), String> {
        if row.slot.0 as usize >= self.max_num_seqs {
            return Err(format!(
                "slot {} is not below {}",
                row.slot.0, self.max_num_seqs
            ));
        }
        if !slots.insert(row.slot) {
            return Err(format!("slot {} has a row already", row.slot.0));
        }
        crate::runner::check_row(row, &self.limits)?;
        let slot = self.slots.get(row.slot)?;
        if slot.is_broken() {
            return Err("the token before it could not be chosen".to_owned());
        }
        let tokens = slot.tokens(row)?;
        let followers = match row.want {
            Want::Scores { .. } => slot.followers(row)?,
            _ => &[],
        };
        let all = followers.iter().map(|id| Token::Known(*id));
        match tokens
            .iter()
            .copied()
            .chain(all)
            .find(|token| matches!(token, Token::Known(id) if !self.forward.weights.has(*id)))
        {
            Some(token) => Err(format!(
                "{token:?} is not in the vocabulary of {}",
                self.limits.vocab_len
            )),
            None => {
                let way = Way::of(row, tokens.len(), slot.prompt_len);
                Ok((tokens, way))
            }
        }
    }

    fn read(&mut self, pending: Pending) -> Result<Vec<RowOutcome>, CudaError> {
        let Pending { rows, mut results } = pending;
        results.wait()?;
        let outcome = |row| match row {
            Awaited::Now(outcome) => outcome,
            Awaited::Choices(choice) => choice.outcome(&results, &mut self.slots),
            Awaited::Scores(scores) => scores.outcome(&results),
            Awaited::Hidden(hidden) => hidden.outcome(&results),
        };
        let outcomes = rows.into_iter().map(outcome).collect();
        self.results.give_back(results);
        Ok(outcomes)
    }
}

/// Rows that may be chosen for at once: a decode batch, and behind it one slab of an extend batch's logits.
pub(super) fn sampler_rows(max_num_seqs: usize) -> usize {
    super::graphs::bucket(max_num_seqs) + super::forward::NARROW_ROWS
}

impl ModelRunner for CudaRunner {
    fn limits(&self) -> &RunnerLimits {
        &self.limits
    }

    fn launch(&mut self, step: &Step<'_>) {
        if self.fault.is_some() {
            return;
        }
        match self.try_launch(step) {
            Ok(pending) => self.pending.push_back(pending),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        if let Some(pending) = self.pending.pop_front() {
            match self.read(pending) {
                Ok(outcomes) => return Ok(outcomes),
                Err(error) => self.fault = Some(error.to_string()),
            }
        }
        Err(StepError::Fatal(self.fault.clone().expect(
            "a step was launched, so it is pending or was refused for a fault",
        )))
    }
}

impl Drop for CudaRunner {
    fn drop(&mut self) {
        // Copies and callbacks under way use what is dropped next. A device with a fault does nothing more.
        let _ = self.device.bind();
        let _ = self.device.synchronize();
    }
}
