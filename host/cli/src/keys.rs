//! The keys that clients may use: those of the command line, and those of the operator's file.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::PathBuf,
};

use anyhow::{Context, Result, anyhow, ensure};
use artifact::Digest;
use serde::Deserialize;
use server::{ApiKey, KeyName, Rates, ShaperSettings};

/// Where keys come from.
#[derive(Clone)]
pub(crate) struct KeySource {
    /// Bare secrets, of the command line.
    pub(crate) secrets: Vec<String>,
    /// The operator's file.
    pub(crate) file: Option<PathBuf>,
}

impl KeySource {
    /// All keys as they are now.
    pub(crate) fn load(&self) -> Result<Vec<ApiKey>> {
        let mut keys = ApiKey::of_secrets(self.secrets.iter().cloned());
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the keys in {}", path.display()))?;
            keys.extend(parse(&text).with_context(|| self.place())?);
        }
        Ok(keys)
    }

    /// In what a fault of the keys lies, for messages.
    pub(crate) fn place(&self) -> String {
        match &self.file {
            Some(path) => format!("in the keys of {}", path.display()),
            None => "in the keys of --api-key".into(),
        }
    }
}

/// The file as it is written; keys one by one, so that a fault can be told by its key's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<toml::Table>,
}

/// One key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    requests_per_minute: Option<NonZeroU32>,
    tokens_per_minute: Option<NonZeroU32>,
    models: Option<BTreeSet<String>>,
    #[serde(default)]
    shapers: BTreeMap<String, ShaperSettings>,
}

/// Reads the text of a file. Errors never quote it: whoever mistook its form may have put a secret there.
pub(crate) fn parse(text: &str) -> Result<Vec<ApiKey>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        anyhow!("line {line}: {}", error.message())
    })?;
    ensure!(
        !file.key.is_empty(),
        "there is no [[key]], and without keys everyone would be let in: add one (`host key new NAME`), or leave --api-keys out"
    );
    let keys = file.key.into_iter().enumerate();
    keys.map(|(index, table)| {
        let place = match table.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("key `{}`", name.escape_debug()),
            None => format!("[[key]] number {}", index + 1),
        };
        key(table).context(place)
    })
    .collect()
}

fn key(table: toml::Table) -> Result<ApiKey> {
    let entry: Entry = table
        .try_into()
        .map_err(|error: toml::de::Error| anyhow!("{}", error.message().trim_end()))?;
    let name: KeyName = entry.name.parse()?;
    let digest: Digest = format!("sha256:{}", entry.sha256).parse().map_err(|_| {
        anyhow!("its sha256 is not the 64 lower-case hexadecimal digits of its secret's SHA-256; `host key new {name}` makes both")
    })?;
    Ok(ApiKey {
        rates: Rates {
            requests_per_minute: entry.requests_per_minute,
            tokens_per_minute: entry.tokens_per_minute,
        },
        models: entry.models,
        shapers: entry.shapers,
        ..ApiKey::new(name, digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        Digest::of(b"secret").hex()
    }

    #[test]
    fn a_key_has_all_that_its_entry_says() {
        let text = format!(
            r#"
            [[key]]
            name = "alice"
            sha256 = "{}"
            requests_per_minute = 60
            tokens_per_minute = 100000
            models = ["demo"]
            [key.shapers.request-shaper]
            max_max_tokens = 4
            [[key]]
            name = "bob"
            sha256 = "{}"
            "#,
            digest(),
            Digest::of(b"other").hex()
        );
        let keys = parse(&text).unwrap();
        assert_eq!(keys[0].rates.requests_per_minute.unwrap().get(), 60);
        assert_eq!(keys[0].rates.tokens_per_minute.unwrap().get(), 100_000);
        assert!(keys[0].models.as_ref().unwrap().contains("demo"));
        assert_eq!(keys[0].shapers["request-shaper"]["max_max_tokens"], 4);
        let bob = ApiKey::new("bob".parse().unwrap(), Digest::of(b"other"));
        assert_eq!(keys[1], bob);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_by_key_or_line_and_without_what_stands_there() {
        let good = format!("[[key]]\nname = \"alice\"\nsha256 = \"{}\"\n", digest());
        let with = |more: &str| format!("{good}{more}");
        for (text, said) in [
            (String::new(), "no [[key]]"),
            ("[[keys]]\nname = \"a\"".into(), "keys"),
            (
                with("secret = \"sk-hunter2\""),
                "key `alice`: unknown field `secret`",
            ),
            (with("requests_per_minute = 0"), "key `alice`"),
            (with("tokens_per_minute = \"sk-hunter2"), "line 4"),
            (
                "[[key]]\nname = \"alice\"\nsha256 = \"sk-hunter2\"".into(),
                "key `alice`: its sha256",
            ),
            (
                "[[key]]\nname = \"alice\"".into(),
                "key `alice`: missing field `sha256`",
            ),
            (format!("[[key]]\nsha256 = \"{}\"", digest()), "number 1"),
            (good.replace("alice", "two words"), "is no name for a key"),
        ] {
            let error = format!("{:#}", parse(&text).expect_err(&text));
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
