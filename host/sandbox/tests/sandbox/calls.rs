//! What well-behaved calls carry to the guest and back.

use sandbox::{ApiError, ChoiceDelta, Delta, Event, Header, Outcome, Phase, Role, Task, Usage};

use crate::support::*;

const USAGE: Usage = Usage {
    prompt_tokens: 3,
    completion_tokens: 2,
    cached_tokens: 1,
    reasoning_tokens: 0,
};

fn event(text: &str) -> Event {
    Event::Delta(ChoiceDelta {
        choice: 0,
        delta: content(text),
        usage_so_far: USAGE,
    })
}

#[tokio::test]
async fn a_request_passes_through_a_shaper_field_by_field() {
    let shaper = hostile_shaper(&loader(limits())).await;
    assert_eq!(shaper.info().role, Role::Shaper);
    let given = inference("echo");
    assert_eq!(shaper.shape(&given, &caller()).await, Ok(Ok(given)));
}

#[tokio::test]
async fn a_router_says_its_routes_when_it_is_loaded() {
    let router = hostile_router(&loader(limits())).await;
    let routes: Vec<_> = router
        .routes()
        .iter()
        .map(|route| (&*route.method, &*route.path))
        .collect();
    assert_eq!(routes, [("POST", "/hostile")]);
}

#[tokio::test]
async fn a_router_may_answer_at_once() {
    let router = hostile_router(&loader(limits())).await;
    let Outcome::Respond(response) = router
        .parse(&http("parse:respond"), &server())
        .await
        .unwrap()
    else {
        panic!("a job, where an answer was ordered");
    };
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"parse:respond"[..])
    );
}

#[tokio::test]
async fn a_reply_encodes_headers_events_and_end() {
    let router = hostile_router(&loader(limits())).await;
    let Outcome::Run(mut job) = router.parse(&http("hello"), &server()).await.unwrap() else {
        panic!("an answer, where a job was asked for");
    };
    let Task::Generate(request) = &job.task else {
        panic!("another task than the one that was asked for");
    };
    assert_eq!(request.model, "m");
    let content_type = Header {
        name: "content-type".into(),
        value: b"text/plain".to_vec(),
    };
    assert_eq!(job.reply.headers().await, Ok(vec![content_type]));
    assert_eq!(
        job.reply.push(&[event("a"), event("b")]).await,
        Ok(b"ab".to_vec())
    );
    assert_eq!(job.reply.push(&[]).await, Ok(Vec::new()));
    assert_eq!(job.reply.finish(USAGE).await, Ok(b"done\n".to_vec()));
}

#[tokio::test]
async fn a_reply_tells_of_a_failure() {
    let router = hostile_router(&loader(limits())).await;
    let Outcome::Run(job) = router.parse(&http("hello"), &server()).await.unwrap() else {
        panic!("an answer, where a job was asked for");
    };
    let error = ApiError {
        status: 503,
        kind: "server_error".into(),
        message: "the engine stopped".into(),
        param: None,
        code: None,
        retry_after_ms: Some(10),
    };
    assert_eq!(
        job.reply.fail(&error).await,
        Ok(b"the engine stopped".to_vec())
    );
}

#[tokio::test]
async fn one_template_instance_renders_and_parses_all_choices() {
    let template = hostile_template(&loader(limits())).await;
    let mut instance = template.start("r-1").await.unwrap();
    let prompt = instance
        .render(&model(), &conversation("hello"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((prompt.text.as_str(), prompt.constraint), ("hello\n", None));
    let first = instance
        .parser(&conversation("hello"), &prompt.text)
        .await
        .unwrap();
    let second = instance
        .parser(&conversation("hello"), &prompt.text)
        .await
        .unwrap();
    assert_eq!(instance.push(&first, "a").await, Ok(vec![content("a")]));
    assert_eq!(instance.push(&second, "b").await, Ok(vec![content("b")]));
    assert_eq!(instance.finish(first).await, Ok(Vec::<Delta>::new()));
    assert_eq!(instance.push(&second, "c").await, Ok(vec![content("c")]));
}

#[tokio::test]
async fn a_template_may_refuse_a_conversation() {
    let template = hostile_template(&loader(limits())).await;
    let mut instance = template.start("r-1").await.unwrap();
    let refused = instance
        .render(&model(), &conversation("render:refuse"))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err().status, 400);
    // A refusal is not a failure: the instance goes on.
    assert!(
        instance
            .render(&model(), &conversation("hello"))
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn calls_are_counted_by_phase_across_reloads() {
    let loader = loader(limits());
    for _ in 0..2 {
        let shaper = hostile_shaper(&loader).await;
        shaper
            .shape(&inference("echo"), &caller())
            .await
            .unwrap()
            .unwrap();
    }
    let stats = loader.sandbox().stats();
    assert_eq!(stats.len(), 1);
    assert_eq!(stats[0].plugin, "hostile-shaper");
    let calls: Vec<_> = stats[0]
        .phases
        .iter()
        .map(|phase| (phase.phase, phase.calls))
        .collect();
    // Each load tries the plugin out, and each call has an instance of its own.
    assert_eq!(
        calls,
        [(Phase::Load, 2), (Phase::Start, 4), (Phase::Shape, 2)]
    );
    assert!(stats[0].phases.iter().all(|phase| !phase.time.is_zero()));
}
