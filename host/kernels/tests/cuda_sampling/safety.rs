//! Rows do not reach each other, nor what is not theirs.

use kernels::cuda::{
    CudaError,
    sampling::{NOTHING_LEFT, SampleInputs, SampleRow},
};

use crate::{
    bench::{Bench, Random, sampled},
    reference::Request,
};

#[test]
#[ignore = "needs a GPU"]
fn a_row_alone_chooses_what_it_chooses_among_others() -> Result<(), CudaError> {
    let mut random = Random(17);
    for vocab_len in [1000, 151_936] {
        let len = 40;
        let bench = Bench::new(vocab_len, len)?;
        let logits: Vec<_> = (0..len).map(|_| random.logits(vocab_len)).collect();
        let requests: Vec<_> = (0..len)
            .map(|index| {
                let row = SampleRow {
                    top_k: random.pick(&[0, 20, 400]),
                    top_p: random.pick(&[1.0, 0.9]),
                    num_logprobs: random.pick(&[-1, 5, 20]),
                    ..sampled(index, random.pick(&[0.0, 0.7, 1.5]))
                };
                match index % 3 {
                    0 => Request::new(row).masked(vocab_len, |token| token % 2 == 0),
                    _ => Request::new(row),
                }
            })
            .collect();
        let together = bench.choose(&logits, &requests)?;
        assert_eq!(bench.choose(&logits, &requests)?, together, "again");
        for (index, want) in together.iter().enumerate() {
            let mut alone = requests[index].clone();
            alone.row.logits_row = 0;
            let got = bench.choose(&logits[index..=index], &[alone])?;
            assert_eq!(got[0], *want, "row {index} of {vocab_len} tokens");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a GPU"]
fn rows_that_point_outside_read_nothing_there() -> Result<(), CudaError> {
    let bench = Bench::new(50, 8)?;
    let device = &bench.device;
    let logits = device.upload("logits", &[1.0f32; 50])?;
    let far = u32::MAX - 3;
    let row = SampleRow::greedy(0, 0);
    let rows = [
        SampleRow {
            logits_row: 1,
            ..row
        },
        SampleRow { slot: 8, ..row },
        SampleRow {
            slot: 2,
            bias_start: far,
            bias_len: 100,
            ..row
        },
        SampleRow {
            slot: 3,
            flags: SampleRow::MASKED,
            mask_start: 1,
            mask_len: far,
            ..row
        },
        SampleRow {
            slot: 4,
            flags: SampleRow::BAN_STOPS,
            stop_start: 1,
            stop_len: far,
            ..row
        },
        SampleRow {
            slot: 5,
            num_logprobs: i32::MAX,
            top_k: u32::MAX,
            temperature: 1.0,
            top_p: 1e-9,
            ..row
        },
    ];
    let rows = device.upload("rows", &rows)?;
    let (tokens, values) = (
        device.upload("tokens", &[4u32])?,
        device.upload("values", &[1.0f32])?,
    );
    let words = device.upload("words", &[0u32, 1 << 9])?;
    let stops = device.upload("stops", &[9u32, 0])?;
    let inputs = SampleInputs {
        logits: logits.view(),
        rows: rows.view(),
        bias_tokens: tokens.view(),
        bias_values: values.view(),
        stop_tokens: stops.view(),
        mask_words: words.view(),
    };
    bench.sampler.launch(device, &inputs, 0)?;
    let chosen = device.read(bench.sampler.chosen())?;
    assert_eq!(chosen[..6], [NOTHING_LEFT, NOTHING_LEFT, 0, 9, 1, 0]);
    Ok(())
}
