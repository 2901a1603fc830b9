//! Dates for templates that print today's: Python's `strftime` in the C locale, on UTC.

use std::fmt::Write;

const DAY: u64 = 86_400;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// `seconds` since 1970 in the given format. Python leaves a directive that it does not know as it is; so does this.
pub(crate) fn strftime(format: &str, seconds: u64) -> String {
    let time = Time::from_unix(seconds);
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let directive = &rest[at..];
        let mut chars = directive[1..].chars();
        let mut padding = None;
        let mut letter = chars.next();
        // glibc's flags: no padding, or another one.
        if let Some(flag @ ('-' | '_' | '0')) = letter {
            padding = Some(flag);
            letter = chars.next();
        }
        rest = chars.as_str();
        let written = letter.is_some_and(|letter| time.write(letter, padding, &mut out));
        if !written {
            out.push_str(&directive[..directive.len() - rest.len()]);
        }
    }
    out.push_str(rest);
    out
}

/// A moment in UTC.
struct Time {
    seconds: u64,
    year: u64,
    /// From 0.
    month: u64,
    /// From 1.
    day: u64,
    /// From 0.
    day_of_year: u64,
    /// Sunday is 0.
    weekday: u64,
}

impl Time {
    fn from_unix(seconds: u64) -> Time {
        // A time that a u64 can hold, but no calendar: the year 9999 is the last one that Python knows.
        let seconds = seconds.min(253_402_300_799);
        let days = seconds / DAY;
        let mut time = Time {
            seconds: seconds % DAY,
            year: 1970,
            month: 0,
            day: 1,
            day_of_year: days,
            // 1970 began on a Thursday.
            weekday: (days + 4) % 7,
        };
        while time.day_of_year >= year_len(time.year) {
            time.day_of_year -= year_len(time.year);
            time.year += 1;
        }
        let mut left = time.day_of_year;
        while left >= month_len(time.year, time.month) {
            left -= month_len(time.year, time.month);
            time.month += 1;
        }
        time.day = left + 1;
        time
    }

    /// Writes one directive; false if there is none of that letter.
    fn write(&self, letter: char, padding: Option<char>, out: &mut String) -> bool {
        let hour = self.seconds / 3600;
        let half_day_hour = (hour + 11) % 12 + 1;
        let (minute, second) = (self.seconds / 60 % 60, self.seconds % 60);
        let month = MONTHS[self.month as usize];
        let weekday = DAYS[self.weekday as usize];
        let number = |out: &mut String, value: u64, width: usize, usual: char| {
            // Writing to a string cannot fail.
            let _ = match padding.unwrap_or(usual) {
                '-' => write!(out, "{value}"),
                '_' => write!(out, "{value:width$}"),
                _ => write!(out, "{value:0width$}"),
            };
        };
        let compound = |out: &mut String, format: &str| {
            out.push_str(&strftime(format, self.unix()));
        };
        match letter {
            'Y' => number(out, self.year, 4, '0'),
            'C' => number(out, self.year / 100, 2, '0'),
            'y' => number(out, self.year % 100, 2, '0'),
            'm' => number(out, self.month + 1, 2, '0'),
            'd' => number(out, self.day, 2, '0'),
            'e' => number(out, self.day, 2, '_'),
            'j' => number(out, self.day_of_year + 1, 3, '0'),
            'H' => number(out, hour, 2, '0'),
            'k' => number(out, hour, 2, '_'),
            'I' => number(out, half_day_hour, 2, '0'),
            'l' => number(out, half_day_hour, 2, '_'),
            'M' => number(out, minute, 2, '0'),
            'S' => number(out, second, 2, '0'),
            'f' => out.push_str("000000"),
            's' => number(out, self.unix(), 1, '0'),
            'w' => number(out, self.weekday, 1, '0'),
            'u' => number(out, (self.weekday + 6) % 7 + 1, 1, '0'),
            'U' => number(out, (self.day_of_year + 7 - self.weekday) / 7, 2, '0'),
            'W' => number(
                out,
                (self.day_of_year + 7 - (self.weekday + 6) % 7) / 7,
                2,
                '0',
            ),
            'B' => out.push_str(month),
            'b' | 'h' => out.push_str(&month[..3]),
            'A' => out.push_str(weekday),
            'a' => out.push_str(&weekday[..3]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'P' => out.push_str(if hour < 12 { "am" } else { "pm" }),
            'F' => compound(out, "%Y-%m-%d"),
            'T' | 'X' => compound(out, "%H:%M:%S"),
            'R' => compound(out, "%H:%M"),
            'r' => compound(out, "%I:%M:%S %p"),
            'D' | 'x' => compound(out, "%m/%d/%y"),
            'c' => compound(out, "%a %b %e %H:%M:%S %Y"),
            // A naive datetime has no zone, and Python writes nothing.
            'z' | 'Z' => {}
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '%' => out.push('%'),
            _ => return false,
        }
        true
    }

    fn unix(&self) -> u64 {
        let years = (1970..self.year).map(year_len).sum::<u64>();
        (years + self.day_of_year) * DAY + self.seconds
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn year_len(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days of a month, counted from 0.
fn month_len(year: u64, month: u64) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}
