//! Takes the client's files as they are, puts the scheduler's locks, atomics, threads and system calls where they
//! name the real ones, and leaves the result, and one of each mutant, in modules of their own.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[allow(dead_code, unreachable_pub)]
mod mutants {
    include!("src/mutants.rs");
}

/// Files of the client; the directories of the first three come along.
const DIRECTORIES: [&str; 3] = ["core", "log", "tls"];
/// What a queue takes.
const QUEUE: [&str; 4] = ["backlog", "log", "queue", "records"];
/// And all.
const CLIENT: [&str; 14] = [
    "backlog", "conn", "core", "engine", "handle", "log", "probe", "queue", "records", "resolver", "sasl",
    "slots", "tls", "traced",
];
/// What is named otherwise.
const SEAMS: [&str; 5] = ["std::sync::", "std::thread::", "thread_local!", "rustix::", "crossbeam_channel::"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("by cargo"));
    let client = here.join("../client/src");
    println!("cargo::rerun-if-changed={}", client.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/mutants.rs");

    let mut variants = String::new();
    let mut known = String::new();
    variant(&mut variants, &here, &out, &client, "client", None);
    for mutant in mutants::MUTANTS {
        let found = variant(&mut variants, &here, &out, &client, mutant.name, Some(mutant));
        if found {
            writeln!(known, "    ({:?}, {}::MODELS),", mutant.name, mutant.name).expect("memory");
        }
    }
    let known = format!(
        "/// The models of each mutant whose lines were found.\npub const MUTATED: &[(&str, &[&[(&str, fn())]])] = &[\n{known}];\n"
    );
    write(&out.join("variants.rs"), &(variants + &known));
}

/// Makes one; false if the lines to be mutated are not there once.
fn variant(
    variants: &mut String,
    here: &Path,
    out: &Path,
    client: &Path,
    name: &str,
    mutant: Option<&mutants::Mutant>,
) -> bool {
    let modules = match mutant {
        Some(mutant) if QUEUE.contains(&mutant.module) => &QUEUE[..],
        _ => &CLIENT[..],
    };
    let mut text = String::from("pub(crate) use crate::scheduled::{clock, forking};\n");
    let mut found = mutant.is_none();
    for module in modules {
        let source = fs::read_to_string(client.join(module).with_extension("rs")).expect(module);
        let source = match mutant {
            Some(mutant) if mutant.module == *module => {
                found = source.matches(mutant.from).count() == 1;
                source.replace(mutant.from, mutant.to)
            }
            _ => source,
        };
        write(&out.join(name).join(module).with_extension("rs"), &seamed(name, module, &source));
        writeln!(text, "pub mod {module};").expect("memory");
        if !DIRECTORIES.contains(module) {
            continue;
        }
        for file in fs::read_dir(client.join(module)).expect(module) {
            let file = file.expect(module).path();
            let source = fs::read_to_string(&file).expect(module);
            let place = out.join(name).join(module).join(file.file_name().expect("a name"));
            write(&place, &seamed(name, module, &source));
        }
    }
    let models = match mutant {
        None => &["queues", "calls"][..],
        Some(_) if modules.len() == QUEUE.len() => &["queues"],
        Some(_) => &["calls"],
    };
    for model in models {
        let path = here.join("src/models").join(model).with_extension("rs");
        writeln!(text, "#[path = {path:?}]\npub mod {model};").expect("memory");
    }
    let all: Vec<String> = models.iter().map(|model| format!("{model}::MODELS")).collect();
    let all = all.join(", ");
    writeln!(text, "pub const MODELS: &[&[(&str, fn())]] = &[{all}];").expect("memory");
    let path = out.join(name).join("mod.rs");
    write(&path, &text);
    writeln!(variants, "#[path = {path:?}]\npub mod {name};").expect("memory");
    found
}

fn seamed(variant: &str, module: &str, source: &str) -> String {
    // Its own tests are the client's business.
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut source = source.replace("crate::", &format!("crate::variants::{variant}::"));
    if module == "log" {
        return source; // one for the process, and silent
    }
    let hidden = source
        .lines()
        .find(|line| line.contains("std::{") && line.contains("sync") | line.contains("thread"));
    assert_eq!(
        hidden, None,
        "{module}.rs: to be found here, it has to name std::sync and std::thread in full"
    );
    for seam in SEAMS {
        let name = seam.strip_prefix("std::").unwrap_or(seam);
        source = source.replace(seam, &format!("crate::scheduled::{name}"));
    }
    source
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    // Files that stay as they were are not compiled again.
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::write(path, text).expect("a file");
}
