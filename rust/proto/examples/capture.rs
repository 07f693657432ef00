//! Writes down what a real server answers to every operation: the golden frames of the tests.
//!
//! ```text
//! cargo run -p zk-proto --example capture -- 127.0.0.1:2181
//! ```
//!
//! writes `testdata/golden/VERSION/NAME.txt`. The server must be fresh (an empty tree), and set up
//! so that everything is possible. Its zoo.cfg, with ports and directories of your own:
//!
//! ```text
//! tickTime=2000
//! initLimit=5
//! syncLimit=2
//! dataDir=DIRECTORY            (with a file myid: 1)
//! standaloneEnabled=false
//! reconfigEnabled=true
//! admin.enableServer=false
//! 4lw.commands.whitelist=*
//! dynamicConfigFile=DIRECTORY/dynamic
//! ```
//!
//! the file `dynamic`:
//!
//! ```text
//! server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181
//! ```
//!
//! and the options of its Java:
//!
//! ```text
//! -Dzookeeper.extendedTypesEnabled=true
//! -Dzookeeper.DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=
//! ```

use bytes::Bytes;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;
use zk_proto::frame::FrameBuffer;
use zk_proto::record::ReplyHeader;

#[path = "../tests/golden/script/mod.rs"]
mod script;

fn main() {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: capture HOST:PORT");
        std::process::exit(2);
    };
    let version = version(&address);
    let directory = [env!("CARGO_MANIFEST_DIR"), "testdata", "golden", &version];
    let directory: PathBuf = directory.iter().collect();
    std::fs::create_dir_all(&directory).expect("golden directory");
    let mut live = Live { connection: connect(&address), address, version, directory, count: 0 };
    script::run(&mut live);
    println!("{} files in {}", live.count, live.directory.display());
}

struct Live {
    address: String,
    connection: (TcpStream, FrameBuffer),
    version: String,
    directory: PathBuf,
    count: usize,
}

impl script::Server for Live {
    fn version(&self) -> &str {
        &self.version
    }

    fn reconnect(&mut self) {
        self.connection = connect(&self.address);
    }

    fn exchange(&mut self, name: &str, frame: &[u8]) -> Vec<Bytes> {
        let (socket, buffer) = &mut self.connection;
        socket.write_all(frame).expect(name);
        let mut text = format!("# ZooKeeper {}: {name}\n> {}\n", self.version, hex(frame));
        let mut frames = Vec::new();
        loop {
            let Some(frame) = buffer.next_frame().expect(name) else {
                let mut arrived = [0; 4096];
                let count = socket.read(&mut arrived).expect(name);
                assert_ne!(count, 0, "{name}: the server closed the connection");
                buffer.extend(arrived.get(..count).unwrap_or_default());
                continue;
            };
            let length = u32::try_from(frame.len()).expect("a frame's length");
            writeln!(text, "< {}{}", hex(&length.to_be_bytes()), hex(&frame)).expect("text");
            let is_event = !name.starts_with("connect")
                && ReplyHeader::decode(&mut frame.clone()).expect(name).xid == -1;
            frames.push(frame);
            if !is_event {
                break;
            }
        }
        std::fs::write(self.directory.join(format!("{name}.txt")), text).expect("golden file");
        self.count += 1;
        frames
    }
}

fn connect(address: &str) -> (TcpStream, FrameBuffer) {
    let socket = TcpStream::connect(address).expect("connection to the server");
    let limit = Some(Duration::from_secs(10));
    socket.set_read_timeout(limit).expect("read timeout");
    (socket, FrameBuffer::new(1 << 20))
}

/// The server's version by its own word: the text up to the dash.
fn version(address: &str) -> String {
    let (mut socket, _) = connect(address);
    socket.write_all(b"srvr").expect("srvr");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("srvr");
    let version = answer
        .strip_prefix("Zookeeper version: ")
        .and_then(|rest| rest.split('-').next())
        .expect("a version in the answer to srvr");
    version.to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}
