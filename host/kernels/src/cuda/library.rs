//! Finding CUDA's libraries. Only the driver's own is a must, and it comes with the driver.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cudarc::{cublaslt, driver, nvrtc};
use libloading::os::unix::{Library as Loaded, RTLD_GLOBAL, RTLD_LAZY};

/// A library that this program opens at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The driver.
    Driver,
    /// Matrix products of many rows.
    CublasLt,
    /// The run-time compiler, for a binary that was built without nvcc.
    Nvrtc,
}

/// Which libraries can be opened here.
#[derive(Clone, Copy, Debug)]
pub struct Libraries {
    /// libcuda.so.1
    pub driver: bool,
    /// libcublasLt.so.13
    pub cublas_lt: bool,
    /// libnvrtc.so.13
    pub nvrtc: bool,
}

impl Libraries {
    /// Looks for all of them: where the system looks, in `HOST_CUDA_LIBRARIES` (a folder), beside this program, in CUDA_HOME,
    /// in /usr/local/cuda, and in the Python environment's wheels.
    pub fn find() -> Self {
        static FOUND: OnceLock<Libraries> = OnceLock::new();
        *FOUND.get_or_init(|| Self {
            driver: Library::Driver.is_present(),
            cublas_lt: Library::CublasLt.open_from_folders() || Library::CublasLt.is_present(),
            nvrtc: Library::Nvrtc.open_from_folders() || Library::Nvrtc.is_present(),
        })
    }
}

impl Library {
    /// Whether the system's loader finds it by its name.
    #[allow(unsafe_code, reason = "opens a library")]
    fn is_present(self) -> bool {
        // SAFETY: opening NVIDIA's libraries runs their initialisers, which are made for that.
        unsafe {
            match self {
                Self::Driver => driver::sys::is_culib_present(),
                Self::CublasLt => cublaslt::sys::is_culib_present(),
                Self::Nvrtc => nvrtc::sys::is_culib_present(),
            }
        }
    }

    /// The files to open, in this order: what a library asks for by a bare name must be there before it.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Driver => &["libcuda.so.1"],
            Self::CublasLt => &["libcublasLt.so.13"],
            Self::Nvrtc => &["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"],
        }
    }

    /// Opens it by its full path from the first folder that has it. The loader then answers its bare name with the same library, so
    /// nobody has to set LD_LIBRARY_PATH.
    #[allow(unsafe_code, reason = "opens a library")]
    fn open_from_folders(self) -> bool {
        folders().iter().any(|folder| {
            self.files().iter().all(|file| {
                let path = folder.join(file);
                // SAFETY: as in `is_present`.
                path.is_file()
                    && unsafe { Loaded::open(Some(&path), RTLD_LAZY | RTLD_GLOBAL) }
                        .map(std::mem::forget)
                        .is_ok()
            })
        })
    }
}

fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(env::var_os("HOST_CUDA_LIBRARIES").map(PathBuf::from));
    folders.extend(
        env::current_exe()
            .ok()
            .and_then(|exe| exe.parent().map(Path::to_owned)),
    );
    let toolkits = env::var_os("CUDA_HOME")
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from("/usr/local/cuda")]);
    folders.extend(toolkits.flat_map(|home| [home.join("lib64"), home.join("lib")]));
    let prefixes = env::var_os("VIRTUAL_ENV")
        .map(PathBuf::from)
        .into_iter()
        .chain(["/usr/local", "/usr", "/opt/conda", "/opt/venv"].map(PathBuf::from));
    folders.extend(prefixes.flat_map(|prefix| wheels(&prefix)));
    folders
}

/// Where NVIDIA's wheels put libraries in the Python environment at `prefix`.
fn wheels(prefix: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(prefix.join("lib")) else {
        return Vec::new();
    };
    let pythons = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("python3"))
        });
    pythons
        .flat_map(|python| {
            ["site-packages", "dist-packages"]
                .map(|packages| python.join(packages).join("nvidia/cu13/lib"))
        })
        .collect()
}
