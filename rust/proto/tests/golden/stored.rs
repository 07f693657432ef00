//! A server that is its own record: frames that `examples/capture.rs` wrote down.

use crate::script::Server;
use bytes::Bytes;
use std::path::PathBuf;
use zk_proto::chroot::Chroot;
use zk_proto::op::ReplyKind;

/// A body that a reply had, and how it is read.
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: ReplyKind,
    pub(crate) chroot: Chroot,
    pub(crate) body: Bytes,
}

pub(crate) struct Stored {
    version: String,
    /// Names of the exchanges, in order.
    pub(crate) names: Vec<String>,
    /// All frames that came, with the names of their exchanges.
    pub(crate) frames: Vec<(String, Bytes)>,
    pub(crate) seen: Vec<Seen>,
}

impl Stored {
    pub(crate) fn new(version: &str) -> Stored {
        Stored { version: version.to_owned(), names: Vec::new(), frames: Vec::new(), seen: Vec::new() }
    }

    /// The versions that there are records of.
    pub(crate) fn versions() -> Vec<String> {
        let mut versions: Vec<_> = std::fs::read_dir(directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        versions.sort();
        versions
    }

    /// The names of the files of this version.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory().join(&self.version))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".txt").unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

impl Server for Stored {
    fn version(&self) -> &str {
        &self.version
    }

    fn reconnect(&mut self) {}

    fn exchange(&mut self, name: &str, frame: &[u8]) -> Vec<Bytes> {
        let file = directory().join(&self.version).join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        let lines = |mark| text.lines().filter_map(move |line| line.strip_prefix(mark)).map(unhex);
        let sent: Vec<_> = lines("> ").collect();
        assert_eq!(sent, [frame], "{name}: the frame that we send");
        let received: Vec<_> = lines("< ")
            .map(|frame| {
                let (length, rest) = frame.split_first_chunk::<4>().unwrap();
                assert_eq!(u32::from_be_bytes(*length) as usize, rest.len(), "{name}");
                Bytes::copy_from_slice(rest)
            })
            .collect();
        self.names.push(name.to_owned());
        let named = received.iter().map(|frame| (name.to_owned(), frame.clone()));
        self.frames.extend(named);
        received
    }

    fn seen(&mut self, name: &str, kind: &ReplyKind, chroot: &Chroot, body: &Bytes) {
        self.seen.push(Seen {
            name: name.to_owned(),
            kind: kind.clone(),
            chroot: chroot.clone(),
            body: body.clone(),
        });
    }
}

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", "golden"].iter().collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
