//! Machine code is kept between runs, and trusted only as the host itself left it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sandbox::{AotCache, Loader, Origin, SandboxError};

use crate::support::*;

/// Loads the hostile shaper in a new sandbox, as a new process would, calls it, and tells where its code came from.
async fn load(dir: &Path) -> Origin {
    let loader = Loader::new(sandbox(limits()), Some(AotCache::open(dir).unwrap()));
    let shaper = hostile_shaper(&loader).await;
    assert_eq!(
        shaper.shape(&inference("echo"), &caller()).await,
        Ok(Ok(inference("echo")))
    );
    shaper.info().origin.clone()
}

/// The only file in the folder.
fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

async fn assert_recompiled_once(dir: &Path, why: &str) {
    let origin = load(dir).await;
    assert!(
        matches!(&origin, Origin::Recompiled { reason } if reason.contains(why)),
        "{why}: {origin:?}"
    );
    assert_eq!(load(dir).await, Origin::Cached, "{why}");
}

#[tokio::test]
async fn a_second_load_takes_the_compiled_code() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("made/for/this");
    assert_eq!(load(&dir).await, Origin::Compiled);
    assert_eq!(load(&dir).await, Origin::Cached);
    assert_eq!((mode(&dir), mode(&only_file(&dir))), (0o700, 0o600));
}

#[tokio::test]
async fn code_that_was_damaged_is_compiled_anew() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    load(dir).await;
    let file = only_file(dir);
    let intact = fs::read(&file).unwrap();
    for position in [0, 31, 32, intact.len() / 2, intact.len() - 1] {
        let mut damaged = intact.clone();
        damaged[position] ^= 1;
        fs::write(&file, damaged).unwrap();
        assert_recompiled_once(dir, "its digest is wrong").await;
    }
    fs::write(&file, &intact[..intact.len() - 1]).unwrap();
    assert_recompiled_once(dir, "its digest is wrong").await;
    fs::write(&file, b"short").unwrap();
    assert_recompiled_once(dir, "it is cut short").await;
}

#[tokio::test]
async fn code_that_others_could_have_written_is_compiled_anew() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    load(dir).await;
    let file = only_file(dir);
    fs::set_permissions(&file, Permissions::from_mode(0o662)).unwrap();
    assert_recompiled_once(dir, "others can write to it").await;

    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(&file, &moved).unwrap();
    symlink(&moved, &file).unwrap();
    assert_recompiled_once(dir, "it is not a plain file").await;
}

#[tokio::test]
async fn code_of_another_plugin_or_runtime_is_not_taken() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    load(dir).await;
    let file = only_file(dir);
    let name = file.file_name().unwrap().to_str().unwrap();
    let (sha256, runtime) = name.split_once('-').unwrap();
    for other in [
        format!("{}-{runtime}", "0".repeat(64)),
        format!("{sha256}-{}.cwasm", "0".repeat(16)),
    ] {
        let other = dir.join(other);
        fs::rename(&file, &other).unwrap();
        assert_eq!(load(dir).await, Origin::Compiled);
        fs::remove_file(other).unwrap();
    }
}

#[tokio::test]
async fn without_a_cache_every_load_compiles() {
    let loader = loader(limits());
    for _ in 0..2 {
        assert_eq!(
            hostile_shaper(&loader).await.info().origin,
            Origin::Compiled
        );
    }
}

#[tokio::test]
async fn code_that_cannot_be_kept_still_serves() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("cache");
    let loader = Loader::new(sandbox(limits()), Some(AotCache::open(&dir).unwrap()));
    fs::remove_dir(&dir).unwrap();
    assert_eq!(
        hostile_shaper(&loader).await.info().origin,
        Origin::Compiled
    );
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    fs::set_permissions(tmp.path(), Permissions::from_mode(0o777)).unwrap();
    let error = AotCache::open(tmp.path()).unwrap_err();
    assert!(matches!(error, SandboxError::Cache { .. }));
    assert!(error.to_string().contains("chmod go-w"), "{error}");
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("file");
    fs::write(&file, "").unwrap();
    let error = AotCache::open(&file).unwrap_err();
    assert!(error.to_string().contains("cannot make it"), "{error}");
}

#[test]
fn any_number_of_caches_may_open_one_folder_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| AotCache::open(dir.path()).map(drop)))
            .collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    });
}
