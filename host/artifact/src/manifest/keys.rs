//! Refuses keys that mean nothing, and says what was probably meant.

use toml::de::{DeTable, DeValue};

use super::ManifestError;

/// Every key, by the table that it is in.
const KEYS: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "id",
            "version",
            "role",
            "wit",
            "description",
            "license",
            "capabilities",
            "outgoing-http",
            "limits",
            "config",
        ],
    ),
    ("outgoing-http", &["hosts"]),
    ("limits", &["memory-mib", "cpu-ms", "timeout-ms"]),
    ("config", &["schema"]),
];

/// Fails at the first unknown key. Tables of a wrong type are left to what reads them.
pub(super) fn check(text: &str) -> Result<(), ManifestError> {
    let top = DeTable::parse(text)?;
    for (table, known) in KEYS {
        let entries = match table {
            "" => Some(top.get_ref()),
            _ => top
                .get_ref()
                .get(table)
                .and_then(|value| match value.get_ref() {
                    DeValue::Table(entries) => Some(entries),
                    _ => None,
                }),
        };
        for key in entries.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                return Err(ManifestError::UnknownKey {
                    key: name.chars().take(80).collect(),
                    table,
                    line: 1 + text[..key.span().start].matches('\n').count(),
                    hint: hint(name, known),
                });
            }
        }
    }
    Ok(())
}

fn hint(key: &str, known: &[&str]) -> String {
    if let Some((table, _)) = KEYS.iter().find(|(_, keys)| keys.contains(&key)) {
        return match *table {
            "" => "it belongs at the top, before the first [table]".into(),
            table => format!("it belongs in [{table}]"),
        };
    }
    let nearest = known
        .iter()
        .map(|known| (distance(key, known), known))
        .min()
        .filter(|&(distance, known)| distance <= 2 && distance < known.len());
    match nearest {
        Some((_, known)) => format!("`{known}` was probably meant"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// How many letters have to be added, removed or changed to make one text from the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // Keys that are much longer are not near anything, and may be very long.
    for (i, a) in from.chars().take(to.len() + 3).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_to_change_are_counted() {
        assert_eq!(distance("limits", "limits"), 0);
        assert_eq!(distance("limit", "limits"), 1);
        assert_eq!(distance("capabilites", "capabilities"), 1);
        assert_eq!(distance("licence", "license"), 1);
        assert_eq!(distance("", "id"), 2);
        assert!(distance(&"id".repeat(50_000), "id") >= 3);
    }
}
