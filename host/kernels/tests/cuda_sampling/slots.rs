//! What a slot remembers from one launch to the next.

use kernels::cuda::{
    CudaError, View,
    sampling::{NO_MASK_YET, NOT_REACHED, NOTHING_LEFT, SampleInputs, SampleRow},
};

use crate::{
    VOCAB_LENS,
    bench::{Bench, Random, sampled},
    reference::{Occurrences, Request, Verdict, judge},
};

#[test]
#[ignore = "needs a GPU"]
fn penalties_follow_what_a_sequence_has_said() -> Result<(), CudaError> {
    let mut random = Random(9);
    for vocab_len in VOCAB_LENS {
        let len = 12;
        let bench = Bench::new(vocab_len, len)?;
        let device = &bench.device;
        let mut occurrences = vec![Occurrences::new(); len];
        for (slot, occurrences) in occurrences.iter_mut().enumerate() {
            // Twice each, so that a reset is seen to work.
            for _ in 0..2 {
                occurrences.clear();
                let mut tokens = |len| -> Vec<u32> {
                    (0..len)
                        .map(|_| random.below(vocab_len.min(60)) as u32)
                        .collect()
                };
                let (prompt, output) = (tokens(40), tokens(if slot % 2 == 0 { 70 } else { 0 }));
                bench.sampler.reset(device, slot)?;
                let d_prompt = device.upload("prompt", &prompt)?;
                let d_output = device.upload("output", &output)?;
                bench
                    .sampler
                    .count(device, slot, d_prompt.view(), d_output.view())?;
                device.synchronize()?;
                prompt
                    .iter()
                    .for_each(|token| occurrences.entry(*token).or_default().0 = true);
                output
                    .iter()
                    .for_each(|token| occurrences.entry(*token).or_default().1 += 1);
            }
        }
        for step in 0..6 {
            let logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
            let requests: Vec<_> = (0..len)
                .map(|slot| {
                    Request::new(SampleRow {
                        flags: SampleRow::PENALTIES,
                        position: 100 + step,
                        repetition_penalty: [1.0, 1.3, 0.7][slot % 3],
                        presence_penalty: [0.0, 1.5][slot / 3 % 2],
                        frequency_penalty: [0.4, -0.2][slot / 6],
                        top_k: 30,
                        ..sampled(slot, [0.0, 0.8][slot % 2])
                    })
                })
                .collect();
            let got = bench.tokens(&logits, &requests)?;
            for slot in 0..len {
                let verdict = judge(
                    got[slot],
                    &logits[slot],
                    &requests[slot],
                    &occurrences[slot],
                );
                assert!(
                    !matches!(verdict, Verdict::Wrong { .. }),
                    "slot {slot} of {vocab_len} tokens, step {step}: {} {verdict:?}",
                    got[slot]
                );
                occurrences[slot].entry(got[slot] as u32).or_default().1 += 1;
                let packed = device.read(bench.sampler.occurrences(slot))?;
                for (token, packed) in packed.iter().enumerate() {
                    let (in_prompt, output_len) = occurrences[slot]
                        .get(&(token as u32))
                        .copied()
                        .unwrap_or_default();
                    assert_eq!(*packed, u16::from(in_prompt) << 15 | output_len as u16);
                }
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn counts_stop_at_their_greatest_value() -> Result<(), CudaError> {
    let bench = Bench::new(1000, 2)?;
    let device = &bench.device;
    let many = device.upload("tokens", &vec![7u32; 40_000])?;
    bench
        .sampler
        .count(device, 1, many.view().slice(0, 3), many.view())?;
    let mut logits = vec![0.0; 1000];
    logits[7] = 100.0;
    let row = SampleRow {
        flags: SampleRow::PENALTIES,
        ..SampleRow::greedy(1, 0)
    };
    assert_eq!(bench.tokens(&[logits], &[Request::new(row)])?, [7]);
    let packed = device.read(bench.sampler.occurrences(1))?;
    assert_eq!((packed[6], packed[7], packed[8]), (0, 0xffff, 0));
    assert!(
        device
            .read(bench.sampler.occurrences(0))?
            .iter()
            .all(|count| *count == 0)
    );
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn drafts_go_on_as_far_as_they_were_guessed() -> Result<(), CudaError> {
    let bench = Bench::new(1000, 8)?;
    let peak = |token: usize| {
        let mut logits = vec![0.0; 1000];
        logits[token] = 5.0;
        logits
    };
    let logits = [peak(10), peak(20), peak(30)];
    let row = |slot, logits_row, flags, draft| {
        Request::new(SampleRow {
            flags,
            draft,
            ..SampleRow::greedy(slot, logits_row)
        })
    };
    let on = SampleRow::CONTINUES;
    let first = [
        row(0, 0, 0, 10),
        row(1, 0, 0, 11),
        row(2, 0, 0, 10),
        row(3, 0, 0, -1),
    ];
    let second = [
        row(0, 1, on, 20),
        row(1, 1, on, 20),
        row(2, 1, on, 99),
        row(3, 1, on, 20),
    ];
    let third = [
        row(0, 2, on, -1),
        row(1, 2, on, -1),
        row(2, 2, on, -1),
        Request::new(SampleRow::padding()),
    ];
    assert_eq!(bench.tokens(&logits, &first)?, [10, 10, 10, 10]);
    assert_eq!(
        bench.tokens(&logits, &second)?,
        [20, NOT_REACHED, 20, NOT_REACHED]
    );
    assert_eq!(
        bench.tokens(&logits, &third)?,
        [30, NOT_REACHED, NOT_REACHED, NOTHING_LEFT]
    );
    let last = bench.device.read(bench.sampler.last_token())?;
    assert_eq!(last[..4], [30, 10, 20, 10]);
    // A row whose mask has not come changes nothing, not even whether its draft holds.
    let undecided = SampleRow::UNDECIDED | SampleRow::MASKED;
    assert_eq!(bench.tokens(&logits, &[row(0, 0, 0, 10)])?, [10]);
    assert_eq!(
        bench.tokens(&logits, &[row(0, 1, undecided, 77)])?,
        [NO_MASK_YET]
    );
    assert_eq!(bench.device.read(bench.sampler.last_token())?[0], 10);
    assert_eq!(bench.tokens(&logits, &[row(0, 1, on, -1)])?, [20]);
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn a_graph_goes_on_with_new_rows_and_the_state_that_it_left() -> Result<(), CudaError> {
    let (vocab_len, num_rows) = (5001, 4);
    let bench = Bench::new(vocab_len, 2 * num_rows)?;
    let (device, sampler) = (&bench.device, &bench.sampler);
    let mut random = Random(23);
    let logits: Vec<f32> = (0..num_rows * vocab_len).map(|_| random.bell()).collect();
    let d_logits = device.upload("logits", &logits)?;
    let rows = device.upload("rows", &[SampleRow::padding(); 4])?;
    let inputs = SampleInputs {
        logits: d_logits.view(),
        rows: rows.view(),
        bias_tokens: View::none(),
        bias_values: View::none(),
        stop_tokens: View::none(),
        mask_words: View::none(),
    };
    let first_output = 3;
    let mut graph = device.capture(|| sampler.launch(device, &inputs, first_output))?;
    let mut occurrences = vec![Occurrences::new(); num_rows];
    for step in 0..20 {
        device.fill(sampler.chosen(), 0x7f)?;
        let mut requests = Vec::new();
        for slot in 0..num_rows {
            let mut row = SampleRow {
                flags: SampleRow::PENALTIES,
                position: step,
                frequency_penalty: 1.0,
                ..sampled(slot, [0.0, 1.0][slot % 2])
            };
            if (step as usize + slot).is_multiple_of(5) {
                row = SampleRow::padding();
            }
            requests.push(Request::new(row));
        }
        let now: Vec<_> = requests.iter().map(|request| request.row).collect();
        device.write(rows.view(), &now)?;
        graph.launch()?;
        let chosen = device.read(sampler.chosen())?;
        assert_eq!(
            (chosen[2], chosen[7]),
            (0x7f7f_7f7f, 0x7f7f_7f7f),
            "other outputs stay"
        );
        for slot in 0..num_rows {
            let got = chosen[first_output + slot];
            if now[slot].slot < 0 {
                assert_eq!(got, NOTHING_LEFT);
                continue;
            }
            let logits = &logits[slot * vocab_len..][..vocab_len];
            let verdict = judge(got, logits, &requests[slot], &occurrences[slot]);
            assert!(
                !matches!(verdict, Verdict::Wrong { .. }),
                "{step} {slot} {verdict:?}"
            );
            occurrences[slot].entry(got as u32).or_default().1 += 1;
        }
    }
    Ok(())
}
