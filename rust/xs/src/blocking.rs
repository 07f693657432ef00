//! The life of a blocking call.
//!
//! Perl may leave an XSUB by `longjmp` whenever Perl code runs in it: an overloaded argument, a
//! tied one, a signal handler that dies while the call waits. So what a call owns is not on Rust's
//! stack: it is in a [`Frame`], of which Perl's savestack owns the pointer. However the call ends,
//! [`Frame::end`] runs, once: the request is abandoned, the lead given back, signals restored.
//!
//! Leadership (who reads the session's socket) is therefore a flag in the session and not a guard:
//! an unsafe handler jumps from inside `ppoll`, where we lead.

use crate::args::{Operands, Settled};
use crate::guard::caught;
use crate::handle::Client;
use crate::perl::signals::{self, Mask, Woken};
use crate::perl::{callback, Perl};
use crate::results;
use crate::table::Operation;
use crate::thrown::{Raise, Thrown};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;
use zk_client::{Failure, Sent, Step, Ticket};
use zk_proto::op::Reply;
use zk_proto::record::Acl;
use zk_proto::Code;

/// What a call owns.
pub(crate) struct Frame {
    /// The handle, kept alive: a signal handler may destroy the Perl object.
    pub(crate) client: Rc<Client>,
    /// What the arguments were read into.
    pub(crate) buffers: Box<Buffers>,
    /// The request under way.
    pub(crate) ticket: Option<Ticket>,
    /// Its outcome.
    pub(crate) reply: Option<Result<Reply, Failure>>,
    /// How it went to the server, if somebody traces it, and its ticket, if it has one.
    pub(crate) traced: Option<(Sent, Option<Ticket>)>,
    op: &'static str,
    /// The mask of before, while signals are blocked.
    mask: Option<Mask>,
    /// Counted among the client's waiting calls.
    counted: bool,
}

/// Memory that the calls of a handle hand on to each other.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Access lists, of all operations of a transaction.
    pub(crate) acls: Vec<Acl>,
    /// The operations of a transaction after the first pass.
    pub(crate) settled: Vec<(&'static Operation, Settled)>,
    /// The same after the second.
    pub(crate) operations: Vec<(&'static Operation, Operands)>,
    /// The path, for an error: the scalar may have changed by then.
    path: Vec<u8>,
    has_path: bool,
    path_is_text: bool,
    /// For the same purpose, where the call was made, if nobody waits for it.
    pub(crate) at: Vec<u8>,
}

impl Buffers {
    /// Remembers the path that an error will name.
    pub(crate) fn note_path(&mut self, path: &[u8], is_text: bool) {
        self.path.extend_from_slice(path);
        self.has_path = true;
        self.path_is_text = is_text;
    }

    /// The words of an error that may come when this call has returned: path and place, how much of them
    /// is path, if there is one, and whether it is text.
    pub(crate) fn words(&self) -> (Vec<u8>, Option<usize>, bool) {
        let words = [&self.path[..], &self.at[..]].concat();
        (words, self.has_path.then_some(self.path.len()), self.path_is_text)
    }

    /// Empty, and small enough to be kept for the next call.
    fn reset(&mut self) {
        const KEEP: usize = 4096;
        self.acls.clear();
        self.settled.clear();
        self.operations.clear();
        self.path.clear();
        self.at.clear();
        self.has_path = false;
        self.acls.shrink_to(KEEP / 64);
        self.settled.shrink_to(KEEP / 64);
        self.operations.shrink_to(KEEP / 64);
        self.path.shrink_to(KEEP);
        self.at.shrink_to(KEEP);
    }
}

/// The pointer that the savestack owns. `Copy`, so that a jump over it loses nothing.
#[derive(Clone, Copy)]
pub(crate) struct Held(*mut Frame);

/// How a step went, without what only the frame may own.
#[derive(Clone, Copy)]
enum Progress {
    Done,
    Wait(RawFd, Option<Duration>),
}

impl Held {
    /// Opens a scope and a frame in it.
    pub(crate) fn open(perl: Perl, client: &Rc<Client>, op: &'static str) -> Held {
        perl.push_scope();
        let frame = Box::new(Frame {
            client: client.clone(),
            buffers: client.spare_buffers(),
            ticket: None,
            reply: None,
            traced: None,
            op,
            mask: None,
            counted: false,
        });
        let held = Held(Box::into_raw(frame));
        perl.save_destructor(Some(unwound), held.0.cast());
        held
    }

    /// Closes the scope, and with it the frame.
    pub(crate) fn close(self, perl: Perl) {
        perl.pop_scope();
    }

    /// The frame. To be used within a statement, not across a call of Perl: a nested scope's end
    /// is no danger (it has its own frame), a second borrow would be.
    pub(crate) fn frame<'a>(self) -> &'a mut Frame {
        // SAFETY: the savestack frees it when the scope closes, after the last use of `self`; one
        // thread, and no two borrows at a time (see above).
        unsafe { &mut *self.0 }
    }

    /// What the arguments are read into, under the same rule.
    pub(crate) fn buffers<'a>(self) -> &'a mut Buffers {
        &mut self.frame().buffers
    }

    /// Enters the pure part of the call.
    pub(crate) fn block_signals(self) {
        let frame = self.frame();
        frame.mask = Some(signals::block());
        let outer = frame.client.waiting.get();
        frame.client.waiting.set(outer + 1);
        frame.counted = true;
        if outer > 0 {
            // We are in a signal handler that runs inside another call's wait, which leads if the
            // handler is an unsafe one, and can't go on before we are done.
            let _ = caught(|| frame.client.handle().release_lead());
        }
    }

    fn restore_signals(self) {
        if let Some(mask) = self.frame().mask.take() {
            mask.restore(); // an unsafe handler may jump from here
        }
    }

    /// Drives the request until it is answered, letting signal handlers run. Afterwards the reply
    /// is in the frame and signals are as they were.
    pub(crate) fn wait(self, perl: Perl) -> Result<(), Thrown> {
        while self.frame().reply.is_none() {
            let (fd, timeout) = match caught(|| self.step()) {
                Ok(Progress::Done) => break,
                Ok(Progress::Wait(fd, timeout)) => (fd, timeout),
                Err(panicked) => return Err(Thrown::panic(perl, panicked)),
            };
            // Signals are blocked: one that comes after this look is held back until ppoll.
            if !perl.signal_pending() {
                let mask = self.frame().mask;
                let woken = mask.map_or(Woken::Ready, |mask| mask.wait(fd, timeout));
                if let Woken::Failed(errno) = woken {
                    return Err(self.raise(perl, errno, None, true));
                }
            }
            if perl.signal_pending() && !self.is_foreign() {
                self.let_handlers_run(perl);
            }
            if self.is_foreign() {
                return Err(self.foreign(perl)); // a handler forked, and this is the child
            }
        }
        self.restore_signals();
        Ok(())
    }

    /// What a request came to that nobody waits for: it was made, or refused at once.
    pub(crate) fn if_refused(self, perl: Perl) -> Result<(), Thrown> {
        match &self.frame().reply {
            Some(Err(failure)) => Err(results::failed(perl, self, failure)),
            _ => Ok(()),
        }
    }

    fn step(self) -> Progress {
        let frame = self.frame();
        let Some(ticket) = frame.ticket else {
            return Progress::Done;
        };
        match frame.client.handle().step(ticket) {
            Step::Wait { fd, timeout } => Progress::Wait(fd, timeout),
            Step::Done(reply) => {
                frame.ticket = None;
                frame.reply = Some(reply);
                Progress::Done
            }
        }
    }

    /// Runs the handlers of the signals that came; they may die, fork, and call methods of this
    /// very handle.
    fn let_handlers_run(self, perl: Perl) {
        let _ = caught(|| self.frame().client.handle().release_lead());
        self.restore_signals();
        perl.dispatch_signals();
        self.frame().mask = Some(signals::block());
    }

    /// Runs Perl code in the middle of the pure part; it may do all that a signal handler may.
    pub(crate) fn let_perl_run(self, perl: Perl, code: impl FnOnce()) -> Result<(), Thrown> {
        self.restore_signals();
        code();
        if self.is_foreign() {
            return Err(self.foreign(perl)); // it forked, and this is the child
        }
        self.frame().mask = Some(signals::block());
        Ok(())
    }

    /// A ZooKeeper::Error about this call.
    pub(crate) fn raise(self, perl: Perl, code: i32, detail: Option<&str>, maybe_applied: bool) -> Thrown {
        let frame = self.frame();
        let buffers = &frame.buffers;
        let path = if buffers.has_path {
            perl.new_string(&buffers.path, buffers.path_is_text).mortal(perl)
        } else {
            perl.undef()
        };
        Thrown::Raise(Raise {
            op: frame.op,
            about: frame.client.about(),
            path,
            code,
            detail: detail.map_or(perl.undef(), |d| perl.new_text(d).mortal(perl)),
            maybe_applied,
        })
    }

    fn is_foreign(self) -> bool {
        self.frame().client.is_foreign()
    }

    /// The handle belongs to another process.
    fn foreign(self, perl: Perl) -> Thrown {
        self.raise(perl, Code::INVALID_STATE.0, Some(Client::FOREIGN), false)
    }
}

impl Frame {
    /// The call is over, in whatever way.
    fn end(mut self) {
        if !self.client.is_foreign() {
            if let Some(ticket) = self.ticket.take() {
                // Left by a jump. The mask may be any: block, so that no jump leaves us in turn.
                let now = signals::block();
                self.mask.get_or_insert(now);
                let handle = self.client.handle();
                let _ = caught(|| {
                    handle.abandon(ticket);
                    handle.release_lead();
                });
            }
        }
        if self.counted {
            let waiting = self.client.waiting.get();
            self.client.waiting.set(waiting.saturating_sub(1));
        }
        self.buffers.reset();
        self.client.keep_buffers(self.buffers);
        let mask = self.mask;
        drop(self.reply);
        drop(self.client);
        if let Some(mask) = mask {
            mask.restore();
        }
    }
}

callback! {
    /// The scope of a call has ended: orderly, or because something died in it.
    fn unwound(_perl, frame: *mut std::ffi::c_void) {
        // SAFETY: from Box::into_raw in `open`; the savestack calls once.
        let frame = unsafe { Box::from_raw(frame.cast::<Frame>()) };
        frame.end();
    }
}
