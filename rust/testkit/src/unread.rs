//! Whether the other side has read what was sent: what makes pieces arrive as pieces, without a pause that is hoped to
//! be long enough.

use rustix::net::netlink::{SocketAddrNetlink, SOCK_DIAG};
use rustix::net::{recv, sendto, socket_with, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// A reader that takes nothing for so long has no claim on the next piece being one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits until all that was written to `stream` has been read at its other end, which must be a socket of this machine;
/// not longer than a second, and not when `given_up` says so.
pub(crate) fn wait_until_read(stream: &TcpStream, given_up: impl Fn() -> bool) {
    let Ok(kernel) = ask_kernel() else { return };
    let give_up = Instant::now() + PATIENCE;
    while unread(&kernel, stream).is_some_and(|count| count > 0) && Instant::now() < give_up && !given_up() {
        thread::sleep(Duration::from_micros(20));
    }
}

fn ask_kernel() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?)
}

/// Bytes that are under way to the reader or lie in his socket; `None` if he has gone. (What is not acknowledged says
/// nothing: the reader's system takes its time for that.)
fn unread(kernel: &OwnedFd, stream: &TcpStream) -> Option<u64> {
    match (stream.local_addr().ok()?, stream.peer_addr().ok()?) {
        (SocketAddr::V4(own), SocketAddr::V4(other)) => {
            let (writer, reader) = (tell(kernel, own, other)?, tell(kernel, other, own)?);
            Some(reader.unread + writer.sent.saturating_sub(reader.received))
        }
        _ => None,
    }
}

/// What the kernel knows of a socket, in bytes.
struct Told {
    /// In its queue of what is to be read.
    unread: u64,
    sent: u64,
    received: u64,
}

/// Asks for the socket with these addresses. Source: `sock_diag(7)`, `linux/inet_diag.h`, `linux/tcp.h`.
fn tell(kernel: &OwnedFd, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Told> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const AF_INET: u8 = 2;
    const IPPROTO_TCP: u8 = 6;
    /// An attribute of the answer: `struct tcp_info`. It is asked for by a bit.
    const INET_DIAG_INFO: u16 = 2;
    /// Of the message's header, and of that with `struct inet_diag_msg`.
    const LENGTHS: (usize, usize) = (16, 16 + 72);
    let mut ask = 72u32.to_ne_bytes().to_vec();
    ask.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    ask.extend(NLM_F_REQUEST.to_ne_bytes());
    ask.extend([0; 8]); // sequence number, and who asks
    ask.extend([AF_INET, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    ask.extend(u32::MAX.to_ne_bytes()); // in whatever state
    ask.extend(local.port().to_be_bytes());
    ask.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        ask.extend(address.ip().octets());
        ask.extend([0; 12]);
    }
    ask.extend([0; 4]); // on whatever interface
    ask.extend([0xff; 8]); // without a cookie
    sendto(kernel, &ask, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    let mut answer = [0; 4096];
    let (count, _) = recv(kernel, &mut answer, RecvFlags::empty()).ok()?;
    let answer = answer.get(..count)?;
    if answer.get(4..6)? != SOCK_DIAG_BY_FAMILY.to_ne_bytes() {
        return None; // an error: there is no such socket
    }
    let unread = u32::from_ne_bytes(*answer.get(LENGTHS.0 + 56..)?.first_chunk()?).into();
    let mut attributes = answer.get(LENGTHS.1..)?;
    loop {
        let half = |at: usize| Some(u16::from_ne_bytes(*attributes.get(at..)?.first_chunk()?));
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        if kind == INET_DIAG_INFO {
            let info = attributes.get(4..length)?;
            let number = |at: usize| Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk()?));
            // Without what was sent again.
            return Some(Told {
                unread,
                received: number(128)?,
                sent: number(200)?.saturating_sub(number(208)?),
            });
        }
        attributes = attributes.get(length.next_multiple_of(4).max(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn bytes_count_as_unread_until_they_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut reader = listener.accept().unwrap().0;
        let kernel = ask_kernel().unwrap();
        assert_eq!(unread(&kernel, &sender), Some(0));
        sender.write_all(&[7; 100]).unwrap();
        assert!(unread(&kernel, &sender).is_some_and(|count| count >= 100));
        reader.read_exact(&mut [0; 100]).unwrap();
        wait_until_read(&sender, || false);
        assert_eq!(unread(&kernel, &sender), Some(0));
        drop((reader, listener));
        wait_until_read(&sender, || panic!("nobody is there who could read"));
    }
}
