//! Threads that the world knows of: it has to know when all of them sleep.

use super::world::{now, World};
use shuttle::thread;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// As the standard library's.
#[derive(Default)]
pub struct Builder(Option<String>);

impl Builder {
    /// One without a name.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// For traces.
    #[must_use]
    pub fn name(self, name: String) -> Builder {
        Builder(Some(name))
    }

    /// Left to the scheduler.
    #[must_use]
    pub fn stack_size(self, _: usize) -> Builder {
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// None.
    pub fn spawn<T: Send + 'static>(
        self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let outcome = Shared(Arc::new(Mutex::new(None)));
        let theirs = Shared(outcome.0.clone());
        World::current().thread_begins();
        let mut builder = thread::Builder::new();
        if let Some(name) = self.0 {
            builder = builder.name(name);
        }
        builder.spawn(move || {
            let result = run();
            World::current().thread_ends(|| theirs.put(result));
        })?;
        Ok(JoinHandle(outcome))
    }
}

/// Never contended: all threads of a model are on one thread of the system.
struct Shared<T>(Arc<Mutex<Option<T>>>);

impl<T> Shared<T> {
    fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// To wait for the end of a thread.
pub struct JoinHandle<T>(Shared<T>);

impl<T> JoinHandle<T> {
    /// What the thread returned.
    ///
    /// # Panics
    /// Never: a thread that panics ends the model.
    pub fn join(self) -> T {
        World::current().sleep(None, |_| self.0.take()).expect("a result")
    }
}

/// Starts a thread with a name for traces.
///
/// # Panics
/// Never.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name(name.into()).spawn(run).expect("a thread")
}

/// Sleeps by the model's clock.
pub fn sleep(span: Duration) {
    let until = now() + span.as_micros() as u64;
    World::current().sleep(Some(until), |_| None::<()>);
}
