//! The system calls.

/// Room for more.
pub mod buffer {
    /// The vector itself: what is reported is pushed.
    pub fn spare_capacity<T>(vector: &mut Vec<T>) -> &mut Vec<T> {
        vector
    }
}

/// Reading and writing of fds that carry no data.
pub mod io {
    use super::super::world;
    use std::os::fd::{AsFd, AsRawFd};

    pub use rustix::io::{retry_on_intr, Errno};

    /// Takes a note.
    ///
    /// # Errors
    /// There is none.
    pub fn read(fd: impl AsFd, _: &mut [u8; 8]) -> Result<usize, Errno> {
        world::read(fd.as_fd().as_raw_fd())
    }

    /// Leaves one.
    ///
    /// # Errors
    /// Not such an fd.
    pub fn write(fd: impl AsFd, _: &[u8; 8]) -> Result<usize, Errno> {
        world::write(fd.as_fd().as_raw_fd())
    }
}

/// Waiting.
pub mod event {
    use super::super::world::{now, trace, Object, World};
    use rustix::io::Errno;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

    pub use rustix::event::{EventfdFlags, PollFlags, Timespec};

    /// A counter.
    ///
    /// # Errors
    /// No fd.
    pub fn eventfd(_: u32, _: EventfdFlags) -> Result<OwnedFd, Errno> {
        World::current().put(Object::Counter(0))
    }

    /// When a wait ends.
    pub(super) fn deadline(timeout: Option<&Timespec>) -> Option<u64> {
        timeout
            .map(|t| now().saturating_add(t.tv_sec as u64 * 1_000_000 + (t.tv_nsec as u64).div_ceil(1_000)))
    }

    /// What is polled.
    pub struct PollFd<'a> {
        fd: RawFd,
        _of: std::marker::PhantomData<&'a ()>,
    }

    impl<'a> PollFd<'a> {
        /// For input.
        pub fn new(fd: &'a impl AsFd, _: PollFlags) -> PollFd<'a> {
            PollFd { fd: fd.as_fd().as_raw_fd(), _of: std::marker::PhantomData }
        }
    }

    /// Waits until one is readable.
    ///
    /// # Errors
    /// None.
    pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, Errno> {
        let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.fd).collect();
        trace(|| format!("poll({numbers:?}, {timeout:?})"));
        let count = World::current().sleep(deadline(timeout), |state| {
            let ready = numbers.iter().filter(|fd| state.ready(**fd).0).count();
            (ready > 0).then_some(ready)
        });
        trace(|| format!("poll({numbers:?}): {count:?}"));
        Ok(count.unwrap_or(0))
    }

    /// The IO thread's way to wait.
    pub mod epoll {
        use super::super::super::world::{trace, Interest, Object, State, World};
        use rustix::io::Errno;
        use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

        pub use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
        use rustix::event::Timespec;

        /// Waits that end at once, one after the other.
        const MANY: usize = 20;

        /// An empty set.
        ///
        /// # Errors
        /// No fd.
        pub fn create(_: CreateFlags) -> Result<OwnedFd, Errno> {
            World::current().put(Object::Poller(std::collections::BTreeMap::new()))
        }

        fn set(
            poller: RawFd,
            fd: RawFd,
            data: EventData,
            flags: EventFlags,
            known: bool,
        ) -> Result<(), Errno> {
            World::current().change(|state| {
                state.object(fd)?;
                let Object::Poller(entries) = state.object(poller)? else { return Err(Errno::INVAL) };
                if entries.contains_key(&fd) != known {
                    return Err(if known { Errno::NOENT } else { Errno::EXIST });
                }
                entries.insert(fd, Interest { key: data.u64(), flags, armed: true });
                Ok(())
            })
        }

        /// Puts an fd into it.
        ///
        /// # Errors
        /// It is in there.
        pub fn add(
            poller: impl AsFd,
            fd: impl AsFd,
            data: EventData,
            flags: EventFlags,
        ) -> Result<(), Errno> {
            set(poller.as_fd().as_raw_fd(), fd.as_fd().as_raw_fd(), data, flags, false)
        }

        /// Changes an entry.
        ///
        /// # Errors
        /// There is none.
        pub fn modify(
            poller: impl AsFd,
            fd: impl AsFd,
            data: EventData,
            flags: EventFlags,
        ) -> Result<(), Errno> {
            let fd = fd.as_fd().as_raw_fd();
            trace(|| format!("listen to {fd} for {flags:?}"));
            set(poller.as_fd().as_raw_fd(), fd, data, flags, true)
        }

        /// Waits for events.
        ///
        /// # Errors
        /// None.
        pub fn wait(
            poller: impl AsFd,
            events: &mut Vec<Event>,
            timeout: Option<&Timespec>,
        ) -> Result<usize, Errno> {
            let poller = poller.as_fd().as_raw_fd();
            trace(|| format!("epoll_wait({timeout:?})"));
            let mut looks = 0;
            let found = World::current().sleep(super::deadline(timeout), |state| {
                looks += 1;
                let found = report(state, poller);
                state.in_a_row = if looks == 1 && !found.is_empty() { state.in_a_row + 1 } else { 0 };
                (!found.is_empty()).then_some(found)
            });
            if World::current().lock().in_a_row > MANY {
                // It may be waiting for another thread in this way, for a moment: that one is to have a turn.
                shuttle::thread::yield_now();
            }
            let found = found.unwrap_or_default();
            trace(|| format!("epoll_wait: {found:?}"));
            let count = found.len();
            events
                .extend(found.into_iter().map(|(key, flags)| Event { flags, data: EventData::new_u64(key) }));
            Ok(count)
        }

        fn report(state: &mut State, poller: RawFd) -> Vec<(u64, EventFlags)> {
            let Ok(Object::Poller(entries)) = state.object(poller) else { return Vec::new() };
            let mut entries = std::mem::take(entries);
            let mut found = Vec::new();
            for (fd, entry) in entries.iter_mut().filter(|(_, entry)| entry.armed) {
                let (readable, writable) = state.ready(*fd);
                let mut flags = EventFlags::empty();
                flags.set(EventFlags::IN, readable);
                flags.set(EventFlags::OUT, writable);
                flags &= entry.flags;
                if state.link(*fd).is_ok_and(|link| link.reset) {
                    flags |= EventFlags::HUP | EventFlags::ERR; // which can't be masked
                }
                if !flags.is_empty() {
                    entry.armed = !entry.flags.contains(EventFlags::ONESHOT);
                    found.push((entry.key, flags));
                }
            }
            if let Ok(Object::Poller(place)) = state.object(poller) {
                *place = entries;
            }
            found
        }
    }
}

/// Stream sockets. Whatever the address, it is the model's one server that answers.
pub mod net {
    use super::super::world::{trace, Link, Object, World};
    use rustix::io::Errno;
    use std::collections::VecDeque;
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    pub use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    /// A socket.
    ///
    /// # Errors
    /// No fd.
    pub fn socket_with(
        _: AddressFamily,
        _: SocketType,
        _: SocketFlags,
        _: Option<std::convert::Infallible>,
    ) -> Result<OwnedFd, Errno> {
        World::current().put(Object::Socket(None))
    }

    /// Connects: the listening side has it from now on.
    ///
    /// # Errors
    /// `INPROGRESS`, as always.
    pub fn connect(fd: impl AsFd, _: &SocketAddr) -> Result<(), Errno> {
        let fd = fd.as_fd().as_raw_fd();
        World::current().change(|state| {
            let number = state.links.len();
            state.links.push(Link {
                to_client: VecDeque::new(),
                to_server: VecDeque::new(),
                room: state.room.unwrap_or(usize::MAX),
                client_gone: false,
                server_gone: false,
                reset: false,
            });
            state.backlog.push_back(number);
            *state.object(fd)? = Object::Socket(Some(number));
            Err(Errno::INPROGRESS)
        })
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `AGAIN`, if nothing is.
    pub fn recv(fd: impl AsFd, buffer: &mut [u8], _: RecvFlags) -> Result<(usize, usize), Errno> {
        let fd = fd.as_fd().as_raw_fd();
        let outcome = World::current().change(|state| {
            let link = state.link(fd)?;
            if link.to_client.is_empty() && !link.server_gone {
                return Err(Errno::AGAIN);
            }
            if link.to_client.is_empty() && link.reset {
                return Err(Errno::CONNRESET);
            }
            let count = link.to_client.len().min(buffer.len());
            for (place, byte) in buffer.iter_mut().zip(link.to_client.drain(..count)) {
                *place = byte;
            }
            Ok((count, count))
        });
        trace(|| format!("recv({fd}): {:?}", outcome.map(|(count, _)| count)));
        outcome
    }

    /// Writes what fits.
    ///
    /// # Errors
    /// `AGAIN`, if nothing does; `PIPE`, if nobody reads.
    pub fn send(fd: impl AsFd, bytes: &[u8], _: SendFlags) -> Result<usize, Errno> {
        let fd = fd.as_fd().as_raw_fd();
        let outcome = World::current().change(|state| {
            let link = state.link(fd)?;
            if link.reset {
                return Err(Errno::PIPE);
            }
            if link.server_gone {
                link.reset = true; // the answer to what is sent now
                return Ok(bytes.len());
            }
            let count = bytes.len().min(link.room - link.to_server.len());
            if count == 0 {
                return Err(Errno::AGAIN);
            }
            link.to_server.extend(&bytes[..count]);
            Ok(count)
        });
        trace(|| format!("send({fd}): {outcome:?}"));
        outcome
    }

    /// Our own address: any will do.
    ///
    /// # Errors
    /// None.
    pub fn getsockname(_: impl AsFd) -> Result<SocketAddr, Errno> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    /// Options.
    pub mod sockopt {
        use rustix::io::Errno;
        use std::os::fd::AsFd;

        /// Nothing to do.
        ///
        /// # Errors
        /// None.
        pub fn set_tcp_nodelay(_: impl AsFd, _: bool) -> Result<(), Errno> {
            Ok(())
        }

        /// What became of `connect`: it always succeeds.
        ///
        /// # Errors
        /// None.
        pub fn socket_error(_: impl AsFd) -> Result<Result<(), Errno>, Errno> {
            Ok(Ok(()))
        }
    }
}
