use crate::grammar::error::Problem;

/// The library counts remainders in 32 bits and, where they overflow, lets wrong numbers through. Ten times either of
/// these still fits.
const MAX_MULTIPLE: u128 = 100_000_000;
const MAX_PLACES: u32 = 8;

/// The least common multiple of all `multipleOf` so far, in units of the last decimal place.
pub(super) struct Multiple {
    units: u128,
    places: u32,
}

impl Default for Multiple {
    fn default() -> Self {
        Self {
            units: 1,
            places: 0,
        }
    }
}

impl Multiple {
    /// Takes another `multipleOf`; the library may combine it with any of the others.
    pub(super) fn include(&mut self, multiple_of: f64) -> Result<(), Problem> {
        let refused = || {
            Err(Problem::Refused(format!(
                "multipleOf is too large or too fine; the least common multiple of all in the schema may have {MAX_PLACES} \
                 decimal places and be {MAX_MULTIPLE} without the point"
            )))
        };
        // As the library takes a number apart, rounding and all.
        let mut units = multiple_of.abs();
        let mut places = 0;
        while units.fract() != 0.0 && places <= MAX_PLACES {
            units *= 10.0;
            places += 1;
        }
        if places > MAX_PLACES || units > MAX_MULTIPLE as f64 {
            return refused();
        }
        if units == 0.0 {
            // The library's to refuse.
            return Ok(());
        }
        let all_places = self.places.max(places);
        let a = self.units * 10u128.pow(all_places - self.places);
        let b = units as u128 * 10u128.pow(all_places - places);
        *self = Self {
            units: a / common_divisor(a, b) * b,
            places: all_places,
        };
        if self.units > MAX_MULTIPLE {
            return refused();
        }
        Ok(())
    }
}

fn common_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(multiples: &[f64]) -> bool {
        let mut multiple = Multiple::default();
        multiples.iter().all(|&next| multiple.include(next).is_ok())
    }

    #[test]
    fn common_multiples_that_fit_are_accepted() {
        assert!(all(&[0.01, 5.0, 0.25, -2.0, 0.0, 100_000.0]));
        assert!(all(&[100_000_000.0]) && all(&[0.000_000_01]));
    }

    #[test]
    fn what_would_overflow_is_refused() {
        assert!(!all(&[100_000_001.0]));
        assert!(!all(&[0.000_000_001]));
        assert!(!all(&[1e300]));
        assert!(!all(&[9_999.0, 10_007.0]));
        assert!(!all(&[0.000_001, 1_000.0]));
    }
}
