//! Rows and logits to try, and the device that chooses by them.

use std::{collections::HashMap, thread};

use kernels::cuda::{
    CudaError, Device,
    sampling::{RowLogprobs, SampleInputs, SampleRow, Sampler},
};

use crate::reference::{Request, Verdict, judge, mix};

pub(crate) struct Bench {
    pub(crate) device: Device,
    pub(crate) sampler: Sampler,
}

#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) token: i32,
    pub(crate) logprobs: RowLogprobs,
}

impl PartialEq for Choice {
    /// Bit by bit: poison is NaN.
    fn eq(&self, other: &Self) -> bool {
        let bits = |choice: &Self| {
            let RowLogprobs {
                chosen,
                top_ids,
                top,
            } = choice.logprobs;
            (
                choice.token,
                chosen.to_bits(),
                top_ids,
                top.map(f32::to_bits),
            )
        };
        bits(self) == bits(other)
    }
}

impl Bench {
    pub(crate) fn new(vocab_len: usize, max_rows: usize) -> Result<Self, CudaError> {
        let device = Device::open()?;
        let sampler = Sampler::new(&device, max_rows, vocab_len, max_rows)?;
        Ok(Self { device, sampler })
    }

    /// Chooses for all requests in one launch.
    pub(crate) fn choose(
        &self,
        logits: &[Vec<f32>],
        requests: &[Request],
    ) -> Result<Vec<Choice>, CudaError> {
        let mut rows = Vec::new();
        let (mut bias, mut stops, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            rows.push(SampleRow {
                bias_start: bias.len() as u32,
                bias_len: request.bias.len() as u32,
                stop_start: stops.len() as u32,
                stop_len: request.stops.len() as u32,
                mask_start: masks.len() as u32,
                mask_len: request.mask.len() as u32,
                ..request.row
            });
            bias.extend_from_slice(&request.bias);
            stops.extend_from_slice(&request.stops);
            masks.extend_from_slice(&request.mask);
        }
        let (tokens, values): (Vec<u32>, Vec<f32>) = bias.into_iter().unzip();
        let device = &self.device;
        let logits = device.upload("logits", &logits.concat())?;
        let rows = device.upload("rows", &rows)?;
        let (tokens, values) = (
            device.upload("tokens", &tokens)?,
            device.upload("values", &values)?,
        );
        let (stops, masks) = (
            device.upload("stops", &stops)?,
            device.upload("masks", &masks)?,
        );
        device.fill(self.sampler.chosen(), 0xff - 0x80)?;
        device.fill(self.sampler.logprobs(), 0xff)?;
        let inputs = SampleInputs {
            logits: logits.view(),
            rows: rows.view(),
            bias_tokens: tokens.view(),
            bias_values: values.view(),
            stop_tokens: stops.view(),
            mask_words: masks.view(),
        };
        self.sampler.launch(device, &inputs, 0)?;
        let chosen = device.read(self.sampler.chosen().slice(0, requests.len()))?;
        let logprobs = device.read(self.sampler.logprobs().slice(0, requests.len()))?;
        let choices = chosen.into_iter().zip(logprobs);
        Ok(choices
            .map(|(token, logprobs)| Choice { token, logprobs })
            .collect())
    }

    pub(crate) fn tokens(
        &self,
        logits: &[Vec<f32>],
        requests: &[Request],
    ) -> Result<Vec<i32>, CudaError> {
        let choices = self.choose(logits, requests)?;
        Ok(choices.iter().map(|choice| choice.token).collect())
    }
}

/// Judges many rows on many threads; panics at a wrong one, returns how many were rounded.
pub(crate) fn judge_all(got: &[Choice], logits: &[Vec<f32>], requests: &[Request]) -> usize {
    let verdicts: Vec<Verdict> = thread::scope(|scope| {
        let part_len = got.len().div_ceil(16);
        let parts: Vec<_> = (0..got.len())
            .step_by(part_len)
            .map(|start| {
                scope.spawn(move || {
                    let part = start..got.len().min(start + part_len);
                    part.map(|i| {
                        let request = &requests[i];
                        let row = request.row.logits_row as usize;
                        judge(got[i].token, &logits[row], request, &HashMap::new())
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        let parts = parts.into_iter().map(|part| part.join().expect("no panic"));
        parts.flatten().collect()
    });
    for (i, verdict) in verdicts.iter().enumerate() {
        assert!(
            !matches!(verdict, Verdict::Wrong { .. }),
            "row {i} of {} tokens chose {}: {verdict:?} by {:?}",
            logits[0].len(),
            got[i].token,
            requests[i].row
        );
    }
    let is_rounded = |verdict: &&Verdict| **verdict == Verdict::Rounded;
    verdicts.iter().filter(is_rounded).count()
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// In 0..1.
    pub(crate) fn share(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn bell(&mut self) -> f32 {
        ((0..4).map(|_| self.share()).sum::<f32>() - 2.0) * 1.732
    }

    /// A row of logits: as models have them, flat, with few different values, or all equal; some are no numbers.
    pub(crate) fn logits(&mut self, len: usize) -> Vec<f32> {
        let kind = self.below(8);
        let spread = if kind == 0 { 0.3 } else { 2.5 };
        let mut logits: Vec<f32> = (0..len).map(|_| spread * self.bell()).collect();
        match kind {
            0 | 1 => {}
            2 => logits.iter_mut().for_each(|logit| *logit = logit.round()),
            3 => logits.fill(1.25),
            _ => {
                for _ in 0..len.min(40) {
                    let token = self.below(len);
                    logits[token] = 5.0 + 12.0 * self.share();
                }
            }
        }
        if self.below(3) == 0 {
            for _ in 0..len / 7 {
                let token = self.below(len);
                logits[token] = self.pick(&[f32::NAN, f32::NEG_INFINITY, -0.0, 0.0, f32::MIN]);
            }
        }
        logits
    }
}

pub(crate) fn sampled(slot: usize, temperature: f32) -> SampleRow {
    SampleRow {
        temperature,
        seed: 7 * slot as u64,
        position: slot as u64,
        ..SampleRow::greedy(slot as i32, slot as u32)
    }
}
