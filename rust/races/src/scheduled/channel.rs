//! A channel without a bound. crossbeam's is taken to do each of these things at one moment.

use shuttle::sync::{Arc, Mutex, PoisonError};
use std::collections::VecDeque;
use std::convert::Infallible;

#[derive(Debug)]
struct Channel<T>(Arc<Mutex<VecDeque<T>>>);

impl<T> Channel<T> {
    fn with<R>(&self, act: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nothing is there.
#[derive(Debug)]
pub struct Empty;

/// One end.
#[derive(Debug)]
pub struct Sender<T>(Channel<T>);

/// The other.
#[derive(Debug)]
pub struct Receiver<T>(Channel<T>);

/// Both ends.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Mutex::new(VecDeque::new()));
    (Sender(Channel(queue.clone())), Receiver(Channel(queue)))
}

impl<T> Sender<T> {
    /// Appends an item.
    ///
    /// # Errors
    /// None.
    pub fn send(&self, item: T) -> Result<(), Infallible> {
        self.0.with(|queue| queue.push_back(item));
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest.
    ///
    /// # Errors
    /// There is none.
    pub fn try_recv(&self) -> Result<T, Empty> {
        self.0.with(|queue| queue.pop_front().ok_or(Empty))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.with(|queue| queue.is_empty())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.with(|queue| queue.len())
    }
}
