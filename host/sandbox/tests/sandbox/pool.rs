//! Instances are many at once, and bounded.

use sandbox::{Fault, Limits, Phase};

use crate::support::*;

#[tokio::test]
async fn without_a_free_instance_a_call_fails_at_once_and_recovers() {
    let loader = loader(Limits {
        max_instances: 2,
        ..limits()
    });
    let template = hostile_template(&loader).await;
    let shaper = hostile_shaper(&loader).await;
    let first = template.start("r-1").await.unwrap();
    let second = template.start("r-2").await.unwrap();
    assert_eq!(loader.sandbox().num_instances(), 2);

    let error = shaper
        .shape(&inference("echo"), &caller())
        .await
        .unwrap_err();
    assert_eq!(
        (error.phase, &error.fault),
        (Phase::Start, &Fault::Overloaded(2))
    );
    assert!(
        error.to_string().contains("raise `max_instances`"),
        "{error}"
    );

    drop(first);
    assert_eq!(
        shaper.shape(&inference("echo"), &caller()).await,
        Ok(Ok(inference("echo")))
    );
    drop(second);
    assert_eq!(loader.sandbox().num_instances(), 0);
}

#[tokio::test]
async fn instances_that_failed_give_their_place_back() {
    let loader = loader(Limits {
        max_instances: 1,
        ..limits()
    });
    let shaper = hostile_shaper(&loader).await;
    for order in [
        "trap",
        "memory-bomb",
        "stack-bomb",
        "huge-return",
        "trap",
        "memory-bomb",
    ] {
        let error = shaper
            .shape(&inference(order), &caller())
            .await
            .unwrap_err();
        assert_eq!(error.phase, Phase::Shape, "{order}: {error}");
        assert_eq!(loader.sandbox().num_instances(), 0, "{order}");
    }
    assert_eq!(
        shaper.shape(&inference("echo"), &caller()).await,
        Ok(Ok(inference("echo")))
    );
}

#[tokio::test]
async fn a_fresh_instance_finds_nothing_of_the_one_before() {
    // One slot, so that it is the same memory: what a bomb wrote there must be gone, or the next one has less room.
    let loader = loader(Limits {
        max_instances: 1,
        ..limits()
    });
    let shaper = hostile_shaper(&loader).await;
    shaper
        .shape(&inference("memory-bomb"), &caller())
        .await
        .unwrap_err();
    let large = inference(&"x".repeat(6 << 20));
    assert_eq!(shaper.shape(&large, &caller()).await, Ok(Ok(large)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_requests_run_at_once_each_with_its_own_fate() {
    let loader = loader(Limits {
        max_instances: 128,
        ..limits()
    });
    let (router, template) = (
        hostile_router(&loader).await,
        hostile_template(&loader).await,
    );
    let shaper = hostile_shaper(&loader).await;
    let requests = (0..100).map(|number| {
        let (router, template, shaper) = (router.clone(), template.clone(), shaper.clone());
        tokio::spawn(async move {
            let Ok(sandbox::Outcome::Run(mut job)) = router.parse(&http("hello"), &server()).await
            else {
                panic!("request {number} was not taken");
            };
            let order = if number % 10 == 0 {
                "trap".into()
            } else {
                format!("m{number}")
            };
            let shaped = shaper.shape(&inference(&order), &caller()).await;
            assert_eq!(shaped.is_err(), number % 10 == 0, "request {number}");
            let mut instance = template.start("r").await.unwrap();
            let parser = instance.parser(&conversation("hello"), "").await.unwrap();
            let text = format!("text {number}");
            assert_eq!(
                instance.push(&parser, &text).await,
                Ok(vec![content(&text)])
            );
            assert!(job.reply.push(&[]).await.is_ok());
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    assert_eq!(loader.sandbox().num_instances(), 0);
}
