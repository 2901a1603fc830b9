//! Pairs that plugins keep: a file for each, within a quota, every call a transaction.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use artifact::Role;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::error::SandboxError;

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 512;

/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Most keys that one call lists.
const MAX_KEYS: usize = 1000;

/// Bytes that the store's own bookkeeping is charged at for each pair: many tiny pairs are not free.
const PAIR_OVERHEAD_BYTES: u64 = 64;

/// The one table of a plugin's file.
const PAIRS: TableDefinition<&str, &[u8]> = TableDefinition::new("pairs");

/// A folder with a file for each plugin that keeps pairs. Cheap to clone.
#[derive(Clone)]
pub struct KeyValueStore(Arc<Files>);

struct Files {
    folder: PathBuf,
    quota_bytes: u64,
    /// By the file's name.
    open: Mutex<HashMap<String, Arc<Pairs>>>,
}

/// One plugin's pairs. A file of its own, so that whoever writes without end keeps nobody else from writing.
pub(crate) struct Pairs {
    database: Database,
    /// Most bytes of keys and values.
    quota_bytes: u64,
    /// What they take now. Changed by whoever holds the one write transaction that there is at a time.
    used_bytes: AtomicU64,
}

/// Why a call did nothing; the WIT package's `key-value.error`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyValueError {
    /// The key or the value is not one.
    #[error("{0}")]
    Invalid(String),
    /// The quota is reached.
    #[error("{0}")]
    Quota(String),
    /// The store failed.
    #[error("the key-value store failed: {0}")]
    Unavailable(#[from] redb::Error),
}

impl KeyValueStore {
    /// Uses a folder, which is made (for this user alone) if need be. `quota_bytes` bounds each plugin's keys and values.
    pub fn open(
        folder: impl Into<PathBuf>,
        quota_bytes: u64,
    ) -> Result<KeyValueStore, SandboxError> {
        let folder = folder.into();
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        if let Err(error) = made {
            let why = error.to_string();
            return Err(SandboxError::KeyValue { path: folder, why });
        }
        Ok(KeyValueStore(Arc::new(Files {
            folder,
            quota_bytes,
            open: Mutex::default(),
        })))
    }

    /// The pairs of the plugin of this name; the error is for the operator. A function has its own, whatever plugin shares its name.
    pub(crate) fn pairs(&self, role: Role, plugin: &str) -> Result<Arc<Pairs>, String> {
        if !is_name(plugin) {
            return Err(format!(
                "`{plugin}` cannot name a key-value store: use 1 to 64 of a-z, 0-9 and -"
            ));
        }
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match role {
            Role::Function => "function",
            Role::Router | Role::Shaper | Role::ChatTemplate => "plugin",
        };
        let file = format!("{kind}-{plugin}.redb");
        if let Some(pairs) = open.get(&*file) {
            return Ok(pairs.clone());
        }
        let path = self.0.folder.join(&file);
        let pairs = Pairs::open(&path, self.0.quota_bytes)
            .map_err(|error| format!("cannot use `{}`: {error}", path.display()))?;
        let pairs = Arc::new(pairs);
        open.insert(file, pairs.clone());
        Ok(pairs)
    }
}

/// Names that are safe as a file's.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

impl Pairs {
    fn open(path: &Path, quota_bytes: u64) -> Result<Pairs, redb::Error> {
        let database = Database::create(path)?;
        let write = database.begin_write()?;
        let mut used = 0;
        for pair in write.open_table(PAIRS)?.iter()? {
            let (key, value) = pair?;
            used += charge(key.value(), value.value());
        }
        // The table is there from now on, so reading need not ask.
        write.commit()?;
        Ok(Pairs {
            database,
            quota_bytes,
            used_bytes: used.into(),
        })
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        check_key(key)?;
        let read = || {
            let table = self.database.begin_read()?.open_table(PAIRS)?;
            let value = table.get(key)?;
            Ok::<_, redb::Error>(value.map(|value| value.value().to_vec()))
        };
        Ok(read()?)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.change(key, |_| Change::Set(value)).map(drop)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<bool, KeyValueError> {
        self.change(key, |present| match present {
            Some(_) => Change::Remove,
            None => Change::Nothing,
        })
    }

    pub(crate) fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, KeyValueError> {
        self.change(key, |present| match present == expected {
            true => Change::Set(value),
            false => Change::Nothing,
        })
    }

    /// At most `max` keys that begin with `prefix`, from the first one after `after`.
    pub(crate) fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, KeyValueError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let max = MAX_KEYS.min(max as usize);
        let read = || {
            let table = self.database.begin_read()?.open_table(PAIRS)?;
            let mut keys = Vec::new();
            for pair in table.range::<&str>((from, Bound::Unbounded))?.take(max) {
                let (key, _) = pair?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                keys.push(key.value().to_owned());
            }
            Ok::<_, redb::Error>(keys)
        };
        Ok(read()?)
    }

    /// Does to a key what `wanted` makes of its value; tells whether that was anything.
    fn change<'v>(
        &self,
        key: &str,
        wanted: impl FnOnce(Option<&[u8]>) -> Change<'v>,
    ) -> Result<bool, KeyValueError> {
        check_key(key)?;
        let write = self.database.begin_write().map_err(failed)?;
        let mut used = self.used_bytes.load(Relaxed);
        {
            let mut table = write.open_table(PAIRS).map_err(failed)?;
            let present = table.get(key).map_err(failed)?;
            let present = present.map(|value| value.value().to_vec());
            used -= present.as_ref().map_or(0, |value| charge(key, value));
            match wanted(present.as_deref()) {
                Change::Nothing => return Ok(false),
                Change::Remove => drop(table.remove(key).map_err(failed)?),
                Change::Set(value) => {
                    used = self.room_for(key, value, used)?;
                    table.insert(key, value).map_err(failed)?;
                }
            }
        }
        // Before the commit, which lets the next writer in.
        let before = self.used_bytes.swap(used, Relaxed);
        write.commit().map_err(|error| {
            self.used_bytes.store(before, Relaxed);
            failed(error)
        })?;
        Ok(true)
    }

    /// What the pairs take with this one besides those that take `used`, if that is allowed.
    fn room_for(&self, key: &str, value: &[u8], used: u64) -> Result<u64, KeyValueError> {
        if value.len() > MAX_VALUE_BYTES {
            let len = value.len();
            let message =
                format!("the value has {len} bytes; at most {MAX_VALUE_BYTES} are kept: split it");
            return Err(KeyValueError::Invalid(message));
        }
        let (needed, quota) = (used + charge(key, value), self.quota_bytes);
        if needed > quota {
            let message = format!(
                "the pairs would take {needed} bytes and this plugin may keep {quota}: delete some, or have the operator raise the quota"
            );
            return Err(KeyValueError::Quota(message));
        }
        Ok(needed)
    }
}

fn failed(error: impl Into<redb::Error>) -> KeyValueError {
    KeyValueError::Unavailable(error.into())
}

/// What to do to a key.
enum Change<'v> {
    Nothing,
    Remove,
    Set(&'v [u8]),
}

fn charge(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + PAIR_OVERHEAD_BYTES
}

fn check_key(key: &str) -> Result<(), KeyValueError> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        len => Err(KeyValueError::Invalid(format!(
            "a key of {len} bytes; keys have 1 to {MAX_KEY_BYTES}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(quota_bytes: u64) -> (tempfile::TempDir, KeyValueStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyValueStore::open(folder.path(), quota_bytes).unwrap();
        (folder, store)
    }

    #[test]
    fn pairs_outlive_the_process_and_belong_to_one_plugin() {
        let (folder, store) = store(1 << 20);
        let (a, b) = (
            store.pairs(Role::Shaper, "a").unwrap(),
            store.pairs(Role::Shaper, "b").unwrap(),
        );
        a.set("../b/key", b"1").unwrap();
        assert_eq!(b.keys("", None, 9).unwrap().len(), 0);
        drop((store, a, b));
        let store = KeyValueStore::open(folder.path(), 1 << 20).unwrap();
        let a = store.pairs(Role::Shaper, "a").unwrap();
        assert_eq!(a.get("../b/key").unwrap(), Some(b"1".to_vec()));
        assert!(a.delete("../b/key").unwrap());
        assert!(!a.delete("../b/key").unwrap());
    }

    #[test]
    fn a_name_that_could_lead_elsewhere_gets_no_store() {
        let (_folder, store) = store(1 << 20);
        for name in ["", "..", "a/b", "A", &"a".repeat(65)] {
            assert!(store.pairs(Role::Shaper, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_quota_counts_what_is_there_and_not_what_was_replaced() {
        let (folder, store) = store(1000);
        let pairs = store.pairs(Role::Shaper, "a").unwrap();
        for _ in 0..10 {
            pairs.set("k", &[0; 900]).unwrap();
        }
        assert!(matches!(pairs.set("l", b""), Err(KeyValueError::Quota(_))));
        drop((store, pairs));
        // Counted anew by the next process.
        let store = KeyValueStore::open(folder.path(), 1000).unwrap();
        let pairs = store.pairs(Role::Shaper, "a").unwrap();
        assert!(matches!(pairs.set("l", b""), Err(KeyValueError::Quota(_))));
        pairs.delete("k").unwrap();
        pairs.set("l", &[0; 900]).unwrap();
    }

    #[test]
    fn of_two_who_compare_and_set_one_wins() {
        let (_folder, store) = store(1 << 20);
        let pairs = store.pairs(Role::Shaper, "a").unwrap();
        assert!(pairs.compare_and_set("k", None, b"1").unwrap());
        assert!(!pairs.compare_and_set("k", None, b"2").unwrap());
        assert!(pairs.compare_and_set("k", Some(b"1"), b"2").unwrap());
        assert_eq!(pairs.get("k").unwrap(), Some(b"2".to_vec()));
    }

    #[test]
    fn keys_come_in_order_from_where_they_are_asked_for() {
        let (_folder, store) = store(1 << 20);
        let pairs = store.pairs(Role::Shaper, "a").unwrap();
        for key in ["b2", "a", "b1", "b3", "c"] {
            pairs.set(key, b"").unwrap();
        }
        let keys = |after, max| pairs.keys("b", after, max).unwrap();
        assert_eq!(keys(None, 9), ["b1", "b2", "b3"]);
        assert_eq!(keys(Some("b1"), 1), ["b2"]);
        assert_eq!(keys(Some("a"), 1), ["b1"]);
        assert!(keys(None, 0).is_empty());
    }

    #[test]
    fn what_is_no_pair_is_refused_by_its_size() {
        let (_folder, store) = store(u64::MAX);
        let pairs = store.pairs(Role::Shaper, "a").unwrap();
        for key in ["", &"k".repeat(MAX_KEY_BYTES + 1)] {
            assert!(matches!(pairs.get(key), Err(KeyValueError::Invalid(_))));
        }
        let value = vec![0; MAX_VALUE_BYTES + 1];
        assert!(matches!(
            pairs.set("k", &value),
            Err(KeyValueError::Invalid(_))
        ));
    }
}
