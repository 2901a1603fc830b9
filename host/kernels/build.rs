//! Compiles `cuda/*.cu` into one fatbin each where nvcc is found: in CUDA_HOME, on the PATH or in `.cuda` of the repository, where
//! `host/kernels/get-nvcc` puts one. Without nvcc the sources travel in the binary and NVRTC compiles them on the GPU machine.

use std::{
    collections::hash_map::DefaultHasher,
    env,
    fmt::Write,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// Machine code for these; later cards compile the PTX of the first. While writing kernels, `HOST_CUDA_ARCHITECTURES=90` is faster.
const ARCHITECTURES: &str = "80 86 89 90";

/// What a file with this ending is compiled for: Hopper's own instructions are in no other image.
const HOPPER_ONLY: &str = "_sm90a";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=cuda");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    println!("cargo:rerun-if-env-changed=HOST_CUDA_ARCHITECTURES");
    let nvcc = find_nvcc();
    if nvcc.is_none() {
        println!(
            "cargo:warning=no nvcc: the GPU kernels will be compiled by NVRTC at run time (host/kernels/get-nvcc fetches one)"
        );
    }
    let folder =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("cuda");
    let (sources, headers): (Vec<_>, Vec<_>) = files(&folder)
        .into_iter()
        .partition(|path| path.extension().is_some_and(|ext| ext == "cu"));
    let text = |path: &PathBuf| fs::read_to_string(path).expect("readable");
    let headers_text: Vec<String> = headers.iter().map(text).collect();
    let compiling: Vec<_> = sources
        .iter()
        .map(|source| {
            nvcc.as_ref()
                .map(|nvcc| Compilation::start(nvcc, source, &headers_text, &out))
        })
        .collect();
    let mut table = String::from("pub(super) static MODULES: &[Module] = &[\n");
    for (source, compiling) in sources.iter().zip(compiling) {
        let name = stem(source);
        let image = match compiling {
            Some(compilation) => format!("Some(include_bytes!({:?}))", compilation.finish()),
            None => "None".to_owned(),
        };
        let is_hopper_only = name.ends_with(HOPPER_ONLY);
        writeln!(table, "    Module {{ name: {name:?}, is_hopper_only: {is_hopper_only}, source: include_str!({source:?}), image: {image} }},").expect("a string takes all");
    }
    table.push_str("];\npub(super) static HEADERS: &[(&str, &str)] = &[\n");
    for header in &headers {
        let name = header
            .file_name()
            .and_then(|name| name.to_str())
            .expect("our own files");
        writeln!(table, "    ({name:?}, include_str!({header:?})),").expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out.join("modules.rs"), table).expect("OUT_DIR can be written");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is part of the crate");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "cu" || ext == "cuh")
        })
        .collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .expect("our own files")
}

fn find_nvcc() -> Option<PathBuf> {
    let home = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let own = PathBuf::from("../../.cuda/bin/nvcc");
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("nvcc"));
    home.into_iter()
        .chain(on_path)
        .chain([own])
        .find(|nvcc| nvcc.is_file())
}

/// One file on its way through nvcc, or already through: what has not changed is not compiled again.
struct Compilation {
    nvcc: Option<Child>,
    image: PathBuf,
    stamp: PathBuf,
    inputs: String,
}

impl Compilation {
    fn start(nvcc: &Path, source: &Path, headers: &[String], out: &Path) -> Self {
        let image = out.join(stem(source)).with_extension("fatbin");
        let mut command = Command::new(nvcc);
        command
            .args(["-O3", "-std=c++17", "-fatbin", "--threads", "2", "-o"])
            .arg(&image)
            .arg(source);
        if stem(source).ends_with(HOPPER_ONLY) {
            command.args(["-gencode", "arch=compute_90a,code=sm_90a"]);
        } else {
            let architectures =
                env::var("HOST_CUDA_ARCHITECTURES").unwrap_or(ARCHITECTURES.to_owned());
            for sm in architectures.split_whitespace() {
                command.args(["-gencode", &format!("arch=compute_{sm},code=sm_{sm}")]);
            }
            command.args(["-gencode", "arch=compute_80,code=compute_80"]);
        }
        let mut hasher = DefaultHasher::new();
        (
            fs::read_to_string(source).expect("readable"),
            headers,
            format!("{command:?}"),
        )
            .hash(&mut hasher);
        let inputs = hasher.finish().to_string();
        let stamp = image.with_extension("stamp");
        let is_done =
            image.is_file() && fs::read_to_string(&stamp).is_ok_and(|done| done == inputs);
        let nvcc = (!is_done).then(|| {
            command
                .spawn()
                .unwrap_or_else(|error| panic!("cannot start {}: {error}", nvcc.display()))
        });
        Self {
            nvcc,
            image,
            stamp,
            inputs,
        }
    }

    fn finish(self) -> PathBuf {
        if let Some(mut nvcc) = self.nvcc {
            let status = nvcc.wait().expect("nvcc was started");
            assert!(
                status.success(),
                "nvcc could not make {}: {status}",
                self.image.display()
            );
            fs::write(&self.stamp, self.inputs).expect("OUT_DIR can be written");
        }
        self.image
    }
}
