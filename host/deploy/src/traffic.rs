//! Which versions of a function are live, and which of them takes a request.

use serde::{Deserialize, Serialize};

use crate::version::VersionNumber;

/// The versions that take a function's requests, and the one to fall back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Takes what the canary does not take.
    pub stable: VersionNumber,
    /// A new version that is being tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What `rollback` makes stable where there is no canary. Absent at first, and after a rollback: a second one must
    /// not bring back what the first one took away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<VersionNumber>,
}

/// A version that takes a share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Which version.
    pub version: VersionNumber,
    /// Its share.
    pub percent: Percent,
}

/// A share of the requests, 1 to 99 in 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number that should have been a share.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a canary cannot take {0} % of the requests: give 1 to 99, or deploy in full")]
pub struct NotAPercent(u8);

impl Percent {
    /// The number, 1 to 99.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = NotAPercent;

    fn try_from(percent: u8) -> Result<Percent, NotAPercent> {
        match percent {
            1..=99 => Ok(Percent(percent)),
            _ => Err(NotAPercent(percent)),
        }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> u8 {
        percent.0
    }
}

impl Live {
    /// All of a function's requests go to this version.
    pub(crate) fn full(stable: VersionNumber, previous: Option<VersionNumber>) -> Live {
        Live {
            stable,
            canary: None,
            previous,
        }
    }

    /// All versions that traffic goes to or can be sent back to.
    pub fn versions(&self) -> impl Iterator<Item = VersionNumber> {
        let canary = self.canary.map(|canary| canary.version);
        [Some(self.stable), canary, self.previous]
            .into_iter()
            .flatten()
    }

    /// The version that takes the request with this number; give a function's requests consecutive numbers.
    ///
    /// Of any 100 consecutive requests exactly `percent` go to the canary, and of any `n` as near to `percent` in 100 as
    /// whole numbers allow, so that they never come in a burst. A function's first request goes to the stable version.
    ///
    /// ```
    /// # let live: deploy::Live = serde_json::from_str(r#"{"stable":1,"canary":{"version":2,"percent":25}}"#).unwrap();
    /// let chosen = (0..8).map(|ticket| live.choose(ticket).get());
    /// assert!(chosen.eq([1, 1, 1, 2, 1, 1, 1, 2]));
    /// ```
    pub fn choose(&self, ticket: u64) -> VersionNumber {
        match self.canary {
            // Each request adds `percent` to a sum; the canary takes those with which the sum passes a multiple of 100.
            Some(canary) => {
                let percent = u64::from(canary.percent.get());
                let sum = (ticket % 100 + 1) * percent;
                if sum % 100 < percent {
                    canary.version
                } else {
                    self.stable
                }
            }
            None => self.stable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn live(percent: u8) -> Live {
        let [stable, version] = [1, 2].map(|number| VersionNumber::try_from(number).unwrap());
        Live {
            canary: Some(Canary {
                version,
                percent: percent.try_into().unwrap(),
            }),
            ..Live::full(stable, None)
        }
    }

    fn canaries(live: Live, from: u64, len: u64) -> u64 {
        let canary = live.canary.unwrap().version;
        let chosen = (from..from + len).map(|ticket| live.choose(ticket));
        chosen.filter(|&version| version == canary).count() as u64
    }

    #[test]
    fn of_any_hundred_consecutive_requests_exactly_the_percentage_goes_to_the_canary() {
        for percent in 1..=99 {
            for from in (0..100).chain(u64::MAX - 300..u64::MAX - 200) {
                assert_eq!(canaries(live(percent), from, 100), u64::from(percent));
            }
        }
    }

    proptest! {
        #[test]
        fn of_any_consecutive_requests_the_canary_gets_its_share_to_the_next_whole_number(
            percent in 1..=99_u8,
            from in 0..u64::MAX / 2,
            len in 1..500_u64,
        ) {
            let share = u64::from(percent) * len;
            let taken = canaries(live(percent), from, len);
            prop_assert!((share / 100..=share.div_ceil(100)).contains(&taken), "{taken} of {len}");
        }
    }

    #[test]
    fn the_first_request_goes_to_the_stable_version() {
        for percent in 1..=99 {
            assert_eq!(live(percent).choose(0), live(percent).stable);
        }
    }

    #[test]
    fn a_share_is_neither_nothing_nor_all() {
        for bad in [0, 100, 255] {
            assert!(Percent::try_from(bad).is_err());
        }
    }
}
