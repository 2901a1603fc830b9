//! The host's other interfaces:
//!
//! * `random-bomb`: the most random bytes that one call can ask for
//! * `print-flood`: 100,000 lines of 4 KiB to the standard output
//! * `environment`: reports what the host lets it know of environment, arguments and working folder
//! * `time`: reports both clocks
//! * `settings`: reports its config
//! * `fetch`: asks for the URL that is the query, or else for one that no operator lists, and reports what came

use plugin_sdk::bindings::shared::lm::plugin::{config, random};
use plugin_sdk::clock;
use plugin_sdk::function::{OutgoingRequest, fetch};
use wasip2::cli::{environment, stdout};

use crate::Outcome;

pub(crate) fn obey(word: &str, query: &str) -> Outcome {
    let report = match word {
        "random-bomb" => format!("got {} bytes", random::bytes(u32::MAX).len()),
        "print-flood" => print_flood(),
        "environment" => format!(
            "{:?} {:?} {:?}",
            environment::get_environment(),
            environment::get_arguments(),
            environment::initial_cwd()
        ),
        "time" => format!("{:?} {:?}", clock::now(), clock::monotonic()),
        "settings" => config::read(),
        "fetch" => fetched(query),
        _ => return Outcome::NotMine,
    };
    Outcome::Report(report)
}

fn print_flood() -> String {
    // As much as one call may write.
    let line = format!("{}\n", "flood ".repeat(4095 / 6));
    let out = stdout::get_stdout();
    for number in 0..100_000 {
        if out.blocking_write_and_flush(line.as_bytes()).is_err() {
            return format!("stopped after {number} lines");
        }
    }
    "printed 100,000 lines".to_owned()
}

fn fetched(query: &str) -> String {
    // An address that is set aside for documentation: nobody answers there.
    let url = if query.is_empty() {
        "http://192.0.2.1/"
    } else {
        query
    };
    match fetch(&OutgoingRequest::get(url)) {
        Ok(mut response) => {
            let body = std::io::read_to_string(&mut response.body);
            format!(
                "status {}: {}",
                response.status,
                body.unwrap_or_else(|error| error.to_string())
            )
        }
        Err(error) => format!("no response: {}", error.message),
    }
}
