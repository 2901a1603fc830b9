//! The last lines that a plugin logged, kept for whoever asks later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Lines that are kept for each plugin; the oldest go first.
const KEPT: usize = 1000;

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Something an operator may want to know.
    Info,
    /// A client was harmed.
    Warn,
    /// A person must act.
    Error,
}

impl LogLevel {
    /// The level in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Counts the lines of this plugin from 1: a gap means that lines were forgotten.
    pub sequence: u64,
    /// When it was written, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The request that it belongs to.
    pub request_id: String,
    /// How urgent it is.
    pub level: LogLevel,
    /// The text, without control characters.
    pub text: String,
}

/// The last lines of one plugin, by all of its versions and instances.
#[derive(Debug)]
pub struct LogBook {
    lines: Mutex<VecDeque<LogLine>>,
    /// The last line's number.
    last: watch::Sender<u64>,
}

impl Default for LogBook {
    fn default() -> LogBook {
        LogBook {
            lines: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }
}

impl LogBook {
    pub(crate) fn write(&self, level: LogLevel, request_id: &str, text: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = *self.last.borrow() + 1;
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(LogLine {
            sequence,
            unix_ms: unix_ms(),
            request_id: request_id.into(),
            level,
            text,
        });
        self.last.send_replace(sequence);
    }

    /// The kept lines after the one with this number, oldest first; 0 gives all.
    pub fn after(&self, sequence: u64) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lines.partition_point(|line| line.sequence <= sequence);
        lines.iter().skip(known).cloned().collect()
    }

    /// Waits until there are lines after the one with this number, and returns those.
    pub async fn follow(self: Arc<Self>, sequence: u64) -> Vec<LogLine> {
        let mut last = self.last.subscribe();
        // It cannot be closed: the sender is in `self`.
        let _ = last.wait_for(|&last| last > sequence).await;
        self.after(sequence)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_are_forgotten_and_the_numbers_tell() {
        let book = LogBook::default();
        for number in 1..=KEPT + 5 {
            book.write(LogLevel::Info, "r", number.to_string());
        }
        let all = book.after(0);
        assert_eq!((all.len(), all[0].sequence), (KEPT, 6));
        let last = book.after(KEPT as u64 + 4);
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].text, (KEPT + 5).to_string());
    }

    #[tokio::test]
    async fn who_follows_is_woken_by_the_next_line() {
        let book = Arc::new(LogBook::default());
        book.write(LogLevel::Info, "r", "seen".into());
        let following = tokio::spawn(book.clone().follow(1));
        book.write(LogLevel::Warn, "r", "new".into());
        let lines = following.await.unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].text.as_str(), lines[0].level),
            ("new", LogLevel::Warn)
        );
    }
}
