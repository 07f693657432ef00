//! The models can see: each fault that is put into the client is found by the model that looks for it.

use std::time::{Duration, Instant};
use zk_races::mutants::MUTANTS;
use zk_races::{check, model, Effort};

#[test]
fn a_fault_that_is_put_into_the_client_is_found() {
    let effort = Effort { seed: 1, schedules: 5_000, span: Duration::from_secs(60), keep: None };
    let mut missed = Vec::new();
    for mutant in MUTANTS {
        let start = Instant::now();
        let Some(model) = model(Some(mutant.name), mutant.found_by) else {
            missed.push(format!("{}: its lines are not in {}.rs, or not once", mutant.name, mutant.module));
            continue;
        };
        match check(model, &effort) {
            Ok(count) => missed.push(format!("{}: not found in {count} schedules", mutant.name)),
            Err(words) => println!("{}: {words} ({:?})", mutant.name, start.elapsed()),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
