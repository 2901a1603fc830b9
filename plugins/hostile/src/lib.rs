//! What a plugin can do to its host, by name. The three plugins in `examples/` do it on demand, in the phase that a request
//! names, so that the host's tests can meet every kind of harm in every phase. Never shipped.

use std::hint::black_box;

use plugin_sdk::log;

/// Length in bytes of what is returned for `huge-return`: fits a guest's memory of 64 MiB once, not twice.
pub const HUGE_LEN: usize = 32 << 20;

/// Harms that need no return value; any other word does nothing.
///
/// * `spin`: never returns
/// * `memory-bomb`: allocates until it is stopped
/// * `stack-bomb`: recurses until it is stopped
/// * `trap`: panics
/// * `log-flood`: 100,000 lines of 4 KiB, then returns
pub fn misbehave(word: &str) {
    match word {
        "spin" => spin(),
        "memory-bomb" => exhaust_memory(),
        "stack-bomb" => {
            exhaust_stack(0);
        }
        "trap" => panic!("a hostile plugin was asked to trap"),
        "log-flood" => flood_log(),
        _ => {}
    }
}

/// The word for `phase` in an order such as `push:trap`; nothing where the order is for another phase.
pub fn order_for<'a>(phase: &str, order: &'a str) -> &'a str {
    order
        .strip_prefix(phase)
        .and_then(|rest| rest.strip_prefix(':'))
        .unwrap_or_default()
}

/// A text that is far too long.
pub fn huge_text() -> String {
    "x".repeat(HUGE_LEN)
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn exhaust_memory() -> ! {
    loop {
        // Written to, so that a host that hands out memory lazily has to find it too.
        black_box(vec![1_u8; 1 << 20].leak());
    }
}

/// Frames with next to nothing in the guest's own memory, so that it is the host's stack that runs out first.
fn exhaust_stack(depth: u64) -> u64 {
    let deeper: fn(u64) -> u64 = black_box(exhaust_stack);
    // The depth is used after the call, or the optimiser would make a loop of it.
    deeper(depth + 1).rotate_left(3) ^ depth
}

fn flood_log() {
    let line = "flood ".repeat(4096 / 6);
    for _ in 0..100_000 {
        log::warn(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_for_the_phase_that_it_names() {
        assert_eq!(order_for("push", "push:trap"), "trap");
        assert_eq!(order_for("push", "finish:trap"), "");
        assert_eq!(order_for("push", "pushed:trap"), "");
        assert_eq!(order_for("push", "hello"), "");
    }

    #[test]
    fn a_word_that_names_no_harm_does_nothing() {
        plugin_sdk::mock::take_log();
        misbehave("echo");
        assert!(plugin_sdk::mock::take_log().is_empty());
    }

    #[test]
    #[should_panic(expected = "asked to trap")]
    fn a_trap_is_a_panic() {
        misbehave("trap");
    }
}
