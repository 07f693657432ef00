//! Runs the simulation of `zk_testkit::sim` over many seeds, or one of them again:
//!
//!     cargo run --release -p zk-testkit --example simulate -- --seeds 1000000 [--from N] [--threads N]
//!     cargo run --release -p zk-testkit --example simulate -- --seed N [--trace]

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use zk_testkit::sim::{run, Counts};

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(10);

struct Options {
    from: u64,
    seeds: u64,
    threads: u64,
    trace: bool,
}

fn options() -> Option<Options> {
    let mut options = Options { from: 0, seeds: 10_000, threads: 1, trace: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--trace" {
            options.trace = true;
            continue;
        }
        let value: u64 = args.next()?.parse().ok()?;
        match arg.as_str() {
            "--from" => options.from = value,
            "--seeds" => options.seeds = value,
            "--threads" => options.threads = value.max(1),
            "--seed" => (options.from, options.seeds) = (value, 1),
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: simulate [--seeds N] [--from N] [--threads N] | --seed N [--trace]");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let total = Mutex::new((Counts::default(), 0_u64, Vec::new(), Instant::now()));
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, SeqCst);
                if seed >= end {
                    return;
                }
                let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, options.trace)));
                let mut total = total.lock().expect("a thread that counts does not panic");
                let (counts, done, failed, told) = &mut *total;
                *done += 1;
                match outcome {
                    Ok(more) => counts.add(&more),
                    Err(_) => {
                        eprintln!("seed {seed} failed; again with: --seed {seed} --trace");
                        failed.push(seed);
                    }
                }
                if told.elapsed() > EVERY {
                    *told = Instant::now();
                    let rate = *done as f64 / start.elapsed().as_secs_f64();
                    eprintln!("{done} seeds, {rate:.0} a second, {} failed", failed.len());
                }
            });
        }
    });
    let (counts, done, failed, _) = total.into_inner().expect("all threads have ended");
    print!("{counts}");
    let seconds = start.elapsed().as_secs_f64();
    println!("{done} seeds from {} in {seconds:.0} s, {:.0} a second", options.from, done as f64 / seconds);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {failed:?}");
    ExitCode::FAILURE
}
