//! Files that are cut short or not what their names say: an error that names the file, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use model::{ModelFiles, OpenOptions};

/// Opens and loads; the error's text.
fn refusal(path: &Path) -> String {
    match ModelFiles::open(path).and_then(|files| files.load(&OpenOptions::default())) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error.to_string(),
    }
}

/// A copy of a golden model in `folder`.
fn copy_of_golden(folder: &Path) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tied");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), folder.join(name)).unwrap();
    }
    folder.to_owned()
}

#[test]
fn a_gguf_file_cut_anywhere_is_refused_by_name() {
    let whole =
        fs::read(model::demo::fetch(&model::demo::cache_dir(), |_, _| {}).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gguf");
    for len in [
        0,
        3,
        4,
        20,
        100,
        5_000,
        1_000_000,
        2_500_000,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..len]).unwrap();
        let refusal = refusal(&path);
        assert!(
            refusal.contains("cut.gguf") && !refusal.contains('\n'),
            "{len}: {refusal}"
        );
    }
}

#[test]
fn weights_cut_anywhere_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of_golden(folder.path());
    let whole = fs::read(path.join("model.safetensors")).unwrap();
    for len in [0, 7, 8, 50, 2_000, whole.len() / 2, whole.len() - 1] {
        fs::write(path.join("model.safetensors"), &whole[..len]).unwrap();
        assert!(refusal(&path).contains("model.safetensors"), "{len}");
    }
}

#[test]
fn a_config_that_does_not_fit_the_weights_is_refused_by_its_file_or_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of_golden(folder.path());
    let config = fs::read_to_string(path.join("config.json")).unwrap();
    let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&config).unwrap();
    for (key, value) in [
        ("hidden_size", 128),
        ("hidden_size", 0),
        ("num_hidden_layers", 3),
        ("num_attention_heads", 0),
        ("num_attention_heads", 3),
        ("num_key_value_heads", 3),
        ("head_dim", 31),
        ("intermediate_size", 81),
        ("vocab_size", 301),
        ("max_position_embeddings", 0),
    ] {
        let mut changed = whole.clone();
        changed.insert(key.to_owned(), value.into());
        fs::write(
            path.join("config.json"),
            serde_json::to_string(&changed).unwrap(),
        )
        .unwrap();
        let refusal = refusal(&path);
        assert!(
            refusal.contains("config.json") || refusal.contains("tensor"),
            "{key} = {value}: {refusal}"
        );
    }
}

#[test]
fn a_folder_without_a_model_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refusal(folder.path()).contains("config.json"));
}
