//! The part of the tree that a client is confined to: put before the paths that go out, taken off
//! those that come in.

use crate::path::{self, PathError};
use crate::wire::{put_count, put_string};
use bytes::Bytes;
use std::borrow::Cow;

/// The node with the ensemble's configuration, the same for every client whatever its chroot.
pub const CONFIG_NODE: &[u8] = b"/zookeeper/config";

/// The chroot of a client: empty, or a valid path other than `/`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Chroot(Bytes);

impl Chroot {
    /// No chroot: paths go through as they are.
    pub const fn none() -> Chroot {
        Chroot(Bytes::new())
    }

    /// Checks `path`; an empty one and `/` mean no chroot.
    pub fn new(path: &[u8]) -> Result<Chroot, PathError> {
        if path.is_empty() || path == b"/" {
            return Ok(Chroot::none());
        }
        path::validate(path, false)?;
        Ok(Chroot(Bytes::copy_from_slice(path)))
    }

    /// The chroot's path; empty if there is none.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no chroot.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The server's path for a path of the client. The client's `/` is the chroot itself.
    pub fn prefix<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        let (front, back) = self.parts(path);
        if front.is_empty() {
            Cow::Borrowed(back)
        } else {
            Cow::Owned([front, back].concat())
        }
    }

    /// Appends the server's path for a path of the client as a string of the wire.
    pub fn put(&self, path: &[u8], out: &mut Vec<u8>) {
        let (front, back) = self.parts(path);
        put_count(out, front.len() + back.len());
        out.extend_from_slice(front);
        out.extend_from_slice(back);
    }

    /// As [`put`](Chroot::put) for a node whose name the server completes: below the client's `/`
    /// it gets a name inside the chroot, not one beside it.
    pub fn put_sequential(&self, path: &[u8], out: &mut Vec<u8>) {
        if path == b"/" {
            put_string(out, &[self.as_bytes(), path].concat());
        } else {
            self.put(path, out);
        }
    }

    /// The client's path for a path of the server, `None` if that lies outside the chroot. Names
    /// count as a whole: the chroot `/foo` is no part of `/foobar`.
    pub fn strip(&self, path: Bytes) -> Option<Bytes> {
        if self.is_none() || path == CONFIG_NODE {
            return Some(path);
        }
        match path.strip_prefix(self.as_bytes())? {
            [] => Some(Bytes::from_static(b"/")),
            [b'/', ..] => Some(path.slice(self.0.len()..)),
            _ => None,
        }
    }

    /// As [`strip`](Chroot::strip), but a path from outside stays as it is. Servers answer with the
    /// path that they were asked about, so this is for those that don't.
    pub(crate) fn strip_or_keep(&self, path: Bytes) -> Bytes {
        self.strip(path.clone()).unwrap_or(path)
    }

    fn parts<'s, 'p>(&'s self, path: &'p [u8]) -> (&'s [u8], &'p [u8]) {
        if self.is_none() || path == CONFIG_NODE {
            (b"", path)
        } else if path == b"/" {
            (&self.0, b"")
        } else {
            (&self.0, path)
        }
    }
}

impl std::fmt::Debug for Chroot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chroot({})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(chroot: &Chroot, path: &'static str) -> Option<String> {
        let stripped = chroot.strip(Bytes::from_static(path.as_bytes()))?;
        Some(String::from_utf8(stripped.to_vec()).unwrap())
    }

    #[test]
    fn no_chroot_changes_nothing() {
        for text in ["", "/"] {
            let none = Chroot::new(text.as_bytes()).unwrap();
            assert!(none.is_none());
            assert_eq!(none, Chroot::none());
            assert!(matches!(none.prefix(b"/a"), Cow::Borrowed(b"/a")));
            assert_eq!(strip(&none, "/a").as_deref(), Some("/a"));
            assert_eq!(strip(&none, "/").as_deref(), Some("/"));
        }
    }

    #[test]
    fn out_and_back_in() {
        let chroot = Chroot::new(b"/app/x").unwrap();
        for (ours, theirs) in [
            ("/", "/app/x"),
            ("/a", "/app/x/a"),
            ("/a/b", "/app/x/a/b"),
            ("/app/x", "/app/x/app/x"),
            ("/zookeeper/config", "/zookeeper/config"),
            ("/zookeeper/quota", "/app/x/zookeeper/quota"),
        ] {
            assert_eq!(*chroot.prefix(ours.as_bytes()), *theirs.as_bytes());
            let mut out = Vec::new();
            chroot.put(ours.as_bytes(), &mut out);
            let mut expected = vec![0, 0, 0, u8::try_from(theirs.len()).unwrap()];
            expected.extend(theirs.as_bytes());
            assert_eq!(out, expected);
            assert_eq!(strip(&chroot, theirs).as_deref(), Some(ours));
        }
    }

    #[test]
    fn only_whole_names_are_stripped() {
        let chroot = Chroot::new(b"/foo").unwrap();
        for outside in ["/foobar", "/fo", "/", "", "/bar/foo", "foo", "/zookeeper"] {
            assert_eq!(strip(&chroot, outside), None, "{outside:?}");
            let path = Bytes::from_static(outside.as_bytes());
            assert_eq!(chroot.strip_or_keep(path.clone()), path);
        }
    }

    #[test]
    fn a_chroot_is_a_valid_path() {
        assert_eq!(Chroot::new(b"app"), Err(PathError::NotAbsolute));
        assert_eq!(Chroot::new(b"/app/"), Err(PathError::TrailingSlash));
        assert_eq!(format!("{:?}", Chroot::new(b"/app").unwrap()), "Chroot(/app)");
    }
}
