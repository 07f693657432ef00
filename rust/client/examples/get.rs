//! Blocking gets in a loop: `get HOSTS PATH COUNT` prints the time of each.

use std::sync::Arc;
use std::time::{Duration, Instant};
use zk_client::{Engine, Handle, Settings};
use zk_proto::connect_string::ConnectString;
use zk_proto::op::Request;

struct Item;
impl From<zk_client::Delivery> for Item {
    fn from(_: zk_client::Delivery) -> Item {
        Item
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let engine = Engine::start().expect("engine");
    let hosts = ConnectString::parse(args[1].as_bytes()).expect("hosts");
    let queue = Arc::new(zk_client::Queue::<Item>::new().expect("queue"));
    let handle = Handle::open(&engine, Settings::new(hosts), queue).expect("handle");
    let connected = handle.wait_connected(None);
    handle.wait(connected).expect("connected");
    let count: u32 = args[3].parse().expect("count");
    let start = Instant::now();
    for _ in 0..count {
        let request = Request::GetData { path: args[2].as_bytes(), watch: false };
        let ticket = handle.submit(&request, None, None).expect("submit");
        handle.wait(ticket).expect("get");
    }
    println!("{:?} per get", start.elapsed() / count);
    let closed = handle.close(Duration::from_secs(1));
    handle.wait(closed).expect("closed");
}
