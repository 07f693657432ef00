//! A server that follows a script on a real socket: a list of steps for each connection, in the order in which they are
//! accepted. Where reality leaves the script is an error that says which step it was, what it expected, and what came.
//!
//! ```
//! use std::time::Duration;
//! use zk_proto::{opcode, Code};
//! use zk_testkit::script::{expect, grant, handshake, reply, reset, Script};
//!
//! let server = Script::new()
//!     .connection([handshake(), grant(30_000, 7), expect(opcode::GET_DATA), reset()])
//!     .connection([handshake(), grant(30_000, 7), expect(opcode::GET_DATA), reply(Code::NO_NODE, b"")])
//!     .start();
//! // A client that connects to `server.hosts()` comes here. As there is none:
//! let departure = server.finish(Duration::from_millis(1)).unwrap_err();
//! assert_eq!(departure.to_string(), "connection 0, step 0: expected a handshake, and no connection came in 1ms");
//! ```

mod play;
mod step;

pub use step::*;

use crate::server::Server;
use play::Player;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

/// What a server is to do.
#[derive(Clone, Debug, Default)]
pub struct Script {
    connections: Vec<Vec<Step>>,
    repeats: bool,
}

impl Script {
    /// One without any connection.
    pub fn new() -> Script {
        Script::default()
    }

    /// The steps for one more connection. At their end the server closes it.
    #[must_use]
    pub fn connection(mut self, steps: impl IntoIterator<Item = Step>) -> Script {
        self.connections.push(steps.into_iter().collect());
        self
    }

    /// Whatever connections come beyond those of the script are like the last of it. Without this they are a departure
    /// from the script.
    #[must_use]
    pub fn and_so_on(mut self) -> Script {
        self.repeats = true;
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    /// No socket can be had.
    pub fn start(self) -> ScriptServer {
        let progress = Arc::new(Progress {
            stages: Mutex::new(Stages {
                at: vec![Stage::default(); self.connections.len()],
                departure: None,
                told: false,
            }),
            changed: Condvar::new(),
        });
        let script = Arc::new(self);
        let (played, shared) = (script.clone(), progress.clone());
        let server = Server::start(move |peer, number| {
            let last = played.connections.len().checked_sub(1).filter(|_| played.repeats);
            match played.connections.get(number).or_else(|| played.connections.get(last?)) {
                Some(steps) => Player::new(peer, number, &shared).play(steps),
                None => shared.depart(Departure {
                    connection: number,
                    step: 0,
                    expected: "no further connection".into(),
                    came: "one".into(),
                }),
            }
        });
        ScriptServer { server, script, progress }
    }
}

/// A [`Script`] that is being played. Dropped, it stops listening, and panics if reality has left the script and nobody
/// has asked [`finish`](Self::finish).
#[derive(Debug)]
pub struct ScriptServer {
    server: Server,
    script: Arc<Script>,
    progress: Arc<Progress>,
}

impl ScriptServer {
    /// `127.0.0.1:port`
    pub fn hosts(&self) -> String {
        self.server.hosts()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Waits until the connections of the script have come and all their steps are done.
    ///
    /// # Errors
    /// The first departure from the script; or the step that was not done after `within`.
    pub fn finish(&self, within: Duration) -> Result<(), Departure> {
        let give_up = Instant::now() + within;
        let mut stages = self.progress.lock();
        stages.told = true;
        loop {
            if let Some(departure) = &stages.departure {
                return Err(departure.clone());
            }
            let Some(behind) = stages.at.iter().position(|stage| !stage.over) else { return Ok(()) };
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let Stage { step, came, .. } = stages.at[behind];
                let what = if came { "nothing" } else { "no connection" };
                let expected = self.script.connections[behind].get(step).map(ToString::to_string);
                return Err(Departure {
                    connection: behind,
                    step,
                    expected: expected.unwrap_or_else(|| "the end".into()),
                    came: format!("{what} came in {within:?}"),
                });
            }
            let waited = self.progress.changed.wait_timeout(stages, left);
            stages = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for ScriptServer {
    fn drop(&mut self) {
        let stages = self.progress.lock();
        let untold = stages.departure.clone().filter(|_| !stages.told && !thread::panicking());
        drop(stages);
        if let Some(departure) = untold {
            panic!("{departure}");
        }
    }
}

/// Where reality left the script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// Of which connection, from 0 on.
    pub connection: usize,
    /// At which of its steps, from 0 on.
    pub step: usize,
    /// What the script says.
    pub expected: String,
    /// What there was instead.
    pub came: String,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Departure { connection, step, expected, came } = self;
        write!(f, "connection {connection}, step {step}: expected {expected}, and {came}")
    }
}

impl std::error::Error for Departure {}

#[derive(Clone, Debug, Default)]
struct Stage {
    step: usize,
    came: bool,
    over: bool,
}

#[derive(Debug)]
struct Stages {
    at: Vec<Stage>,
    departure: Option<Departure>,
    /// Somebody has asked, so that it need not be said by a panic.
    told: bool,
}

/// How far the connections have come.
#[derive(Debug)]
struct Progress {
    stages: Mutex<Stages>,
    changed: Condvar,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Stages> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, connection: usize, step: usize, over: bool) {
        if let Some(stage) = self.lock().at.get_mut(connection) {
            *stage = Stage { step, came: true, over };
        }
        self.changed.notify_all();
    }

    /// Only the first counts: what follows follows from it.
    fn depart(&self, departure: Departure) {
        self.lock().departure.get_or_insert(departure);
        self.changed.notify_all();
    }
}
