//! Many requests, too many requests, requests that nobody waits for, and the end of the server.

use std::{sync::mpsc, task::Poll};

use engine::EngineConfig;
use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, Setup, ask, take_first_steps, wait_until};

#[tokio::test]
async fn fifty_streams_at_once_each_get_their_own_answer() {
    let server = Server::start(Setup::default()).await;
    let answer = async |question: String| -> Value {
        let response = server.chat(ask("demo", &question)).await;
        response.json::<Value>().await.unwrap()["choices"][0]["message"]["content"].clone()
    };
    let questions: Vec<String> = (0..50).map(|number| format!("question {number}")).collect();
    let together = futures_util::future::join_all(questions.iter().cloned().map(&answer)).await;
    for (question, answered) in questions.into_iter().zip(together) {
        assert_eq!(answer(question).await, answered);
    }
}

#[tokio::test]
async fn one_request_too_many_gets_429_and_when_to_come_back() {
    let engine = EngineConfig {
        max_num_seqs: 1,
        max_num_queued_reqs: 1,
        ..EngineConfig::default()
    };
    let (open, server) = Server::start_gated(Setup {
        engine,
        ..Setup::default()
    })
    .await;
    // With two places and no step taken, two of three wait and the third is refused, whichever comes last.
    let mut asked: FuturesUnordered<_> = (0..3)
        .map(|i| server.chat(ask("demo", &i.to_string())))
        .collect();
    let refused = asked.next().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after-ms"], "1000");
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(open);
    while let Some(response) = asked.next().await {
        assert_eq!(response.status(), StatusCode::OK);
    }
}

/// Whether a client streams or not, its going away must be seen before its next token and not only at its end.
async fn assert_leaving_frees_blocks(streams: bool) {
    let (open, server) = Server::start_gated(Setup::default()).await;
    let mut request = ask("demo", "a long story");
    request["stream"] = json!(streams);
    request["max_tokens"] = json!(200);
    take_first_steps(&open);
    let mut asked = Box::pin(server.chat(request));
    let runs = async || server.engine.stats().generated_tokens == 6;
    let answered = tokio::select! {
        response = &mut asked => Some(response),
        () = wait_until(runs) => None,
    };
    assert!(server.engine.stats().used_blocks > 0);
    drop((answered, asked));
    wait_until(async || {
        server
            .metrics()
            .await
            .contains(r#"finished_reason="abort"} 1"#)
    })
    .await;
    // The step in which the engine waits; after it there must be nothing left to do.
    open.send(()).unwrap();
    wait_until(async || server.engine.stats().used_blocks == 0).await;
    assert_eq!(server.engine.stats().running, 0);
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_frees_its_blocks_before_the_next_step() {
    assert_leaving_frees_blocks(true).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_whole_answer_frees_its_blocks_too() {
    assert_leaving_frees_blocks(false).await;
}

/// Reads an answer as far as a client's patience goes: to its end, for some chunks, or not even to its head.
async fn visit(server: &Server, number: usize) -> Option<Value> {
    let mut request = ask("demo", &format!("question {}", number % NUM_QUESTIONS));
    let patience = number / 3 % 9;
    match number % 3 {
        0 => {
            let response = server.chat(request).await;
            assert_eq!(response.status(), StatusCode::OK);
            return Some(response.json().await.unwrap());
        }
        1 => {
            request["stream"] = json!(true);
            request["max_tokens"] = json!(300);
            request["ignore_eos"] = json!(true);
            let mut response = server.chat(request).await;
            for _ in 0..patience {
                response.chunk().await.unwrap();
            }
        }
        _ => {
            request["max_tokens"] = json!(300);
            request["ignore_eos"] = json!(true);
            let mut impatient = 0;
            let gives_up = std::future::poll_fn(|context| {
                impatient += 1;
                context.waker().wake_by_ref();
                match impatient > 50 * patience {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            tokio::select! {
                _ = server.chat(request) => {}
                () = gives_up => {}
            }
        }
    }
    None
}

const NUM_QUESTIONS: usize = 7;

/// Lets the model go on, a step for every few turns of the clients: else it would be done before anybody can leave.
async fn go_on(open: &mpsc::Sender<()>, server: &Server) {
    for num_steps in 0.. {
        open.send(()).unwrap();
        while server.engine.stats().steps <= num_steps {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn clients_that_leave_at_any_moment_cost_those_that_stay_nothing() {
    let alone = Server::start(Setup::default()).await;
    let content = |answer: &Value| answer["choices"][0]["message"]["content"].clone();
    let mut expected = Vec::new();
    for number in 0..NUM_QUESTIONS {
        let question = format!("question {number}");
        let response = alone.chat(ask("demo", &question)).await;
        expected.push(content(&response.json().await.unwrap()));
    }
    let (open, server) = Server::start_gated(Setup::default()).await;
    let visits = async {
        let mut visits = futures_util::stream::iter(0..600)
            .map(async |number| (number, visit(&server, number).await))
            .buffer_unordered(24);
        let mut num_answers = 0;
        while let Some((number, answer)) = visits.next().await {
            if let Some(answer) = answer {
                assert_eq!(content(&answer), expected[number % NUM_QUESTIONS]);
                num_answers += 1;
            }
        }
        num_answers
    };
    tokio::select! {
        () = go_on(&open, &server) => unreachable!("it goes on for ever"),
        num_answers = visits => assert_eq!(num_answers, 200),
    }
    drop(open);
    wait_until(async || server.engine.stats().used_blocks == 0).await;
    let stats = server.engine.stats();
    assert_eq!((stats.running, stats.waiting), (0, 0));
    let metrics = server.metrics().await;
    let aborts = metrics
        .lines()
        .find_map(|line| line.split_once(r#"finished_reason="abort"} "#));
    let num_aborts: u64 = aborts.unwrap().1.parse().unwrap();
    assert!(num_aborts > 200, "few left before their end: {num_aborts}");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_server_that_stops_lets_its_streams_end() {
    let (open, server) = Server::start_gated(Setup::default()).await;
    let mut request = ask("demo", "hello");
    request["stream"] = json!(true);
    take_first_steps(&open);
    let response = server.chat(request).await;
    let stopping = tokio::spawn(server.stop());
    drop(open);
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert!(stopping.await.unwrap());
}
