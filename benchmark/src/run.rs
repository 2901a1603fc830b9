//! The closed loop: a fixed number of requests in flight until all are done.

use std::{
    io::{self, Write},
    time::Instant,
};

use futures_util::{StreamExt, stream};

use crate::{
    args::BenchmarkArgs,
    body,
    client::Client,
    error::Error,
    measurement::Outcome,
    progress::{Progress, say},
    prompts::Prompts,
    report::Report,
    timestamp,
};

/// Measures, prints the report on stdout (a table, or JSON with `--json`) and writes `--output`.
///
/// Fails if every request failed; the report has been delivered then, too.
pub async fn run(args: BenchmarkArgs) -> Result<Report, Error> {
    let report = measure(&args).await?;
    deliver(&args, &report)?;
    match report.most_frequent_error() {
        Some(message) if report.successful_requests == 0 => Err(Error::AllFailed {
            requests: report.total_requests,
            message: message.to_owned(),
        }),
        _ => Ok(report),
    }
}

/// Measures and shows progress on stderr; prints and writes nothing else. Failed requests are part of the report.
pub async fn measure(args: &BenchmarkArgs) -> Result<Report, Error> {
    let client = Client::new(args)?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => client.first_model().await?,
    };
    let prompts = Prompts::of(args);
    let send = |index: u32| {
        let body = body::encode(args, &model, &prompts, index);
        let result = client.generate(body);
        async move {
            let result = result.await;
            Outcome { index, result }
        }
    };

    let requests = args.requests.get();
    for nth in 0..args.warmup {
        // Prompts from past the measured ones, so that no prefix cache has seen what is measured.
        if let Err(failure) = send(requests.wrapping_add(nth)).await.result {
            say(&format!("warm-up request failed: {failure}"));
        }
    }

    let timestamp = timestamp::now();
    let mut progress = Progress::new(requests);
    let mut outcomes = Vec::new();
    let started = Instant::now();
    // All requests share this task: reading a chunk costs microseconds, so one core is ahead of any single server.
    let mut in_flight = stream::iter(0..requests)
        .map(send)
        .buffer_unordered(args.concurrency.get() as usize);
    while let Some(outcome) = in_flight.next().await {
        progress.record(&outcome);
        outcomes.push(outcome);
    }
    let duration = started.elapsed();
    progress.finish();
    outcomes.sort_by_key(|outcome| outcome.index);
    Ok(Report::new(args, &model, timestamp, duration, &outcomes))
}

fn deliver(args: &BenchmarkArgs, report: &Report) -> Result<(), Error> {
    // First the screen: if the file cannot be written, a long run is not lost.
    let text = if args.json {
        report.to_json()
    } else {
        report.to_string()
    };
    let written = writeln!(io::stdout(), "{}", text.trim_end());
    written.map_err(|source| Error::Write {
        target: "stdout".into(),
        source,
    })?;
    let Some(path) = &args.output else {
        return Ok(());
    };
    std::fs::write(path, report.to_json() + "\n").map_err(|source| Error::Write {
        target: path.display().to_string(),
        source,
    })
}
