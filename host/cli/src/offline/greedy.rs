//! Greedy continuations of token ids, with log-probabilities.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use engine::{ChosenToken, Request, SamplingParams};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{each_token, start};
use crate::args::GreedyArgs;

#[derive(Clone, Serialize)]
struct Answer {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    logprobs: Vec<Position>,
}

/// Natural logarithms, of the token that was chosen and of the 20 likeliest.
#[derive(Clone, Serialize)]
struct Position {
    chosen: f32,
    top: Vec<(u32, f32)>,
}

pub(crate) async fn run(args: &GreedyArgs) -> Result<()> {
    let text = std::fs::read_to_string(&args.prompts)
        .with_context(|| format!("cannot read {}", args.prompts.display()))?;
    let prompts: Vec<Vec<u32>> = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no list of lists of token ids",
            args.prompts.display()
        )
    })?;
    let (engine, thread, _, _) = start(&args.model)?;
    let mut answers: Vec<Option<Answer>> = vec![None; prompts.len()];
    let mut waiting: VecDeque<_> = prompts.into_iter().enumerate().collect();
    let mut running = JoinSet::new();
    loop {
        while running.len() < args.concurrency.get()
            && let Some((number, prompt)) = waiting.pop_front()
        {
            let sampling = SamplingParams {
                logprobs: Some(20),
                ..SamplingParams::default()
            };
            let request = Request {
                prompt: prompt.clone(),
                sampling,
                max_tokens: args.max_tokens,
                ..Request::default()
            };
            let generation = engine
                .submit(request, 1)
                .with_context(|| format!("prompt {number}"))?
                .pop()
                .expect("one sample");
            running.spawn(async move {
                let mut answer = Answer {
                    prompt,
                    tokens: Vec::new(),
                    logprobs: Vec::new(),
                };
                each_token(generation, |chosen| answer.push(chosen)).await?;
                anyhow::Ok((number, answer))
            });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let (number, answer) = done??;
        answers[number] = Some(answer);
    }
    std::fs::write(&args.out, serde_json::to_string(&answers)?)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    drop(engine);
    thread
        .join()
        .expect("the engine's thread does not panic")
        .context("the engine broke")
}

impl Answer {
    fn push(&mut self, chosen: ChosenToken) {
        self.tokens.push(chosen.id);
        if let Some(logprobs) = chosen.logprobs {
            self.logprobs.push(Position {
                chosen: logprobs.chosen,
                top: logprobs.top,
            });
        }
    }
}
