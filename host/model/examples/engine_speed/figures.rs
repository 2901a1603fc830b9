//! Medians, side by side.

const REPEATS: usize = 5;

/// What was measured, in the order of the turns.
pub(crate) struct Figures(Vec<f64>);

/// Measures two things in turn, after one turn that does not count.
pub(crate) fn turns(mut turn: impl FnMut() -> [f64; 2]) -> [Figures; 2] {
    turn();
    let turns: Vec<[f64; 2]> = (0..REPEATS).map(|_| turn()).collect();
    [0, 1].map(|which| Figures(turns.iter().map(|turn| turn[which]).collect()))
}

impl Figures {
    /// Turn by turn, this by `other`.
    pub(crate) fn over(&self, other: &Self) -> Self {
        let ratio = |(this, other): (&f64, &f64)| this / other;
        Self(self.0.iter().zip(&other.0).map(ratio).collect())
    }

    pub(crate) fn print(&self, name: &str) {
        let [least, median, greatest] = self.spread();
        println!("{name:<38}{median:>10.1}{least:>10.1}{greatest:>10.1}");
    }

    /// With what the median should be at least, if anything is asked for.
    pub(crate) fn print_ratio(&self, name: &str, bar: Option<f64>) {
        let [least, median, greatest] = self.spread();
        let bar = bar.map_or(String::new(), |bar| {
            format!("   at least {bar:.1} is asked for")
        });
        println!("{name:<38}{median:>10.2}{least:>10.2}{greatest:>10.2}{bar}\n");
    }

    fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        [sorted[0], sorted[REPEATS / 2], sorted[REPEATS - 1]]
    }
}
