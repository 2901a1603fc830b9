//! Who waits for a form, and for how long.

use std::sync::{Arc, Mutex, mpsc};

use engine::{
    ComputeThread, EngineConfig, EngineHandle, ModelRunner, Overlap, Request, RunnerLimits,
    TokenId,
    constraint::{Constraint, Next},
    fake::{FakeRunner, Residue},
    runner::{RowOutcome, Step, StepError, Want},
};

use crate::support::{LIMITS, answer, collect, config, request, start, submit, tokens, until};

fn form(len: usize) -> Residue {
    Residue {
        divisor: 3,
        remainder: 1,
        len,
        vocab_len: LIMITS.vocab_len,
    }
}

/// A model slow enough for every mask to come in time.
struct Slow(FakeRunner);

impl ModelRunner for Slow {
    fn limits(&self) -> &RunnerLimits {
        self.0.limits()
    }

    fn launch(&mut self, step: &Step<'_>) {
        for row in step.rows {
            if let Want::TokenAmong(pending) = row.want {
                while pending.get().is_none() {
                    std::thread::yield_now();
                }
            }
        }
        self.0.launch(step);
    }

    fn collect(&mut self) -> Result<Vec<RowOutcome>, StepError> {
        self.0.collect()
    }
}

#[tokio::test]
async fn a_form_whose_masks_come_while_the_model_computes_costs_no_step() {
    let plain = EngineConfig {
        overlap: Overlap::Off,
        ..config()
    };
    let engines = [
        EngineHandle::start(Slow(FakeRunner::new(LIMITS)), plain.clone()),
        EngineHandle::start(ComputeThread::start(Slow(FakeRunner::new(LIMITS))), plain),
    ];
    for (handle, thread) in engines {
        let constrained = Request {
            constraint: Some(Box::new(form(10))),
            ..request(&[1, 2, 3], 10)
        };
        let text = tokens(&collect(submit(&handle, constrained)).await);
        assert!(text.iter().all(|token| form(1).allows(*token)), "{text:?}");
        until(&handle, |stats| stats.running == 0).await;
        let stats = handle.stats();
        assert_eq!((stats.steps, stats.late_masks), (10, 0));
        drop(handle);
        thread.join().unwrap().unwrap();
    }
}

/// A form that says what may come only when the test lets it.
#[derive(Clone)]
struct Gated(Residue, Arc<Mutex<mpsc::Receiver<()>>>);

impl Gated {
    fn wait(&self) {
        let gate = self.1.lock().expect("nobody panics with it");
        gate.recv().expect("the test opens the gate");
    }
}

impl Constraint for Gated {
    fn start(&mut self) -> Result<Next, String> {
        self.wait();
        self.0.start()
    }

    fn advance(&mut self, token: TokenId) -> Result<Next, String> {
        self.wait();
        self.0.advance(token)
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[tokio::test]
async fn a_form_that_takes_long_costs_one_row_and_holds_nobody_else_up() {
    let (open, gate) = mpsc::channel();
    let plain = EngineConfig {
        overlap: Overlap::Off,
        ..config()
    };
    let (handle, _thread) = start(plain);
    let constrained = submit(
        &handle,
        Request {
            constraint: Some(Box::new(Gated(form(2), Arc::new(Mutex::new(gate))))),
            ..request(&[1, 2, 3], 9)
        },
    );
    let free = submit(&handle, request(&[4], 20));
    assert_eq!(collect(free).await, answer(&[4], 20));
    assert_eq!(handle.stats().late_masks, 1);
    (0..3).for_each(|_| open.send(()).unwrap());
    assert_eq!(tokens(&collect(constrained).await).len(), 2);
}
