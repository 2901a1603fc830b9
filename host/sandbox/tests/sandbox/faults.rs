//! Every way in which a guest can misbehave ends in an error that names plugin, phase and limit, and the host lives on.

use std::time::Duration;

use sandbox::{
    ApiError, Fault, FaultStats, Limits, Loader, Outcome, Phase, PluginError, Reply, Router, Usage,
};

use crate::support::*;

const SHORT: Duration = Duration::from_millis(200);

fn usage() -> Usage {
    Usage {
        prompt_tokens: 1,
        completion_tokens: 1,
        cached_tokens: 0,
        reasoning_tokens: 0,
    }
}

async fn shape_error(loader: &Loader, order: &str) -> PluginError {
    let shaper = hostile_shaper(loader).await;
    let error = shaper
        .shape(&inference(order), &caller())
        .await
        .expect_err(order);
    // Whatever happened, the next request finds a plugin that works.
    let echo = shaper.shape(&inference("echo"), &caller()).await;
    assert_eq!(echo, Ok(Ok(inference("echo"))), "after {order}");
    assert_eq!(
        (&*error.plugin, error.phase),
        ("hostile-shaper", Phase::Shape),
        "{order}"
    );
    error
}

async fn job(router: &Router, order: &str) -> Reply {
    match router.parse(&http(order), &server()).await.expect(order) {
        Outcome::Run(job) => job.reply,
        Outcome::Respond(response) => panic!("{order}: responded with {response:?}"),
    }
}

#[tokio::test]
async fn a_panic_in_a_guest_is_a_trap() {
    let error = shape_error(&loader(limits()), "trap").await;
    assert!(
        matches!(&error.fault, Fault::Trap(why) if why.contains("unreachable")),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("plugin `hostile-shaper` failed in `shape`: it trapped"),
        "{text}"
    );
}

#[tokio::test]
async fn running_out_of_stack_is_a_trap() {
    let error = shape_error(&loader(limits()), "stack-bomb").await;
    assert!(
        matches!(&error.fault, Fault::Trap(why) if why.contains("stack")),
        "{error}"
    );
}

#[tokio::test]
async fn computing_beyond_the_budget_is_named_as_such() {
    let error = shape_error(
        &loader(Limits {
            cpu_budget: SHORT,
            ..limits()
        }),
        "spin",
    )
    .await;
    assert_eq!(error.fault, Fault::CpuBudget(SHORT));
    assert!(error.to_string().contains("raise `cpu_budget`"), "{error}");
}

#[tokio::test]
async fn running_beyond_the_deadline_is_named_as_such() {
    let error = shape_error(
        &loader(Limits {
            wall_deadline: SHORT,
            ..limits()
        }),
        "spin",
    )
    .await;
    assert_eq!(error.fault, Fault::Timeout(SHORT));
    assert!(
        error.to_string().contains("raise `wall_deadline`"),
        "{error}"
    );
}

#[tokio::test]
async fn allocating_beyond_the_limit_is_named_as_such() {
    let error = shape_error(&loader(limits()), "memory-bomb").await;
    assert_eq!(error.fault, Fault::Memory(64 << 20));
    assert!(
        error
            .to_string()
            .contains("more than 67108864 bytes of memory"),
        "{error}"
    );
}

#[tokio::test]
async fn returning_too_much_is_named_as_such() {
    let loader = loader(limits());
    for order in ["huge-return", "huge-refusal"] {
        let error = shape_error(&loader, order).await;
        assert_eq!(error.fault, Fault::OutputTooLarge(8 << 20), "{order}");
        assert!(
            error.to_string().contains("raise `max_output_bytes`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_request_that_the_contract_forbids_does_not_pass() {
    let loader = loader(limits());
    for order in ["no-inputs", "zero-samples", "nan-temperature"] {
        let error = shape_error(&loader, order).await;
        assert!(
            matches!(error.fault, Fault::Contract(_)),
            "{order}: {error}"
        );
    }
}

#[tokio::test]
async fn a_refusal_with_an_invalid_status_is_an_internal_error() {
    let shaper = hostile_shaper(&loader(limits())).await;
    for (order, status) in [("bad-status", 500), ("refuse", 403)] {
        let refused = shaper.shape(&inference(order), &caller()).await;
        assert!(
            matches!(&refused, Ok(Err(why)) if why.status == status),
            "{order}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn log_lines_beyond_the_quota_are_dropped_and_counted() {
    let loader = loader(Limits {
        log_lines: 4,
        log_bytes: 1 << 20,
        ..limits()
    });
    let shaper = hostile_shaper(&loader).await;
    let shaped = shaper.shape(&inference("log-flood"), &caller()).await;
    assert_eq!(shaped, Ok(Ok(inference("log-flood"))));
    assert_eq!(loader.sandbox().stats()[0].log_lines_dropped, 100_000 - 4);
}

#[tokio::test]
async fn log_bytes_beyond_the_quota_are_dropped_and_counted() {
    // Each line counts with the 2 KiB (and the mark of the cut) to which it is cut.
    let loader = loader(Limits {
        log_lines: u32::MAX,
        log_bytes: 7 << 10,
        ..limits()
    });
    let shaper = hostile_shaper(&loader).await;
    assert!(
        shaper
            .shape(&inference("log-flood"), &caller())
            .await
            .is_ok()
    );
    assert_eq!(loader.sandbox().stats()[0].log_lines_dropped, 100_000 - 3);
}

#[tokio::test]
async fn a_router_that_breaks_its_contract_does_not_answer() {
    let router = hostile_router(&loader(limits())).await;
    for (order, what) in [
        ("parse:bad-status", "returned status 99"),
        ("parse:bad-header", "is not HTTP"),
        ("parse:many-headers", "100000 headers; `max_headers` is 64"),
    ] {
        let error = router
            .parse(&http(order), &server())
            .await
            .err()
            .expect(order);
        assert_eq!(error.phase, Phase::Parse, "{order}");
        assert!(
            matches!(&error.fault, Fault::Contract(why) if why.contains(what)),
            "{order}: {error}"
        );
    }
    let mut reply = job(&router, "headers:bad-header").await;
    let error = reply.headers().await.unwrap_err();
    assert_eq!(error.phase, Phase::ReplyHeaders);
    assert!(matches!(error.fault, Fault::Contract(_)), "{error}");
}

#[tokio::test]
async fn the_phase_of_a_reply_that_fails_is_named() {
    let router = hostile_router(&loader(limits())).await;
    let trapped = |error: PluginError, phase| {
        assert_eq!(
            (error.phase, error.fault.label()),
            (phase, "trap"),
            "{error}"
        );
    };
    trapped(
        router
            .parse(&http("parse:trap"), &server())
            .await
            .err()
            .unwrap(),
        Phase::Parse,
    );
    trapped(
        job(&router, "headers:trap")
            .await
            .headers()
            .await
            .unwrap_err(),
        Phase::ReplyHeaders,
    );
    trapped(
        job(&router, "push:trap").await.push(&[]).await.unwrap_err(),
        Phase::ReplyPush,
    );
    trapped(
        job(&router, "finish:trap")
            .await
            .finish(usage())
            .await
            .unwrap_err(),
        Phase::ReplyFinish,
    );
    let error = ApiError {
        status: 500,
        kind: "server_error".into(),
        message: "no".into(),
        param: None,
        code: None,
        retry_after_ms: None,
    };
    trapped(
        job(&router, "fail:trap")
            .await
            .fail(&error)
            .await
            .unwrap_err(),
        Phase::ReplyFail,
    );
}

#[tokio::test]
async fn the_phase_of_a_template_that_fails_is_named() {
    let template = hostile_template(&loader(limits())).await;
    let mut fresh = template.start("r-1").await.unwrap();
    let error = fresh
        .render(&model(), &conversation("render:trap"))
        .await
        .unwrap_err();
    assert_eq!((error.phase, error.fault.label()), (Phase::Render, "trap"));

    let mut fresh = template.start("r-1").await.unwrap();
    let error = fresh
        .parser(&conversation("parser:trap"), "")
        .await
        .unwrap_err();
    assert_eq!(
        (error.phase, error.fault.label()),
        (Phase::ParserNew, "trap")
    );

    for (order, label) in [
        ("push:trap", "trap"),
        ("push:huge-return", "output_too_large"),
        ("push:many-deltas", "output_too_large"),
        ("push:orphan", "contract"),
    ] {
        let mut fresh = template.start("r-1").await.unwrap();
        let parser = fresh.parser(&conversation(order), "").await.unwrap();
        let error = fresh.push(&parser, "x").await.expect_err(order);
        assert_eq!(
            (error.phase, error.fault.label()),
            (Phase::ParserPush, label),
            "{order}"
        );
    }

    let mut fresh = template.start("r-1").await.unwrap();
    let parser = fresh
        .parser(&conversation("finish:trap"), "")
        .await
        .unwrap();
    let error = fresh.finish(parser).await.unwrap_err();
    assert_eq!(
        (error.phase, error.fault.label()),
        (Phase::ParserFinish, "trap")
    );
}

#[tokio::test]
async fn an_instance_that_trapped_is_not_entered_again() {
    let loader = loader(limits());
    let router = hostile_router(&loader).await;
    let mut reply = job(&router, "push:trap").await;
    assert_eq!(reply.push(&[]).await.unwrap_err().fault.label(), "trap");
    assert_eq!(reply.headers().await.unwrap_err().fault, Fault::Unusable);
    assert_eq!(
        reply.finish(usage()).await.unwrap_err().fault,
        Fault::Unusable
    );
    let faults = &loader.sandbox().stats()[0].faults;
    assert_eq!(
        faults[..],
        [
            FaultStats {
                fault: "trap",
                count: 1
            },
            FaultStats {
                fault: "unusable",
                count: 2
            }
        ]
    );
}

#[tokio::test]
async fn an_instance_whose_call_was_abandoned_is_not_entered_again() {
    let router = hostile_router(&loader(limits())).await;
    let mut reply = job(&router, "push:spin").await;
    tokio::select! {
        biased;
        result = reply.push(&[]) => panic!("a spinning guest returned {result:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(reply.headers().await.unwrap_err().fault, Fault::Unusable);
}

#[tokio::test]
async fn a_guest_that_spins_does_not_hold_up_others_on_the_same_thread() {
    let shaper = hostile_shaper(&loader(Limits {
        cpu_budget: Duration::from_millis(500),
        ..limits()
    }))
    .await;
    let (spin, echo, who) = (inference("spin"), inference("echo"), caller());
    let mut spinner = std::pin::pin!(shaper.shape(&spin, &who));
    // Both are one task's: the spinner is polled first at every turn, and the other one ends while it still spins.
    let echoed = tokio::select! {
        biased;
        ended = &mut spinner => panic!("the spinner ended first, with {ended:?}"),
        echoed = shaper.shape(&echo, &who) => echoed,
    };
    assert_eq!(echoed, Ok(Ok(inference("echo"))));
    let spun = spinner.await.unwrap_err();
    assert_eq!(spun.fault, Fault::CpuBudget(Duration::from_millis(500)));
}
