//! Asks the perl that the extension is built for what its headers would have said, and keeps
//! libperl out of the link.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    for name in ["PERL", "ZOOKEEPER_XS_VERSION"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");

    keep_libperl_out();

    println!("cargo:rustc-check-cfg=cfg(perl_multiplicity)");
    if config("usemultiplicity") == "define" {
        println!("cargo:rustc-cfg=perl_multiplicity");
    }
    println!("cargo:rustc-check-cfg=cfg(perl_ithreads)");
    if config("useithreads") == "define" {
        println!("cargo:rustc-cfg=perl_ithreads");
    }
    let api = format!("v{}.{}.{}", config("api_revision"), config("api_version"), config("api_subversion"));
    println!("cargo:rustc-env=PERL_API_VERSION={api}");

    let version = env::var("ZOOKEEPER_XS_VERSION")
        .or_else(|_| env::var("CARGO_PKG_VERSION"))
        .expect("cargo sets CARGO_PKG_VERSION");
    println!("cargo:rustc-env=XS_VERSION={version}");
}

/// libperl-sys asks for `-lperl`. An extension must not have it: the functions are in the perl that
/// loads us, which may be a static one, and a second libperl in the process is a second set of
/// globals. An empty archive of that name, found first, satisfies the linker with nothing.
fn keep_libperl_out() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("libperl.a"), b"!<arch>\n").expect("OUT_DIR is writable");
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// One value of perl's `%Config`, empty when it is not defined.
fn config(key: &str) -> String {
    let perl = env::var("PERL").ok().filter(|p| !p.is_empty()).unwrap_or_else(|| "perl".into());
    let output = Command::new(&perl)
        .args(["-MConfig", "-e", "print $Config{$ARGV[0]} // ''", key])
        .output()
        .unwrap_or_else(|e| panic!("can't run {perl} (set PERL to the perl to build for): {e}"));
    assert!(
        output.status.success(),
        "{perl} can't tell its configuration: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
