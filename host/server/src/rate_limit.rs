//! How much one key may ask for in a minute.

mod bucket;

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sandbox::ApiError;

use crate::error::{coded, refusal};
use bucket::Bucket;

/// What a key may use per minute; `None`: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests, of whatever kind.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens, of prompts and of answers.
    pub tokens_per_minute: Option<NonZeroU32>,
}

/// What is left to one key. It is shared by its requests and outlives changes of its rates.
pub(crate) struct RateLimits(Mutex<Buckets>);

struct Buckets {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl RateLimits {
    /// All is left.
    pub(crate) fn new(rates: Rates, now: Instant) -> Self {
        let full = |per_minute| Bucket::new(per_minute, now);
        Self(Mutex::new(Buckets {
            requests: rates.requests_per_minute.map(full),
            tokens: rates.tokens_per_minute.map(full),
        }))
    }

    /// Other rates from now on; what has been used stays used.
    pub(crate) fn change(&self, rates: Rates, now: Instant) {
        let mut buckets = self.buckets();
        change(&mut buckets.requests, rates.requests_per_minute, now);
        change(&mut buckets.tokens, rates.tokens_per_minute, now);
    }

    /// Counts a request of the key of this name, or refuses it.
    pub(crate) fn admit_request(&self, key: &str, now: Instant) -> Result<(), ApiError> {
        match &mut self.buckets().requests {
            None => Ok(()),
            Some(bucket) => bucket
                .take(now)
                .map_err(|wait| refused(key, "requests", bucket.per_minute(), wait)),
        }
    }

    /// Refuses while more tokens were used than there were. How many a request uses is known at its end, so it may leave debts.
    pub(crate) fn admit_tokens(&self, key: &str, now: Instant) -> Result<(), ApiError> {
        match &mut self.buckets().tokens {
            None => Ok(()),
            Some(bucket) => bucket
                .check(now)
                .map_err(|wait| refused(key, "tokens", bucket.per_minute(), wait)),
        }
    }

    /// Counts tokens that were used.
    pub(crate) fn charge_tokens(&self, tokens: usize, now: Instant) {
        if let Some(bucket) = &mut self.buckets().tokens {
            bucket.charge(tokens, now);
        }
    }

    /// Tells the client what is left to it, in OpenAI's headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, now: Instant) {
        let mut buckets = self.buckets();
        let Buckets { requests, tokens } = &mut *buckets;
        for (bucket, [limit, remaining, reset]) in
            [(requests, REQUEST_HEADERS), (tokens, TOKEN_HEADERS)]
        {
            let Some(bucket) = bucket else { continue };
            headers.insert(limit, bucket.per_minute().get().into());
            headers.insert(remaining, bucket.remaining(now).into());
            let full_in = duration(bucket.full_in(now));
            let full_in = HeaderValue::from_str(&full_in).expect("digits and letters");
            headers.insert(reset, full_in);
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limit, what is left of it, and in how long it is whole again.
const REQUEST_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const TOKEN_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

fn change(bucket: &mut Option<Bucket>, per_minute: Option<NonZeroU32>, now: Instant) {
    match (bucket.as_mut(), per_minute) {
        (Some(bucket), Some(per_minute)) => bucket.change(per_minute, now),
        (_, per_minute) => *bucket = per_minute.map(|per_minute| Bucket::new(per_minute, now)),
    }
}

fn refused(key: &str, what: &str, per_minute: NonZeroU32, wait: Duration) -> ApiError {
    // Never too early: a client that comes back then is let in.
    let wait_ms = wait.as_nanos().div_ceil(1_000_000);
    let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
    let message = format!(
        "the key `{key}` has used up its {per_minute} {what} per minute ({what}_per_minute): try again in {wait_ms} ms"
    );
    ApiError {
        retry_after_ms: Some(wait_ms),
        ..coded(
            "rate_limit_exceeded",
            refusal(StatusCode::TOO_MANY_REQUESTS, message),
        )
    }
}

/// As OpenAI writes durations: `17ms`, `8.64s`, `6m0s`.
fn duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, millis) = (millis / 60_000, millis % 60_000);
    let seconds = millis as f64 / 1000.0;
    match minutes {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(requests: u32, tokens: u32) -> Rates {
        Rates {
            requests_per_minute: NonZeroU32::new(requests),
            tokens_per_minute: NonZeroU32::new(tokens),
        }
    }

    #[test]
    fn a_refusal_names_the_limit_and_when_to_come_back_to_the_millisecond() {
        let now = Instant::now();
        let limits = RateLimits::new(rates(7, 100), now);
        (0..7).for_each(|_| limits.admit_request("alice", now).unwrap());
        let error = limits.admit_request("alice", now).unwrap_err();
        assert_eq!((error.status, &*error.kind), (429, "rate_limit_error"));
        assert_eq!(error.code.as_deref(), Some("rate_limit_exceeded"));
        assert!(
            error.message.contains("`alice`") && error.message.contains("requests_per_minute"),
            "{}",
            error.message
        );
        // 60 s / 7, rounded up.
        assert_eq!(error.retry_after_ms, Some(8572));
        let then = |ms| now + Duration::from_millis(ms);
        assert!(limits.admit_request("alice", then(8571)).is_err());
        assert!(limits.admit_request("alice", then(8572)).is_ok());
        limits.admit_tokens("alice", now).unwrap();
        limits.charge_tokens(250, now);
        let error = limits.admit_tokens("alice", now).unwrap_err();
        assert!(error.message.contains("tokens_per_minute"));
        assert_eq!(error.retry_after_ms, Some(90_001));
    }

    #[test]
    fn what_is_left_is_told_in_openais_headers_and_nothing_where_there_is_no_limit() {
        let now = Instant::now();
        let told = |limits: RateLimits| {
            let mut headers = HeaderMap::new();
            limits.tell(&mut headers, now);
            let mut told: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            told.sort();
            told
        };
        assert!(told(RateLimits::new(Rates::default(), now)).is_empty());
        let limits = RateLimits::new(rates(60, 1000), now);
        limits.admit_request("alice", now).unwrap();
        limits.charge_tokens(7000, now);
        assert_eq!(
            told(limits),
            [
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-limit-tokens: 1000",
                "x-ratelimit-remaining-requests: 59",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-requests: 1s",
                "x-ratelimit-reset-tokens: 7m0s",
            ]
        );
    }

    #[test]
    fn a_limit_that_comes_or_goes_leaves_the_other_as_it_is() {
        let now = Instant::now();
        let limits = RateLimits::new(rates(1, 0), now);
        limits.admit_request("alice", now).unwrap();
        limits.change(rates(1, 10), now);
        assert!(limits.admit_request("alice", now).is_err());
        limits.charge_tokens(11, now);
        assert!(limits.admit_tokens("alice", now).is_err());
        limits.change(rates(1, 0), now);
        assert!(limits.admit_request("alice", now).is_err());
        assert!(limits.admit_tokens("alice", now).is_ok());
    }

    #[test]
    fn durations_read_as_openai_writes_them() {
        for (micros, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (999_000, "999ms"),
            (8_640_000, "8.64s"),
            (60_000_000, "1m0s"),
            (361_500_000, "6m1.5s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
