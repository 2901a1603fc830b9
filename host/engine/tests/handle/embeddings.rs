//! Texts that become vectors, as async code sees them.

use engine::{
    EmbeddingRequest, EngineHandle, GenerationFailed, InvalidParam, Pooling, SubmitError, TokenId,
    fake::FakeRunner, runner::StepError,
};

use crate::support::{
    LIMITS, answer, collect, config, every_way, gated, is_at_rest, request, start, submit, until,
};

fn embed(tokens: &[TokenId], pooling: Pooling) -> EmbeddingRequest {
    EmbeddingRequest {
        tokens: tokens.to_vec(),
        pooling,
        ..EmbeddingRequest::default()
    }
}

fn vector(tokens: &[TokenId], pooling: Pooling) -> Vec<f32> {
    FakeRunner::expected_embedding(tokens, pooling, LIMITS.hidden_len)
}

#[tokio::test]
async fn each_text_gets_its_own_vector_while_others_are_answered() {
    for (handle, thread) in every_way(&config()) {
        let answered = submit(&handle, request(&[7], 20));
        let texts: Vec<Vec<TokenId>> = (0..6).map(|i| (i..i + 12).collect()).collect();
        let poolings = [Pooling::Last, Pooling::Mean].into_iter().cycle();
        let running: Vec<_> = texts
            .iter()
            .zip(poolings.clone())
            .map(|(tokens, pooling)| handle.embed(embed(tokens, pooling)).unwrap())
            .collect();
        for ((tokens, pooling), embedding) in texts.iter().zip(poolings).zip(running) {
            assert_eq!(embedding.await, Ok(vector(tokens, pooling)));
        }
        assert_eq!(collect(answered).await, answer(&[7], 20));
        until(&handle, is_at_rest).await;
        drop(handle);
        thread.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_text_may_fill_the_context_and_one_token_more_is_refused() {
    let (handle, _thread) = start(config());
    let longest = [3; 64];
    let embedding = handle.embed(embed(&longest, Pooling::Mean)).unwrap();
    assert_eq!(embedding.await, Ok(vector(&longest, Pooling::Mean)));
    let refusal = handle.embed(embed(&[3; 65], Pooling::Mean)).unwrap_err();
    let too_long = SubmitError::InputTooLong {
        input_len: 65,
        max_model_len: 64,
    };
    assert_eq!(refusal, too_long);
}

#[tokio::test]
async fn a_text_that_cannot_become_a_vector_is_refused_with_its_reason() {
    let (handle, _thread) = start(config());
    let refusal = |request| handle.embed(request).unwrap_err();
    assert_eq!(refusal(embed(&[], Pooling::Last)), SubmitError::EmptyPrompt);
    let unknown = SubmitError::UnknownToken {
        token: 50,
        vocab_len: 50,
    };
    assert_eq!(refusal(embed(&[3, 50], Pooling::Last)), unknown);
    let urgent = EmbeddingRequest {
        priority: -1,
        ..embed(&[1], Pooling::Last)
    };
    let SubmitError::InvalidParam(InvalidParam { param, .. }) = refusal(urgent) else {
        panic!("its priority is to blame");
    };
    assert_eq!(param, "priority");
}

#[tokio::test]
async fn one_text_too_many_is_refused_and_those_that_leave_make_room() {
    let (runner, gate) = gated(FakeRunner::new(LIMITS));
    let (handle, _thread) = EngineHandle::start(runner, config());
    let texts = (0..8).map(|i| handle.embed(embed(&[i], Pooling::Last)).unwrap());
    let taken: Vec<_> = texts.collect();
    let overloaded = SubmitError::Overloaded { asked: 1, limit: 8 };
    let refusal = handle.embed(embed(&[1], Pooling::Last)).unwrap_err();
    assert_eq!(refusal, overloaded);
    drop((taken, gate));
    let embedding = loop {
        match handle.embed(embed(&[1], Pooling::Last)) {
            Ok(embedding) => break embedding,
            Err(refusal) => assert_eq!(refusal, overloaded),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(embedding.await, Ok(vector(&[1], Pooling::Last)));
}

#[tokio::test]
async fn a_text_whose_engine_breaks_is_told_so() {
    let failures = [Some(StepError::Fatal("gone".into()))];
    let runner = FakeRunner::new(LIMITS).with_failures(failures);
    let (handle, thread) = EngineHandle::start(runner, config());
    let embedding = handle.embed(embed(&[1, 2], Pooling::Mean)).unwrap();
    assert_eq!(embedding.await, Err(GenerationFailed::Stopped));
    thread.join().unwrap().unwrap_err();
}
