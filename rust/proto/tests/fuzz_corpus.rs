//! The fuzz targets of `rust/fuzz` without a fuzzer: over their corpus, over the frames of real
//! servers, and over seeded mutations of both. `script/fuzz` is for the long run.

// Its items are public because the fuzzer's programs use them too.
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use fastrand::Rng;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};

/// The targets hold what they allocate against what they were given.
#[global_allocator]
static METER: fuzz::meter::Meter = fuzz::meter::Meter;

/// Mutations of a target's inputs, and how long they may get.
const MUTATIONS: usize = 3_000;
const LONGEST: usize = 4_096;

/// Lengths and counts that are likely to lie.
const NUMBERS: [i32; 10] = [0, 1, -1, -2, i32::MAX, i32::MIN, 0xffff, 0xf_ffff, 64 << 20, 1 << 30];

fn run(name: &str, target: fuzz::Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("target {name}, input (hex): {hex}");
        std::panic::resume_unwind(panic);
    }
}

fn rust_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let files = files(&rust_directory().join("fuzz/corpus").join(name));
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Every recorded frame of both directions, with its length.
fn golden() -> Vec<Vec<u8>> {
    let frames = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("< ").or(line.strip_prefix("> ")));
        lines.map(unhex).collect::<Vec<_>>()
    };
    let versions = files(&rust_directory().join("proto/testdata/golden"));
    versions.iter().flat_map(|version| files(version)).flat_map(frames).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// One to four changes of the kinds that break parsers.
fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(0..=input.len());
        match rng.u8(0..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
            1 if at < input.len() => input[at] = rng.u8(..),
            2 => input.truncate(at),
            3 => input.insert(at, rng.u8(..)),
            4 => {
                let end = (at + rng.usize(0..16)).min(input.len());
                input.drain(at..end);
            }
            5 if at + 4 <= input.len() => {
                let number = NUMBERS[rng.usize(0..NUMBERS.len())];
                input[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            _ => {
                let other = &others[rng.usize(0..others.len())];
                let from = rng.usize(0..=other.len());
                let to = (from + rng.usize(0..64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(LONGEST);
}

/// The corpus as it is, and then changed.
fn corpus_and_mutations(name: &str, more: Vec<Vec<u8>>) {
    let target = fuzz::TARGETS.iter().find(|(target, _)| *target == name).expect("a target").1;
    let mut inputs = corpus(name);
    assert!(inputs.len() >= 10, "{} files in the corpus of {name}", inputs.len());
    inputs.extend(more);
    for input in &inputs {
        run(name, target, input);
    }
    let mut rng = Rng::with_seed(0x2181);
    for _ in 0..MUTATIONS {
        let mut input = inputs[rng.usize(0..inputs.len())].clone();
        mutate(&mut input, &inputs, &mut rng);
        run(name, target, &input);
    }
}

#[test]
fn challenges() {
    corpus_and_mutations("challenges", Vec::new());
}

#[test]
fn connect_strings() {
    corpus_and_mutations("connect_strings", Vec::new());
}

/// Behind the choice of a limit and of pieces of one, three and seven bytes.
#[test]
fn frames() {
    let stream = |frame: Vec<u8>| [&[0, 3, 1, 3, 7][..], &frame].concat();
    corpus_and_mutations("frames", golden().into_iter().map(stream).collect());
}

#[test]
fn paths() {
    corpus_and_mutations("paths", Vec::new());
}

/// Behind no types of a transaction, and without length and header of a reply.
#[test]
fn records() {
    let body = |frame: Vec<u8>| [&[0], frame.get(20..).unwrap_or_default()].concat();
    corpus_and_mutations("records", golden().into_iter().map(body).collect());
}

#[test]
fn sessions() {
    corpus_and_mutations("sessions", Vec::new());
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let names = |directory: &str| -> Vec<String> {
        let files = files(&rust_directory().join("fuzz").join(directory));
        files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
