//! Plugins loaded from compiled code on disk, as at every start but the first.

use std::time::Instant;

use artifact::{Capability, Digest};
use criterion::Criterion;
use sandbox::{KeyValueStore, Limits, Loader, Origin, PluginSpec, Sandbox};
use tokio::runtime::Runtime;

use super::{
    server,
    turns::{Goal, measure, millis},
};

pub(crate) fn bench(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    let pairs = KeyValueStore::open(folder.path(), 1 << 20).expect("it is empty");
    let sandbox = Sandbox::new(Limits::default(), Limits::for_functions(), Some(pairs))
        .expect("the default limits fit");
    let loader = Loader::new(sandbox, Some(server::code_cache()));
    let mut group = criterion.benchmark_group("from the cache");
    for name in ["hello", "retrieval", "chat-template"] {
        let wasm = server::wasm(name);
        let spec = PluginSpec::named(name).granted(Capability::ALL);
        let load = || runtime.block_on(loader.load(spec.clone(), wasm.clone()));
        let first = load().unwrap_or_else(|error| panic!("{error}"));
        let title = format!("load {name}.wasm, {} KB", wasm.len() / 1000);
        measure(&mut group, &title, millis(5), || {
            let start = Instant::now();
            let plugin = load().unwrap_or_else(|error| panic!("{error}"));
            let elapsed = start.elapsed();
            assert_eq!(plugin.info().origin, Origin::Cached);
            elapsed
        });
        // The code is of the same size whatever plugin has it, and its file begins with the digest of the rest.
        let code = code_of(&first.info().digest);
        let title = format!(
            "of which digests of {name}.wasm, twice, and its code, {} KB",
            code.len() / 1000
        );
        measure(&mut group, &title, Goal::None, || {
            let start = Instant::now();
            std::hint::black_box((Digest::of(&wasm), Digest::of(&wasm), Digest::of(&code)));
            start.elapsed()
        });
    }
}

/// The compiled code of a component that was loaded.
fn code_of(component: &Digest) -> Vec<u8> {
    let mut files = std::fs::read_dir(server::code_folder()).expect("it is our cache");
    let code = files.find_map(|file| {
        let path = file.ok()?.path();
        let name = path.file_name()?.to_str()?;
        name.starts_with(&component.hex()).then_some(path)
    });
    let code = code.expect("whatever was loaded is kept");
    std::fs::read(code).expect("it is ours")
}
