//! Where two texts differ, line by line.

/// Equal lines that are shown on either side of what differs.
const CONTEXT: usize = 3;

/// Most lines that are shown.
const MAX_LINES: usize = 80;

/// Most pairs of lines that are compared to find what is common in the middle of two texts.
const MAX_PAIRS: usize = 4_000_000;

/// The lines of `before` alone marked with `-`, those of `after` alone with `+`, and some around them.
pub(super) fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let start = common(before.iter().zip(&after));
    let rest = before.len().min(after.len()) - start;
    let end = common(before.iter().rev().zip(after.iter().rev()).take(rest));
    let mut shown: Vec<(char, &str)> = Vec::new();
    shown.extend(
        before[start.saturating_sub(CONTEXT)..start]
            .iter()
            .map(|line| (' ', *line)),
    );
    middle(
        &before[start..before.len() - end],
        &after[start..after.len() - end],
        &mut shown,
    );
    let tail = &before[before.len() - end..];
    shown.extend(tail.iter().take(CONTEXT).map(|line| (' ', *line)));
    let more = shown.len().saturating_sub(MAX_LINES);
    shown.truncate(MAX_LINES);
    let mut text: String = shown
        .iter()
        .map(|(mark, line)| format!("{mark} {}\n", cut(line)))
        .collect();
    if more > 0 {
        text += &format!("  … and {more} lines more\n");
    }
    text
}

/// How many pairs from the first on are equal.
fn common<'a>(pairs: impl Iterator<Item = (&'a &'a str, &'a &'a str)>) -> usize {
    pairs.take_while(|(one, other)| one == other).count()
}

/// By the longest common subsequence; where the texts are too long for that, all of the one and then all of the other.
fn middle<'a>(before: &[&'a str], after: &[&'a str], shown: &mut Vec<(char, &'a str)>) {
    if before.len() * after.len() > MAX_PAIRS {
        shown.extend(before.iter().map(|line| ('-', *line)));
        shown.extend(after.iter().map(|line| ('+', *line)));
        return;
    }
    // kept[i][j]: how many lines before[i..] and after[j..] have in common.
    let mut kept = vec![vec![0u32; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            kept[i][j] = match before[i] == after[j] {
                true => kept[i + 1][j + 1] + 1,
                false => kept[i + 1][j].max(kept[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            shown.push((' ', before[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && kept[i + 1][j] >= kept[i][j + 1]) {
            shown.push(('-', before[i]));
            i += 1;
        } else {
            shown.push(('+', after[j]));
            j += 1;
        }
    }
}

/// A line of a screen's width or so.
fn cut(line: &str) -> String {
    const MAX: usize = 300;
    match line.len() > MAX {
        true => format!("{}…", &line[..line.floor_char_boundary(MAX)]),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_three_lines_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9";
        assert_eq!(
            difference(before, after),
            "  2\n  3\n  4\n- 5\n+ five\n  6\n  7\n  8\n"
        );
        assert_eq!(difference("", "a"), "+ a\n");
        assert_eq!(difference("a\na", "a"), "  a\n- a\n");
    }

    #[test]
    fn equal_lines_between_two_changes_are_not_shown_as_changed() {
        assert_eq!(
            difference("a\nx\nb", "c\nx\nd"),
            "- a\n+ c\n  x\n- b\n+ d\n"
        );
    }
}
