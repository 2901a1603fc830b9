//! What the store keeps, removes and refuses.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use artifact::{Digest, Disk};
use deploy::{DeployError, Deployments, Rollout::Full, Store, StoreError};
use tempfile::TempDir;

use crate::support::{Failed, QUOTA, commit, commit_hello, live, name, version};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> Result<Store, StoreError> {
    Store::open(folder.path(), Disk::new(), QUOTA)
}

fn put_and_deploy(store: &mut Store, component: &[u8]) {
    store.put(component).unwrap();
    commit_hello(store, version(component), Full).unwrap();
}

fn has(store: &Store, component: &[u8]) -> bool {
    let kept = store.component(&Digest::of(component)).unwrap();
    kept.is_some_and(|kept| kept == component)
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    put_and_deploy(&mut store, b"two");
    let before = store.deployments().clone();
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(*store.deployments(), before);
    assert!(has(&store, b"one") && has(&store, b"two"));
}

#[test]
fn a_function_that_was_removed_and_comes_back_is_there_after_a_restart() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    commit(&mut store, |now| now.remove(&name("hello"))).unwrap();
    drop(store);
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    drop(store);
    assert_eq!(live(open(&folder).unwrap().deployments()), [2, 0, 0]);
}

#[test]
fn a_refused_change_changes_nothing() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    let before = store.deployments().clone();
    let refused = commit(&mut store, |now| now.promote(&name("hello"))).unwrap_err();
    assert!(
        matches!(refused, Failed::Refused(DeployError::NoCanary(_))),
        "{refused}"
    );
    assert_eq!(*store.deployments(), before);
    drop(store);
    assert_eq!(*open(&folder).unwrap().deployments(), before);
}

#[test]
fn a_version_whose_component_was_not_put_is_refused() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    let error = commit_hello(&mut store, version(b"one"), Full).unwrap_err();
    assert!(
        matches!(error, Failed::Store(StoreError::NoComponent(_))),
        "{error}"
    );
    assert_eq!(*store.deployments(), Deployments::new(QUOTA));
}

#[test]
fn components_that_no_version_names_any_more_go_with_the_commit() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    put_and_deploy(&mut store, b"two");
    put_and_deploy(&mut store, b"three");
    assert!(!has(&store, b"one") && has(&store, b"two") && has(&store, b"three"));
}

#[test]
fn a_component_that_was_put_waits_for_its_version_whatever_else_is_committed_until_the_next_start()
{
    let folder = folder();
    let mut store = open(&folder).unwrap();
    store.put(b"early").unwrap();
    put_and_deploy(&mut store, b"one");
    put_and_deploy(&mut store, b"two");
    assert!(has(&store, b"early"));
    drop(store);
    let store = open(&folder).unwrap();
    assert!(!has(&store, b"early") && has(&store, b"one") && has(&store, b"two"));
}

#[test]
fn a_component_that_was_put_again_outlives_the_function_that_had_it() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    store.put(b"one").unwrap();
    // Until nothing names it any more.
    put_and_deploy(&mut store, b"two");
    put_and_deploy(&mut store, b"three");
    put_and_deploy(&mut store, b"four");
    assert!(has(&store, b"one"));
}

#[test]
fn of_components_that_wait_the_oldest_give_way() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    for number in 0..=64_u8 {
        store.put(&[number]).unwrap();
    }
    // One more, which waits for a moment too.
    put_and_deploy(&mut store, b"one");
    assert!(!has(&store, &[1]) && has(&store, &[2]) && has(&store, &[64]));
}

#[test]
fn a_component_beyond_the_quota_is_refused_unless_removing_unnamed_ones_makes_room() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, &[1; 60]);
    store.put(&[2; 40]).unwrap();
    let error = store.put(&[3; 41]).unwrap_err();
    assert!(error.is_quota(), "{error}");
    let (needed, used) = ("41 bytes", "60 bytes");
    assert!(error.to_string().contains(needed) && error.to_string().contains(used));
    assert!(!has(&store, &[3; 41]) && has(&store, &[1; 60]));
    store.put(&[4; 40]).unwrap();
    store.put(&[1; 60]).unwrap();
    assert!(has(&store, &[4; 40]) && has(&store, &[1; 60]));
}

#[test]
fn a_folder_in_use_is_refused_until_its_user_is_gone() {
    let folder = folder();
    let store = open(&folder).unwrap();
    let error = open(&folder).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(store);
    open(&folder).unwrap();
}

#[test]
fn nobody_else_can_look_into_the_folder() {
    let folder = folder();
    let dir = folder.path().join("made/on the way");
    let _store = Store::open(&dir, Disk::new(), QUOTA).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("lock")), 0o600);
}

#[test]
fn a_damaged_record_is_an_error_that_names_it_and_leaves_all_as_it_was() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    put_and_deploy(&mut store, b"two");
    drop(store);
    let record = folder.path().join("deployments.json");
    let good = fs::read_to_string(&record).unwrap();
    let other = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        good.replace(from, to)
    };
    for (damaged, why) in [
        (String::new(), "EOF"),
        (good[..good.len() / 2].into(), "EOF"),
        ("{}".into(), "missing field `format`"),
        (
            other(r#""format": 1"#, r#""format": 2, "more": 3"#),
            "format 2",
        ),
        (
            other(r#""format": 1"#, r#""format": 1, "more": 3"#),
            "unknown field `more`",
        ),
        (
            other(r#""live""#, r#""more": 3, "live""#),
            "unknown field `more`",
        ),
        (
            other(r#""access""#, r#""more": 3, "access""#),
            "unknown field `more`",
        ),
        (
            other(r#""stable": 2"#, r#""stable": 3"#),
            "version 3 of `hello` is live",
        ),
        (
            other(r#""stable": 2"#, r#""stable": 1"#),
            "live in two ways",
        ),
        (
            other(r#""removed": {}"#, r#""removed": {"hello": 1}"#),
            "`hello` is there twice",
        ),
        (other("/hello", "/hello/../etc"), "is no route"),
        (other("sha256:", "sha256:../"), "is no digest"),
        (
            other(r#""outgoing_hosts": []"#, r#""outgoing_hosts": ["*"]"#),
            "is no pattern of hosts",
        ),
    ] {
        fs::write(&record, &damaged).unwrap();
        let error = open(&folder).unwrap_err().to_string();
        assert!(
            error.contains("deployments.json") && error.contains(why),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&record).unwrap(), damaged);
    }
    fs::write(&record, good).unwrap();
    let store = open(&folder).unwrap();
    assert!(has(&store, b"one") && has(&store, b"two"));
}

#[test]
fn a_name_that_used_up_its_version_numbers_is_refused() {
    let folder = folder();
    let record = r#"{"format": 1, "functions": [], "removed": {"hello": 4294967295}}"#;
    fs::write(folder.path().join("deployments.json"), record).unwrap();
    let mut store = open(&folder).unwrap();
    store.put(b"one").unwrap();
    let error = commit_hello(&mut store, version(b"one"), Full).unwrap_err();
    let used_up = DeployError::NumbersUsedUp(name("hello"));
    assert!(
        matches!(&error, Failed::Refused(refused) if *refused == used_up),
        "{error}"
    );
}

#[test]
fn components_without_a_record_are_damage_and_not_a_new_folder() {
    let folder = folder();
    put_and_deploy(&mut open(&folder).unwrap(), b"one");
    fs::remove_file(folder.path().join("deployments.json")).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("it is missing"), "{error}");
    let component = folder
        .path()
        .join("blobs/sha256")
        .join(Digest::of(b"one").hex());
    assert!(component.is_file());
}

#[test]
fn a_lost_component_is_told_of_and_the_rest_is_there() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    put_and_deploy(&mut store, b"one");
    put_and_deploy(&mut store, b"two");
    drop(store);
    let path = |component: &[u8]| {
        folder
            .path()
            .join("blobs/sha256")
            .join(Digest::of(component).hex())
    };
    fs::remove_file(path(b"one")).unwrap();
    fs::write(path(b"two"), "twp").unwrap();
    let mut store = open(&folder).unwrap();
    assert_eq!(store.component(&Digest::of(b"one")).unwrap(), None);
    assert!(store.component(&Digest::of(b"two")).is_err());
    put_and_deploy(&mut store, b"two");
    assert!(has(&store, b"two"));
}

#[test]
fn settings_that_could_not_be_read_back_are_refused() {
    let folder = folder();
    let mut store = open(&folder).unwrap();
    store.put(b"one").unwrap();
    let mut deep = version(b"one");
    let nested = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    deep.config.insert("deep".into(), nested);
    let error = commit_hello(&mut store, deep, Full).unwrap_err();
    assert!(
        matches!(error, Failed::Store(StoreError::Unwritable(_))),
        "{error}"
    );
    drop(store);
    assert_eq!(
        *open(&folder).unwrap().deployments(),
        Deployments::new(QUOTA)
    );
}

/// A killed process loses nothing that it wrote, a machine without power does: what counts is what was synced before what.
#[test]
fn a_component_is_durable_before_the_record_names_it_and_goes_when_a_record_without_it_is_durable()
{
    let folder = folder();
    let done = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let done = done.clone();
        move |operation: &str| done.lock().unwrap().push(operation.to_owned())
    };
    let disk = Disk::observed(Arc::new(hook));
    let blobs = folder.path().join("blobs/sha256");
    let synced = |folder: &Path| format!("sync the folder {}", folder.display());
    let record = format!(
        "rename to {}",
        folder.path().join("deployments.json").display()
    );
    let gone = format!("remove {}", blobs.join(Digest::of(b"one").hex()).display());
    let in_order = |expected: &[&str]| {
        let done = std::mem::take(&mut *done.lock().unwrap());
        let mut left = done.iter();
        let found = expected
            .iter()
            .all(|operation| left.any(|done| done == operation));
        assert!(found, "{expected:#?} not in this order in {done:#?}");
    };

    let mut store = Store::open(folder.path(), disk.clone(), QUOTA).unwrap();
    in_order(&[&synced(&blobs), &record, &synced(folder.path())]);
    put_and_deploy(&mut store, b"one");
    in_order(&[&synced(&blobs), &record, &synced(folder.path())]);
    commit(&mut store, |now| now.remove(&name("hello"))).unwrap();
    in_order(&[&record, &synced(folder.path()), &gone]);
    store.put(b"one").unwrap();
    in_order(&[&synced(&blobs)]);
    drop(store);
    Store::open(folder.path(), disk, QUOTA).unwrap();
    in_order(&[&synced(folder.path()), &synced(&blobs), &gone]);
}

/// The new record has its name, but whether the name is on the disk itself cannot be told.
#[test]
fn when_a_commit_ends_in_doubt_the_components_of_both_outcomes_are_kept() {
    let folder = folder();
    let (dir, away) = (folder.path().join("store"), folder.path().join("away"));
    let armed = Arc::new(AtomicBool::new(false));
    let hook = {
        let (armed, dir, away) = (armed.clone(), dir.clone(), away.clone());
        let last = format!("sync the folder {}", dir.display());
        move |operation: &str| {
            if operation == last && armed.load(Ordering::Relaxed) {
                fs::rename(&dir, &away).unwrap();
            }
        }
    };
    let mut store = Store::open(&dir, Disk::observed(Arc::new(hook)), QUOTA).unwrap();
    put_and_deploy(&mut store, &[1; 40]);
    let before = store.deployments().clone();
    store.put(&[2; 40]).unwrap();
    armed.store(true, Ordering::Relaxed);
    let error = commit_hello(&mut store, version(&[2; 40]), Full).unwrap_err();
    armed.store(false, Ordering::Relaxed);
    assert!(
        matches!(error, Failed::Store(StoreError::Disk(_))),
        "{error}"
    );
    fs::rename(&away, &dir).unwrap();
    assert_eq!(*store.deployments(), before);
    assert!(store.put(&[3; 40]).unwrap_err().is_quota());
    assert!(has(&store, &[1; 40]) && has(&store, &[2; 40]));
    drop(store);

    let store = Store::open(&dir, Disk::new(), QUOTA).unwrap();
    assert_ne!(*store.deployments(), before);
    assert!(has(&store, &[1; 40]) && has(&store, &[2; 40]));
}
