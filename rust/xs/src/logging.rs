//! What happens to sessions, for the program's own log (lib/ZooKeeper/Log.pm hands it to Log::Any).
//!
//! The engine leaves records beside the items of a queue, if the log wants any. Whoever takes items out of the
//! channel, and every blocking call at its end, has them told first; so a program that only makes blocking calls has
//! a log, too. What the log wants may change at any time without anybody saying so: it is asked now and then.

use crate::args::argument;
use crate::blocking::Held;
use crate::boot::Sub;
use crate::channel::{channel, own_channel, Channel};
use crate::guard::guarded;
use crate::perl::{callback, Perl, Sv};
use crate::values;
use libperl_sys as sys;
use std::cell::Cell;
use zk_client::log::Level;

pub(crate) const SUBS: &[Sub] =
    &[(c"ZooKeeper::Channel::_log_level", Some(log_level)), (c"ZooKeeper::Channel::_record", Some(record))];

/// So many milliseconds pass from one question what the log wants to the next.
const ASK_EVERY: i64 = 100;

/// What a channel keeps for the log.
#[derive(Default)]
pub(crate) struct Attention {
    /// The Perl object, which owns the channel.
    object: Cell<Option<Sv>>,
    level: Cell<Option<Level>>,
    ask_next: Cell<i64>,
}

impl Attention {
    /// Whose channel it is; a reference.
    pub(crate) fn of_object(&self, reference: Sv) {
        self.object.set(reference.referent());
    }

    /// What was wanted when the log was last asked.
    pub(crate) fn level(&self) -> Option<Level> {
        self.level.get()
    }
}

/// Whether there is something to be told.
#[inline]
pub(crate) fn has_records(channel: &Channel) -> bool {
    channel.own_queue().is_some_and(|queue| !queue.records().is_empty())
}

/// Whether there is, or the log has to be asked again what it wants.
#[inline]
pub(crate) fn is_due(channel: &Channel) -> bool {
    now() >= channel.log.ask_next.get() || has_records(channel)
}

/// Tells the log what there is, if there is something. Runs Perl code, and may be left by `longjmp` (a log may exit).
pub(crate) fn attend(perl: Perl, channel: &Channel) {
    if is_due(channel) {
        tell(perl, channel);
    }
}

/// The same at the end of a blocking call.
pub(crate) fn after_call(perl: Perl, held: Held) {
    if let Some(channel) = held.frame().client.calls.channel() {
        attend(perl, channel);
    }
}

#[cold]
fn tell(perl: Perl, channel: &Channel) {
    channel.log.ask_next.set(now() + ASK_EVERY);
    let Some(object) = channel.log.object.get() else { return };
    perl.push_scope();
    perl.save_tmps();
    let reference = perl.new_reference(object.retain()).mortal(perl);
    perl.call_apart(c"ZooKeeper::Log::_attend", &[reference]);
    perl.free_tmps();
    perl.pop_scope();
}

/// A clock that costs next to nothing and goes by some milliseconds at a time.
#[allow(clippy::unnecessary_cast)] // not on machines of 32 bits
fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills in what it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_sec as i64 * 1000 + time.tv_nsec as i64 / 1_000_000
}

callback! {
    /// `$channel->_log_level($level)`: records up to this level are wanted from now on, 0 for none. Gives how many
    /// there are, and how many were lost since it was last called.
    fn log_level(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let number = values::integer(argument(perl, call, 1)).unwrap_or_default();
        let level = Level::from_number(u8::try_from(number).unwrap_or_default());
        let (mut count, mut lost) = (0, 0);
        // In another thread than its own nobody tells it anything.
        if let Some(channel) = channel(perl, call, "_log_level") {
            channel.log.level.set(level);
            let records = channel.queue().records();
            records.want(level);
            (count, lost) = (records.len() as u64, records.take_lost());
        }
        let [count, lost] = [count, lost].map(|number| perl.new_unsigned(number).mortal(perl));
        perl.reserve(call, 2);
        perl.result(call, 0, count);
        perl.result(call, 1, lost);
        perl.leave(call, 2);
    }
}

callback! {
    /// `$channel->_record`: the oldest record: level, text, number of the handle, session as a number of 16 digits or
    /// undef, server or undef; nothing if there is none.
    fn record(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let channel = own_channel(perl, call, "_record");
        let mut record = None;
        let _ = guarded(|| record = channel.queue().records().pop());
        let Some(record) = record else { return perl.leave(call, 0) };
        // Fresh plain values only: it can't die.
        let session = record.about.session;
        let facts = [
            perl.new_integer(record.level as i64),
            perl.new_text(&record.text),
            perl.new_unsigned(record.about.handle),
            if session == 0 { perl.new_undef() } else { perl.new_text(&format!("{session:#x}")) },
            record.server.as_deref().map_or_else(|| perl.new_undef(), |server| perl.new_text(server)),
        ];
        drop(record);
        perl.reserve(call, facts.len());
        for (index, fact) in facts.into_iter().enumerate() {
            perl.result(call, index, fact.mortal(perl));
        }
        perl.leave(call, facts.len());
    }
}
