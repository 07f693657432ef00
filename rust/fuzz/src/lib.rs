//! What the fuzz targets do with their input. Each target is a function from bytes to nothing that
//! panics when a promise is broken.
//!
//! `rust/proto/tests/fuzz_corpus.rs` takes this file in by its path, so that the same functions run
//! over the corpus in every `cargo test`, without a fuzzer. Hence no name here starts with `crate`.

pub mod challenges;
pub mod connect_strings;
pub mod frames;
pub mod input;
pub mod meter;
pub mod paths;
pub mod records;
pub mod sessions;

/// What is done with an input.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("challenges", challenges::run),
    ("connect_strings", connect_strings::run),
    ("frames", frames::run),
    ("paths", paths::run),
    ("records", records::run),
    ("sessions", sessions::run),
];
