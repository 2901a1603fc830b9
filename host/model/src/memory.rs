//! How much memory there is for the key/value cache.

/// What is assumed where the system does not tell.
const ASSUMED: u64 = 4 << 30;

/// Bytes that this process can still take without pushing others out: the machine's, or its control group's if that is less.
pub(crate) fn available_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo")
        .and_then(|text| mem_available(&text))
        .unwrap_or(ASSUMED);
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let (limit, used) = (
        number("/sys/fs/cgroup/memory.max"),
        number("/sys/fs/cgroup/memory.current"),
    );
    let group = limit.map(|limit| limit.saturating_sub(used.unwrap_or(0)));
    group.map_or(machine, |group| group.min(machine))
}

/// The line `MemAvailable: 123 kB` of `/proc/meminfo`, in bytes.
fn mem_available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        assert_eq!(
            mem_available("MemTotal: 9 kB\nMemAvailable:    22000 kB\n"),
            Some(22_528_000)
        );
        assert_eq!(mem_available("MemTotal: 9 kB\n"), None);
    }
}
