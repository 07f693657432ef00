//! `cargo bench --manifest-path bench/micro/Cargo.toml`: how long each of the paths takes here and now.

use bench_micro::PATHS;
use divan::counter::ItemsCount;
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench(args = PATHS.map(|path| path.0))]
fn micro(bencher: Bencher, name: &str) {
    let (_, operations, ready) = PATHS.into_iter().find(|path| path.0 == name).expect("one of them");
    let mut path = ready();
    bencher.counter(ItemsCount::new(operations)).bench_local(|| path());
}
