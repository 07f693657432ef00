//! What a forked child is told.

use crate::common::Client;
use crate::lifetime::counting_server;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use zk_client::forking::{self, Inherited};

#[test]
fn a_fork_learns_every_fd_that_is_not_the_childs() {
    let (server, _) = counting_server();
    let client = Client::connect(&server.hosts());
    let connected = client.handle.wait_connected(None);
    client.handle.wait(connected).unwrap();
    let wake = client.queue.as_raw_fd();
    // No fork here: the calls are made as around one, in a thread that plays the child. What it is
    // told is compared with /proc.
    forking::prepare();
    let mut told = Vec::new();
    forking::child(&mut |what, fd, identity| {
        let now = std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap();
        assert_eq!((identity.device, identity.inode), (now.dev(), now.ino()), "{what:?} {fd}");
        told.push((what, fd));
        None
    });
    assert!(told.contains(&(Inherited::Wake, wake)));
    let close: HashSet<_> = told.iter().filter(|(what, _)| *what == Inherited::Close).map(|t| t.1).collect();
    let is_ours = |fd: i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let link = link.to_string_lossy().into_owned();
        assert!(
            ["socket:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]"].iter().any(|k| link.starts_with(k)),
            "{fd} is {link}"
        );
        link.starts_with("socket:")
    };
    assert!(close.iter().filter(|fd| is_ours(**fd)).count() >= 1, "the session's socket");
}
