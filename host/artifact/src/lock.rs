//! `plugins.lock`: which content each name in a registry stood for when it was pinned.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Digest, Disk, DiskError, Pulled, Reference, Source};

/// The version of the file's form.
const VERSION: u32 = 1;

/// What stands above the rest of the file.
const HEADING: &str = "# Which content each name in a registry stands for. Written by `host`; keep it in version control.\n";

/// The pinned contents. Whoever pulls takes what is pinned in place of what a tag has come to mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    plugins: BTreeMap<Reference, Pin>,
}

/// The content that a name in a registry was pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Of the manifest: [`Reference::at`] it is what to pull.
    pub manifest: Digest,
    /// Of the component.
    pub wasm: Digest,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (the component {})", self.manifest, self.wasm)
    }
}

impl From<&Pulled> for Pin {
    fn from(pulled: &Pulled) -> Pin {
        Pin {
            manifest: pulled.manifest_digest,
            wasm: pulled.digest,
        }
    }
}

/// The file cannot be read or written, or content is not what it says.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not as it was written.
    #[error("`{path}` is damaged: {why}; take it from version control, or remove it and pin anew")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A later host wrote it.
    #[error("`{path}` is of version {found}, and this host knows {VERSION}: use a later host")]
    Later {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
    },
    /// A name stands for something else by now.
    #[error(
        "`{reference}` is pinned to {pinned}, and is {found} now: pull what is pinned, or pin it anew if the change is wanted"
    )]
    Moved {
        /// The name.
        reference: String,
        /// What it stood for.
        pinned: Box<Pin>,
        /// What it stands for.
        found: Box<Pin>,
    },
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    source: Source,
    manifest: Digest,
    wasm: Digest,
}

impl Lock {
    /// Reads the file; none there is an empty one.
    pub fn read(path: &Path) -> Result<Lock, LockError> {
        let Some(bytes) = Disk::new().read(path)? else {
            return Ok(Lock::default());
        };
        let path = || path.display().to_string();
        let damaged = |why: String| LockError::Damaged { path: path(), why };
        let text = String::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8".into()))?;
        // The version first: of another one nothing else is known.
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| damaged(e.message().into()))?;
        match table.get("version").and_then(toml::Value::as_integer) {
            Some(found) if found > VERSION.into() => {
                let found = found.try_into().unwrap_or(u32::MAX);
                return Err(LockError::Later {
                    path: path(),
                    found,
                });
            }
            _ => {}
        }
        let file: File = toml::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        Lock::from_file(file).map_err(damaged)
    }

    fn from_file(file: File) -> Result<Lock, String> {
        if file.version != VERSION {
            return Err(format!("there is no version {}", file.version));
        }
        let mut lock = Lock::default();
        for entry in file.plugins {
            let Source::Oci(reference) = entry.source else {
                return Err(format!(
                    "`{}` is not in a registry, so nothing pins it",
                    entry.source
                ));
            };
            let pin = Pin {
                manifest: entry.manifest,
                wasm: entry.wasm,
            };
            let name = reference.to_string();
            if lock.plugins.insert(reference, pin).is_some() {
                return Err(format!("`{name}` is there twice"));
            }
        }
        Ok(lock)
    }

    /// What a name is pinned to, if it is.
    pub fn get(&self, reference: &Reference) -> Option<&Pin> {
        self.plugins.get(reference)
    }

    /// Pins a name, and returns what it was pinned to before.
    pub fn pin(&mut self, reference: Reference, pin: Pin) -> Option<Pin> {
        self.plugins.insert(reference, pin)
    }

    /// Holds what was pulled under a name against what it is pinned to, if it is.
    pub fn check(&self, reference: &Reference, pulled: &Pulled) -> Result<(), LockError> {
        let found = Pin::from(pulled);
        match self.get(reference) {
            Some(&pinned) if pinned != found => Err(LockError::Moved {
                reference: reference.to_string(),
                pinned: pinned.into(),
                found: found.into(),
            }),
            _ => Ok(()),
        }
    }

    /// Forgets all names but these.
    pub fn retain(&mut self, keep: impl Fn(&Reference) -> bool) {
        self.plugins.retain(|reference, _| keep(reference));
    }

    /// All that is pinned, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &Pin)> {
        self.plugins.iter()
    }

    /// Writes the file, which holds the old content or the new one at any moment.
    pub fn write(&self, disk: &Disk, path: &Path) -> Result<(), LockError> {
        let plugins = self.iter().map(|(reference, pin)| Entry {
            source: Source::Oci(reference.clone()),
            manifest: pin.manifest,
            wasm: pin.wasm,
        });
        let file = File {
            version: VERSION,
            plugins: plugins.collect(),
        };
        let text = toml::to_string(&file).expect("a table of strings and a number is TOML");
        Ok(disk.replace(path, format!("{HEADING}{text}").as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pin(content: &str) -> Pin {
        Pin {
            manifest: Digest::of(content.as_bytes()),
            wasm: Digest::of(b""),
        }
    }

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn an_absent_file_pins_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(&folder.path().join("plugins.lock")).unwrap();
        assert_eq!(lock, Lock::default());
    }

    #[test]
    fn what_is_pinned_is_written_in_order_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock");
        let mut lock = Lock::default();
        let (a, b) = (reference("r.example/a:1"), reference("r.example/b:1"));
        assert_eq!(lock.pin(b.clone(), pin("b")), None);
        assert_eq!(lock.pin(a.clone(), pin("old")), None);
        assert_eq!(lock.pin(a.clone(), pin("a")), Some(pin("old")));
        lock.write(&Disk::new(), &path).unwrap();

        let expected = format!(
            "{HEADING}version = 1\n\n\
             [[plugin]]\nsource = \"oci:r.example/a:1\"\nmanifest = \"{}\"\nwasm = \"{}\"\n\n\
             [[plugin]]\nsource = \"oci:r.example/b:1\"\nmanifest = \"{}\"\nwasm = \"{}\"\n",
            pin("a").manifest,
            pin("a").wasm,
            pin("b").manifest,
            pin("b").wasm
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);

        let mut read = Lock::read(&path).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.get(&a), Some(&pin("a")));
        assert_eq!(read.get(&reference("r.example/a:2")), None);
        read.retain(|reference| *reference == b);
        assert_eq!(read.iter().collect::<Vec<_>>(), [(&b, &pin("b"))]);
    }

    #[test]
    fn a_damaged_file_is_not_read_as_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock");
        let digest = Digest::of(b"");
        let entry = format!(
            "[[plugin]]\nsource = \"oci:r.example/a:1\"\nmanifest = \"{digest}\"\nwasm = \"{digest}\"\n"
        );
        for (text, expected) in [
            (String::new(), "missing field `version`"),
            ("version = 1\n[[plugin]]".into(), "missing field `source`"),
            ("version = 0".into(), "no version 0"),
            (
                "version = 1\nplugins = []".into(),
                "unknown field `plugins`",
            ),
            (format!("version = 1\n{entry}{entry}"), "is there twice"),
            (
                format!(
                    "version = 1\n{}",
                    entry.replace("oci:r.example/a:1", "./a.wasm")
                ),
                "nothing pins it",
            ),
            (
                format!("version = 1\n{}", entry.replace("sha256", "md5")),
                "is no digest",
            ),
            ("<<<<<<< HEAD".into(), "is damaged"),
            (
                "version = 2\n[other]".into(),
                "is of version 2, and this host knows 1",
            ),
        ] {
            fs::write(&path, &text).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("plugins.lock"), "{error}");
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(Lock::read(&path).is_err());
    }
}
