//! What the tests of the engine share.

use std::sync::Arc;
use std::time::{Duration, Instant};
use zk_client::{Delivery, Engine, Handle, Queue, Settings, WatchedEvent};
use zk_proto::connect_string::ConnectString;
use zk_proto::op::Request;
use zk_proto::{Code, EventType};
use zk_testkit::{ClientFrame, Peer};

/// An item of a queue: what was delivered.
pub(crate) struct Item(pub(crate) Delivery);

impl From<Delivery> for Item {
    fn from(delivery: Delivery) -> Item {
        Item(delivery)
    }
}

/// A handle with what it needs.
pub(crate) struct Client {
    pub(crate) handle: Handle,
    pub(crate) queue: Arc<Queue<Item>>,
}

impl Client {
    /// A session timeout of 1.5 s is asked for, and watcher 1 hears of session events.
    pub(crate) fn connect(hosts: &str) -> Client {
        Client::on(&Engine::start().unwrap(), hosts)
    }

    pub(crate) fn on(engine: &Arc<Engine>, hosts: &str) -> Client {
        Client::with(engine, hosts, |_| ())
    }

    pub(crate) fn with(engine: &Arc<Engine>, hosts: &str, set: impl FnOnce(&mut Settings)) -> Client {
        let queue = Arc::new(Queue::new().unwrap());
        let mut settings = Settings::new(ConnectString::parse(hosts.as_bytes()).unwrap());
        settings.session_timeout = Duration::from_millis(1_500);
        settings.default_watcher = Some(1);
        set(&mut settings);
        let handle = Handle::open(engine, settings, queue.clone()).unwrap();
        Client { handle, queue }
    }

    /// A blocking request; its code.
    pub(crate) fn call(&self, request: &Request<'_>) -> Code {
        match self.handle.submit(request, None, None).and_then(|ticket| self.handle.wait(ticket)) {
            Ok(_) => Code::OK,
            Err(failure) => failure.code,
        }
    }

    /// Waits for the connection, and takes the event that tells of it.
    pub(crate) fn connected(&self) {
        let connected = self.handle.wait_connected(Some(Duration::from_secs(20)));
        self.handle.wait(connected).unwrap();
        assert_eq!(self.event().1.kind, EventType::SESSION);
    }

    /// The next event, within ten seconds. Answers before it are passed over.
    pub(crate) fn event(&self) -> (u64, WatchedEvent) {
        loop {
            if let Delivery::Watch { watcher, event, .. } = self.delivery() {
                return (watcher, event);
            }
        }
    }

    /// The next answer to what was posted, within ten seconds: its id, and its code.
    pub(crate) fn answer(&self) -> (u64, Code) {
        loop {
            if let Delivery::Completed { id, result } = self.delivery() {
                return (id, result.map_or_else(|failure| failure.code, |_| Code::OK));
            }
        }
    }

    /// The next delivery, within ten seconds.
    pub(crate) fn delivery(&self) -> Delivery {
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(Item(delivery)) = self.queue.pop() {
                return delivery;
            }
            assert!(Instant::now() < give_up, "nothing within ten seconds");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
pub(crate) const SET: Request<'_> = Request::SetData { path: b"/n", data: Some(b"x"), version: -1 };

/// Answers everything as if there were no node.
pub(crate) fn no_node(_: &mut Peer, _: &ClientFrame) -> (Code, Vec<u8>) {
    (Code::NO_NODE, Vec::new())
}

/// Runs a test, named in full, in a process of its own, where no other test's threads are. True for what is to be done
/// there; false for the test itself when that went well.
pub(crate) fn is_in_a_process_of_its_own(test: &str) -> bool {
    const ALONE: &str = "ZK_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// How often the engine's thread has slept, from /proc.
pub(crate) fn sleeps_of_the_io_thread() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let count = |dir: std::path::PathBuf| -> Option<u64> {
        let name = std::fs::read_to_string(dir.join("comm")).ok()?;
        let status = std::fs::read_to_string(dir.join("status")).ok()?;
        let line = status.lines().find(|l| l.starts_with("voluntary_ctxt_switches"))?;
        (name.trim() == "zookeeper").then(|| line.split_whitespace().nth(1)?.parse().ok())?
    };
    tasks.filter_map(|t| count(t.ok()?.path())).sum()
}
