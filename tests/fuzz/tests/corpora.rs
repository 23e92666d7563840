//! Each input that is kept in `corpora` passes its target's check, without libFuzzer.

use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_passes_its_check() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for (name, check) in onward_fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(corpora.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "{name}: {}", file.display());
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for folder in fs::read_dir(corpora).unwrap() {
        let folder = folder.unwrap().file_name().into_string().unwrap();
        assert!(onward_fuzz::TARGETS.iter().any(|(name, _)| *name == folder), "no target is named {folder}");
    }
}
