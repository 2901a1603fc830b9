//! Sixteen floats side by side. Plain arrays: the compiler makes vectors of them where the instruction set has any.

pub(crate) const LANES: usize = 16;

pub(crate) type Lanes = [f32; LANES];

/// The sum of the lanes, always in the same order.
#[inline(always)]
pub(crate) fn sum(lanes: &Lanes) -> f32 {
    let mut tree = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            tree[lane] += tree[lane + width];
        }
        width /= 2;
    }
    tree[0]
}

/// Added to a float below 2^22 in size it leaves no bits for a fraction: the sum's low bits are the nearest integer.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// The integer that `rounded` - something plus `ROUND` - holds. Unlike a cast it is one subtraction in any vector.
#[inline(always)]
pub(crate) fn integer_of(rounded: f32) -> i32 {
    (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// e^x with at most 2 units of error in the last place; 0 below -87.3, where the true value is no normal float.
/// Ours and not the system's, so that it runs in lanes and every machine gives the same bits. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.3, 88.7);
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let (power, integer) = (rounded - ROUND, integer_of(rounded));
    let rest = power.mul_add(-LN_2_LOW, power.mul_add(-LN_2_HIGH, clamped));
    let mut series = rest.mul_add(1.0 / 5040.0, 1.0 / 720.0);
    series = rest.mul_add(series, 1.0 / 120.0);
    series = rest.mul_add(series, 1.0 / 24.0);
    series = rest.mul_add(series, 1.0 / 6.0);
    series = rest.mul_add(series, 0.5);
    series = rest.mul_add(series, 1.0);
    series = rest.mul_add(series, 1.0);
    // In two halves, because 2^128 alone is no float.
    let half = integer >> 1;
    let power_of_two = |power: i32| f32::from_bits((power.wrapping_add(127) as u32) << 23);
    let result = series * power_of_two(half) * power_of_two(integer.wrapping_sub(half));
    if x < -87.3 { 0.0 } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for step in -87_000..88_000 {
            let x = step as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let unit = f64::from(f32::EPSILON) * exact;
            assert!(
                (f64::from(exp(x)) - exact).abs() <= 2.0 * unit,
                "exp({x}) = {}",
                exp(x)
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sum_adds_every_lane_once() {
        assert_eq!(sum(&std::array::from_fn(|lane| lane as f32)), 120.0);
    }
}
