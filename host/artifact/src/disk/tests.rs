use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use super::*;

/// A disk that notes what is done, with the names of files only.
fn noting() -> (Disk, Arc<Mutex<Vec<String>>>) {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = noted.clone();
    let hook = move |operation: &str| {
        let (what, path) = operation.split_once('/').expect("an absolute path");
        let name = path.rsplit('/').next().unwrap_or_default();
        notes.lock().unwrap().push(format!("{what}{name}"));
    };
    (Disk::observed(Arc::new(hook)), noted)
}

#[test]
fn a_replaced_file_is_written_aside_and_synced_before_it_takes_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, noted) = noting();
    disk.replace(&folder.path().join("state"), b"new").unwrap();
    let noted = noted.lock().unwrap();
    let temporary = noted[0].strip_prefix("write ").unwrap();
    let parent = folder.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        *noted,
        [
            format!("write {temporary}"),
            format!("write the rest of {temporary}"),
            format!("sync {temporary}"),
            "rename to state".into(),
            format!("sync the folder {parent}"),
        ]
    );
}

#[test]
fn stopped_before_any_operation_a_file_holds_the_old_or_the_new_content() {
    for stop in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(&path, "old").unwrap();
        let left = AtomicU64::new(stop);
        let hook = move |_: &str| {
            let stopped = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
            // Without a message from the panic hook: this panic stands for the end of the process.
            stopped.unwrap_or_else(|_| std::panic::resume_unwind(Box::new("stopped")));
        };
        let disk = Disk::observed(Arc::new(hook));
        let stopped = catch_unwind(AssertUnwindSafe(|| disk.replace(&path, b"new")));
        assert!(stopped.is_err(), "there are more than {stop} operations");
        let expected = if stop < 4 { "old" } else { "new" };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);

        Disk::new().sweep(folder.path()).unwrap();
        assert_eq!(Disk::new().names(folder.path()).unwrap(), ["state"]);
    }
}

#[test]
fn a_write_that_fails_leaves_no_temporary_file_and_says_where_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::create_dir(&path).unwrap();
    let error = Disk::new().replace(&path, b"new").unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(Disk::new().names(folder.path()).unwrap(), ["state"]);
}

#[test]
fn a_folder_is_made_with_those_above_it_and_each_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, noted) = noting();
    disk.create_dir(&folder.path().join("a/b")).unwrap();
    disk.create_dir(&folder.path().join("a/b")).unwrap();
    let parent = folder.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        *noted.lock().unwrap(),
        [
            "create the folder a".into(),
            format!("sync the folder {parent}"),
            "create the folder b".into(),
            "sync the folder a".into(),
        ]
    );
}

#[test]
fn only_what_a_replace_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["keep.tmp", ".keep", ".state.1-2.tmp"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    Disk::new().sweep(folder.path()).unwrap();
    assert_eq!(
        Disk::new().names(folder.path()).unwrap(),
        [".keep", "keep.tmp"]
    );
}
