//! The crate zookeeper-client, for comparison: `bench-rust-client PORT OP PATH N [WINDOW [quantiles]]`
//!
//! N times OP (get, exists, set, children, create) of PATH, one after the other or WINDOW in flight, of which the first
//! N/10 don't count, on a runtime of one thread. Prints one line, as bench.h says.

use std::collections::VecDeque;
use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};
use zookeeper_client::{Acls, Client, CreateMode, Error};

const VALUE: &[u8] = &[b'y'; 100];

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

fn ask<'a>(client: &'a Client, op: &str, path: &'a str) -> Answer<'a> {
    match op {
        "get" => {
            let answer = client.get_data(path);
            Box::pin(async { answer.await.map(drop) })
        }
        "exists" => {
            let answer = client.check_stat(path);
            Box::pin(async { answer.await.map(drop) })
        }
        "set" => {
            let answer = client.set_data(path, VALUE, None);
            Box::pin(async { answer.await.map(drop) })
        }
        "children" => {
            let answer = client.list_children(path);
            Box::pin(async { answer.await.map(drop) })
        }
        "create" => {
            let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
            Box::pin(async move { client.create(path, VALUE, &options).await.map(drop) })
        }
        _ => panic!("no operation {op}"),
    }
}

/// Seconds of processor time, of all threads that there are (none of them ends).
fn cpu() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let of_one = |stat: String| stat.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let nanoseconds: f64 = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok().and_then(of_one))
        .sum();
    nanoseconds / 1e9
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

async fn run(args: Vec<String>) -> Result<(), Error> {
    let [port, op, path, n] = &args[1..5] else { unreachable!() };
    let n: usize = n.parse().expect("N");
    let window: usize = args.get(5).map_or(1, |word| word.parse().expect("WINDOW"));
    let mut laps = Vec::new();
    let client = Client::connector()
        .with_session_timeout(Duration::from_secs(30))
        .connect(&format!("127.0.0.1:{port}"))
        .await?;
    ask(&client, op, path).await?;
    let mut pending = VecDeque::new();
    if window > 1 {
        pending.extend((0..window).map(|_| ask(&client, op, path)));
        for _ in 0..n / 10 {
            pending.pop_front().expect("one").await?;
            pending.push_back(ask(&client, op, path));
        }
    }
    let (cpu_before, start) = (cpu(), Instant::now());
    if window > 1 {
        for _ in 0..n {
            pending.pop_front().expect("one").await?;
            pending.push_back(ask(&client, op, path));
        }
    } else if args.get(6).is_some() {
        let mut last = start;
        for _ in 0..n {
            ask(&client, op, path).await?;
            let now = Instant::now();
            laps.push((now - last).as_secs_f64() * 1e6);
            last = now;
        }
    } else {
        for _ in 0..n {
            ask(&client, op, path).await?;
        }
    }
    let (wall, used) = (start.elapsed().as_secs_f64(), cpu() - cpu_before);
    let us = 1e6 / n as f64;
    print!(
        "{{\"n\":{n},\"window\":{window},\"wall_us\":{:.4},\"cpu_us\":{:.4},\"peak_kib\":{}",
        wall * us,
        used * us,
        peak_kib()
    );
    if !laps.is_empty() {
        laps.sort_by(f64::total_cmp);
        let at = |i: i32| laps[((1.0 - 10f64.powf(-f64::from(i) / 10.0)) * n as f64) as usize];
        let quantiles: Vec<String> = (0..=40).map(|i| format!("{:.2}", at(i))).collect();
        print!(",\"quantiles\":[{}]", quantiles.join(","));
    }
    println!("}}");
    Ok(())
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 5 {
        eprintln!("usage: bench-rust-client PORT get|exists|set|children|create PATH N [WINDOW [quantiles]]");
        std::process::exit(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Err(error) = runtime.block_on(run(args)) {
        eprintln!("bench-rust-client: {error}");
        std::process::exit(1);
    }
    // What is still under way doesn't matter.
    std::process::exit(0);
}
