//! A thousand streams at once: each gets its whole answer and nobody else's.

use std::time::Instant;

use engine::EngineConfig;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use crate::{
    quantile::quantile,
    server::Server,
    stream::{Outcome, ask, question},
};

const NUM_STREAMS: usize = 1000;
const NUM_TOKENS: usize = 64;
/// Of the streams, those that are asked once more, alone, to compare.
const NUM_COMPARED: usize = 50;

/// Prints what the clients saw; whether every answer was whole.
pub(crate) async fn run(serving: &Runtime) -> bool {
    let engine = EngineConfig {
        max_num_seqs: 256,
        max_num_batched_tokens: 8192,
        max_num_queued_reqs: NUM_STREAMS,
        ..EngineConfig::default()
    };
    let server = serving
        .spawn(Server::start_with(engine, |runner| runner))
        .await
        .expect("it starts");
    let url = format!("http://{}/v1/chat/completions", server.address);
    let questions: Vec<_> = (0..NUM_STREAMS).map(|n| question(n, NUM_TOKENS)).collect();
    let begun = Instant::now();
    let asked = questions.iter().map(|q| ask(&server.client, &url, q));
    let outcomes = join_all(asked).await;
    let took = begun.elapsed();
    let mut failures = Vec::new();
    let mut first_tokens = Vec::new();
    let mut texts = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Answered { text, first_token } => {
                first_tokens.push(first_token);
                texts.push(text);
            }
            Outcome::Refused => failures.push("429".to_owned()),
            Outcome::Failed(why) => failures.push(why),
        }
    }
    let mut num_differing = 0;
    if failures.is_empty() {
        for number in (0..NUM_STREAMS).step_by(NUM_STREAMS / NUM_COMPARED) {
            let alone = ask(&server.client, &url, &questions[number]).await;
            let same = matches!(alone, Outcome::Answered { text, .. } if text == texts[number]);
            num_differing += usize::from(!same);
        }
    }
    let whole = first_tokens.len();
    println!(
        "{NUM_STREAMS} streams of {NUM_TOKENS} tokens at once: {whole} whole, {num_differing} of {NUM_COMPARED} unlike the same alone"
    );
    if let Some(why) = failures.first() {
        println!("  the first failure: {why}");
    }
    if whole > 0 {
        let [p50, p99] = [50, 99].map(|percent| quantile(&mut first_tokens, percent));
        println!(
            "  first token P50 {p50:.0?}, P99 {p99:.0?}; all in {took:.1?}, {:.0} tokens/s",
            (whole * NUM_TOKENS) as f64 / took.as_secs_f64()
        );
    }
    failures.is_empty() && num_differing == 0
}
