//! The client's threads under a scheduler that tries the orders in which they may run.
//!
//! The client's own files (`build.rs` takes them as they are at each build) run here over [`scheduled`]: shuttle's
//! locks, atomics and threads, which hand control to a scheduler wherever another thread might come between, and a
//! small system with sockets, pollers, wake-up fds and a clock. The [models](variants) play user and server, and say
//! what has to hold in every order. [`check`] runs one under many orders; an order that breaks it can be run again.
//! [`mutants`] are faults put into those files, each of which some model has to find: they show that the models can see.
//!
//! What is not covered:
//! - Memory orders. Every atomic is taken to be sequentially consistent, as those are that matter here; those of
//!   `records` that are `Relaxed` are counters and a level on which nothing else depends. Thread sanitizer would look at
//!   that, but needs a standard library that is built for it: with the usual one it does not see the locks, and takes all
//!   that they guard for races. Nor do valgrind's tools see locks that are not pthread's.
//! - crossbeam's channel and the standard library's locks are taken to keep their promises; `Arc` is the real one.
//! - The kernel is what `scheduled::system` says: a system call happens at one moment, a stream keeps order and loses
//!   nothing, a poller's events are level-triggered, or one-shot. No call fails for lack of fds or memory.
//! - Time passes only when all threads sleep, or where a model says so. That someone is slow is an order like any other,
//!   but not that he is slower than a time-out, unless the model says so.
//! - Forks, TLS and the process's log are left out, and with them their locks. Threads that end while thread-local
//!   values are being destroyed are left to the tests of the client.
//! - Schedules are drawn by lot, evenly or with few switches (PCT). None proves that there is no other.

#[allow(missing_docs)]
pub mod mutants;
pub mod scheduled;

use scheduled::world::World;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Once;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// The client, and its mutants, with the models.
#[allow(clippy::all, dead_code, missing_docs, unreachable_pub, unused, unexpected_cfgs, rustdoc::all)]
pub mod variants {
    include!(concat!(env!("OUT_DIR"), "/variants.rs"));
}

// For rustfmt, which does not see them where they are included.
#[cfg(any())]
mod models;

/// The models of the client, by name.
pub fn models() -> impl Iterator<Item = (&'static str, Model)> {
    variants::client::MODELS.iter().copied().flatten().copied()
}

/// One of them, or of a mutant.
pub fn model(mutant: Option<&str>, name: &str) -> Option<Model> {
    let found = |models: &[&'static [(&'static str, Model)]]| {
        models.iter().copied().flatten().find(|(known, _)| *known == name).map(|(_, model)| *model)
    };
    match mutant {
        None => found(variants::client::MODELS),
        Some(mutant) => found(variants::MUTATED.iter().find(|(known, _)| *known == mutant)?.1),
    }
}

/// One execution, of one schedule.
pub type Model = fn();

/// No model takes as many steps as this, unless somebody spins.
const MOST_STEPS: usize = 50_000;
/// Switches that PCT puts where they may matter.
const SWITCHES: usize = 3;
/// The name of the threads that models run in.
const MODEL_THREAD: &str = "model";
/// Schedules that are drawn in one go.
const AT_ONCE: usize = 50;

/// How much to try.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Where the lots begin: the same schedules come from the same number.
    pub seed: u64,
    /// No more schedules than this.
    pub schedules: usize,
    /// No longer than this, about.
    pub span: Duration,
    /// The directory for a file with the schedule that has failed. (The first one that is named in a process is taken.)
    pub keep: Option<PathBuf>,
}

/// Runs a model under many schedules, and counts them.
///
/// # Errors
/// What broke, at the first that breaks it.
pub fn check(model: Model, effort: &Effort) -> Result<usize, String> {
    let until = Instant::now() + effort.span;
    let mut count = 0;
    let mut seed = effort.seed;
    while count < effort.schedules && Instant::now() < until {
        let wanted = AT_ONCE.min(effort.schedules - count);
        count += match seed % 2 {
            0 => run(PctScheduler::new_from_seed(seed, SWITCHES, wanted), model, effort.keep.clone(), false)?,
            _ => run(RandomScheduler::new_from_seed(seed, wanted), model, effort.keep.clone(), false)?,
        };
        seed += 1;
    }
    Ok(count)
}

/// Runs a model under the schedule that [`check`] has left in a file, and prints its steps.
///
/// # Errors
/// What broke.
pub fn replay(model: Model, schedule: &str) -> Result<(), String> {
    run(ReplayScheduler::new_from_encoded(schedule.trim()), model, None, true).map(|_| ())
}

fn run(
    scheduler: impl Scheduler + Send + 'static,
    model: Model,
    keep: Option<PathBuf>,
    traced: bool,
) -> Result<usize, String> {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    config.failure_persistence = match keep {
        Some(directory) => FailurePersistence::File(Some(directory)),
        None => FailurePersistence::None,
    };
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let execution = move || {
        World::begin(traced);
        model();
        scheduled::server::stop_listening();
        World::current().wait_for_all();
    };
    hear_panics();
    // In a thread of its own: what a broken execution leaves behind in the scheduler goes with it.
    let outcome = std::thread::scope(|scope| {
        let runner = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| Runner::new(scheduler, config).run(execution)));
            outcome.map_err(|_| WORDS.take())
        };
        let thread = std::thread::Builder::new().name(MODEL_THREAD.into());
        thread.spawn_scoped(scope, runner).map(ScopedJoinHandle::join)
    });
    match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err("a panic that could not be caught".to_owned()),
        Err(error) => Err(format!("no thread: {error}")),
    }
}

std::thread_local! {
    /// What the first panic of this thread had to say.
    static WORDS: Cell<String> = const { Cell::new(String::new()) };
}

/// The scheduler does not pass on what a panic said, and it is enough to hear of the first: the others come of it.
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(MODEL_THREAD) {
                return others(info);
            }
            let words = WORDS.take();
            WORDS.set(if words.is_empty() { info.to_string() } else { words });
        }));
    });
}
