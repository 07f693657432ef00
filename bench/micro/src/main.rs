//! `bench-micro INDEX CALLS`: does one of the paths so often, for callgrind to count. Without arguments, their names and
//! how many operations each call is.

use bench_micro::PATHS;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    match args[..] {
        [index, calls] => {
            let mut path = PATHS[index].2();
            for _ in 0..calls {
                path();
            }
        }
        _ => {
            for (name, operations, _) in PATHS {
                println!("{operations}\t{name}");
            }
        }
    }
}
