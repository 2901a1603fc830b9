//! Puts into the binary what authors of plugins need and cannot download: the templates of `host plugin new`, the SDK with its
//! contract, and WASI's interfaces, which lie in the source of the crate that implements them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{Metadata, MetadataCommand};

/// The crate whose source holds WASI's interfaces, in the version that the host implements.
const WASI: &str = "wasmtime-wasi-http";

/// Where they lie: those of WASI 0.2 and of 0.3.
const WASI_FOLDERS: [&str; 2] = ["wit/deps", "src/p3/wit/deps"];

/// Folders that tools make in a template that is worked on in its place.
const MADE: [&str; 5] = ["__pycache__", "node_modules", ".venv", "deps", "target"];

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = here
        .join("../..")
        .canonicalize()
        .expect("the crate lies two folders below the root of its repository");
    let mut code = String::new();
    templates(&mut code, &here.join("templates"));
    sdk(&mut code, &root);
    contract(&mut code, &root.join("wit/v0.1"));
    wasi(&mut code, &root);
    let out = PathBuf::from(variable("OUT_DIR")).join("embedded.rs");
    fs::write(&out, code).unwrap_or_else(|e| panic!("cannot write {}: {e}", out.display()));
}

/// `TEMPLATES`: the files of each template.
fn templates(code: &mut String, folder: &Path) {
    *code += "pub(crate) static TEMPLATES: &[(&str, &[File])] = &[\n";
    for template in entries(folder) {
        *code += &format!("({:?}, &[\n", name(&template));
        for file in files(&template) {
            *code += &included(&relative(&file, &template), &file);
        }
        *code += "]),\n";
    }
    *code += "];\n";
}

/// `SDK`: its crate, a workspace around it and the contract, laid out as in this repository. `SDK_LOCK`: the versions of its
/// dependencies that it was tested with.
fn sdk(code: &mut String, root: &Path) {
    let plugins = root.join("plugins");
    *code += "pub(crate) static SDK: &[File] = &[\n";
    let manifest = read(&plugins.join("Cargo.toml"));
    *code += &format!(
        "(\"plugins/Cargo.toml\", {:?}),\n",
        sdk_workspace(&manifest)
    );
    let mut taken = vec![
        plugins.join("sdk/Cargo.toml"),
        plugins.join("sdk/README.md"),
    ];
    taken.extend(files(&plugins.join("sdk/src")));
    taken.extend(files(&root.join("wit/v0.1")));
    for file in taken {
        *code += &included(&relative(&file, root), &file);
    }
    *code += "];\n";
    let lock = plugins.join("Cargo.lock");
    watch(&lock);
    *code += &format!("pub(crate) static SDK_LOCK: &str = include_str!({lock:?});\n");
}

/// The plugins' workspace with the SDK as its only member.
fn sdk_workspace(manifest: &str) -> String {
    let lines = manifest.lines().map(|line| match line {
        members if members.starts_with("members = [") && members.ends_with(']') => {
            "members = [\"sdk\"]"
        }
        comment if comment.starts_with("# The plugins are a workspace") => {
            "# The workspace of the host's plugin SDK, as it came with `host plugin new`."
        }
        line => line,
    });
    let workspace = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert!(
        workspace.contains("\nmembers = [\"sdk\"]\n"),
        "plugins/Cargo.toml has its `members` on one line"
    );
    workspace
}

/// `CONTRACT`: the WIT package that plugins are written to.
fn contract(code: &mut String, folder: &Path) {
    *code += "pub(crate) static CONTRACT: &[File] = &[\n";
    for file in files(folder) {
        *code += &included(&relative(&file, folder), &file);
    }
    *code += "];\n";
}

/// `WASI`: one file per package, named after package and version.
fn wasi(code: &mut String, root: &Path) {
    watch(&root.join("Cargo.lock"));
    let metadata = metadata(root);
    let source = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == WASI)
        .and_then(|package| package.manifest_path.parent())
        .unwrap_or_else(|| panic!("the host depends on {WASI}"));
    *code += "pub(crate) static WASI: &[File] = &[\n";
    for folder in WASI_FOLDERS {
        for file in files(source.join(folder).as_std_path()) {
            *code += &included(&package_file(&read(&file)), &file);
        }
    }
    *code += "];\n";
}

/// What cargo has at hand. For the target's dependencies only: those of other systems are not downloaded.
fn metadata(root: &Path) -> Metadata {
    let options = [
        "--offline",
        "--locked",
        "--filter-platform",
        &variable("TARGET"),
    ]
    .map(String::from);
    MetadataCommand::new()
        .cargo_path(variable("CARGO"))
        .manifest_path(root.join("Cargo.toml"))
        .other_options(options)
        .exec()
        .unwrap_or_else(|e| panic!("cargo does not say where {WASI} lies: {e}"))
}

/// `wasi-cli-0.2.12.wit` for the package `wasi:cli@0.2.12`.
fn package_file(wit: &str) -> String {
    let package = wit
        .lines()
        .find_map(|line| line.strip_prefix("package ")?.strip_suffix(';'))
        .unwrap_or_else(|| panic!("{WASI} has a WIT file that names no package"));
    format!("{}.wit", package.replace([':', '@'], "-"))
}

/// An entry of a list of files: its name in the binary, and its text.
fn included(name: &str, file: &Path) -> String {
    format!("({name:?}, include_str!({file:?})),\n")
}

/// All files below a folder that were written by hand, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    watch(folder);
    let mut found = Vec::new();
    for entry in entries(folder) {
        match entry.is_dir() {
            true if MADE.contains(&name(&entry).as_str()) => {}
            true => found.extend(files(&entry)),
            false => found.push(entry),
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    watch(folder);
    let listed =
        fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
    let mut entries: Vec<PathBuf> = listed
        .map(|entry| {
            entry
                .unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()))
                .path()
        })
        .collect();
    entries.sort();
    entries
}

fn relative(file: &Path, folder: &Path) -> String {
    let relative = file
        .strip_prefix(folder)
        .expect("the file was found below this folder");
    relative.to_string_lossy().into_owned()
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
}

/// Has cargo run this script again when the file or folder changes.
fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|e| panic!("cargo sets {name} for build scripts: {e}"))
}
