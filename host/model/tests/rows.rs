//! A wrong row of a step fails alone, whatever is wrong with it.

use std::path::Path;

use engine::{
    Pooling, SamplingParams,
    constraint::TokenMask,
    runner::{Admission, BlockId, ModelRunner, RowOutcome, SlotId, Step, StepRow, Want},
};
use model::{CpuRunner, KvMemory, OpenOptions, open};

const PROMPT: [u32; 5] = [79, 220, 280, 210, 156];
/// What the reference says to it (`golden/tied/golden.json`).
const ANSWER: [u32; 4] = [290, 72, 125, 24];
const BLOCKS: [BlockId; 2] = [BlockId(3), BlockId(1)];
const NUM_BLOCKS: usize = 8;
const MAX_MODEL_LEN: usize = 128;

fn runner() -> CpuRunner {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied");
    let options = OpenOptions {
        kv_memory: KvMemory::Blocks(NUM_BLOCKS),
        max_model_len: Some(MAX_MODEL_LEN),
        ..OpenOptions::default()
    };
    open(&golden, &options).unwrap().runner
}

fn admit<'a>(slot: u32, tokens: &'a [u32], sampling: &'a SamplingParams) -> Admission<'a> {
    Admission {
        slot: SlotId(slot),
        tokens,
        prompt_len: tokens.len(),
        sampling,
    }
}

/// The whole prompt, in slot 0.
fn sound() -> StepRow<'static> {
    StepRow {
        slot: SlotId(0),
        start: 0,
        len: PROMPT.len(),
        drafts: &[],
        blocks: &BLOCKS,
        want: Want::Token,
    }
}

/// What a row says, or why it says nothing.
fn said(outcome: &RowOutcome) -> Result<Vec<u32>, &str> {
    match outcome {
        RowOutcome::Computed | RowOutcome::Undecided | RowOutcome::Hidden(_) => Ok(vec![]),
        RowOutcome::Chosen(tokens) | RowOutcome::Scored(tokens) => {
            Ok(tokens.iter().map(|token| token.id).collect())
        }
        RowOutcome::Failed(why) => Err(why),
    }
}

#[test]
fn a_wrong_row_fails_with_its_reason_and_its_batch_mates_go_on() {
    let mask = TokenMask::from_words([u32::MAX; 10]).into();
    let unknown_block = [BlockId(NUM_BLOCKS as u32)];
    // It has a slot and blocks of its own.
    let fine = StepRow {
        slot: SlotId(1),
        len: 2,
        blocks: &[BlockId(5)],
        ..sound()
    };
    #[rustfmt::skip]
    let wrong = [
        ("slot 7 is empty", StepRow { slot: SlotId(7), ..fine }),
        ("slot 0 has a row already", StepRow { slot: SlotId(0), ..fine }),
        ("slot 1 knows 2 tokens, not positions 0 to 3", StepRow { len: 3, ..fine }),
        ("it has no tokens", StepRow { len: 0, ..fine }),
        ("longest sequence is 128", StepRow { start: 128, ..fine }),
        ("longest sequence is 128", StepRow { start: usize::MAX, ..fine }),
        ("longest sequence is 128", StepRow { len: usize::MAX, drafts: &[1], ..fine }),
        ("0 blocks do not hold 2 tokens", StepRow { blocks: &[], ..fine }),
        ("1 blocks do not hold 17 tokens", StepRow { drafts: &[1; 15], ..fine }),
        ("block 8 is not among the 8", StepRow { blocks: &unknown_block, ..fine }),
        ("token 300 is not in the vocabulary", StepRow { drafts: &[1, 300], ..fine }),
        ("token 999 is not in the vocabulary", StepRow { slot: SlotId(2), len: 1, ..fine }),
        ("it has drafts", StepRow { drafts: &[1], want: Want::Nothing, ..fine }),
        ("it has drafts", StepRow { drafts: &[1], want: Want::TokenAmong(&mask), ..fine }),
        ("it has drafts", StepRow { drafts: &[1], want: Want::Scores { num_top: 1 }, ..fine }),
        ("it has drafts", StepRow { drafts: &[1], want: Want::Hidden(Pooling::Mean), ..fine }),
        ("slot 1 knows 2 tokens, not positions 1 to 3", StepRow { want: Want::Scores { num_top: 1 }, ..fine }),
    ];
    let mut runner = runner();
    let sampling = SamplingParams::default();
    for (reason, row) in wrong {
        runner.launch(&Step {
            admissions: &[
                admit(0, &PROMPT, &sampling),
                admit(1, &[1, 2], &sampling),
                admit(2, &[999], &sampling),
            ],
            rows: &[sound(), row],
        });
        let outcomes = runner.collect().unwrap();
        assert_eq!(said(&outcomes[0]), Ok(vec![ANSWER[0]]), "beside {row:?}");
        let failure = said(&outcomes[1]).unwrap_err();
        assert!(failure.contains(reason), "{row:?}: {failure}");
    }
}

#[test]
fn a_slot_that_failed_is_sound_again_with_its_next_admission() {
    let mut runner = runner();
    let sampling = SamplingParams::default();
    let lost = StepRow {
        blocks: &[],
        ..sound()
    };
    for (row, expected) in [(lost, None), (sound(), Some(vec![ANSWER[0]]))] {
        runner.launch(&Step {
            admissions: &[admit(0, &PROMPT, &sampling)],
            rows: &[row],
        });
        assert_eq!(said(&runner.collect().unwrap()[0]).ok(), expected);
    }
}

#[test]
fn drafts_are_taken_as_far_as_they_are_right_and_the_token_after_them_comes_too() {
    let mut runner = runner();
    let sampling = SamplingParams::default();
    for (drafts, num_right) in [
        (&[9, 9][..], 0),
        (&[ANSWER[0], 9], 1),
        (&[ANSWER[0], ANSWER[1]], 2),
        (&[ANSWER[0], ANSWER[1], ANSWER[2]], 3),
    ] {
        runner.launch(&Step {
            admissions: &[admit(0, &PROMPT, &sampling)],
            rows: &[StepRow { drafts, ..sound() }],
        });
        let outcomes = runner.collect().unwrap();
        let expected = ANSWER[..=num_right].to_vec();
        assert_eq!(said(&outcomes[0]), Ok(expected), "{drafts:?}");
    }
}

#[test]
fn two_steps_under_way_are_collected_in_their_order() {
    let mut runner = runner();
    let sampling = SamplingParams::default();
    let second = StepRow {
        start: PROMPT.len(),
        len: 1,
        ..sound()
    };
    runner.launch(&Step {
        admissions: &[admit(0, &PROMPT, &sampling)],
        rows: &[sound()],
    });
    runner.launch(&Step {
        admissions: &[],
        rows: &[second],
    });
    for expected in &ANSWER[..2] {
        let outcomes = runner.collect().unwrap();
        assert_eq!(said(&outcomes[0]), Ok(vec![*expected]));
    }
}
