//! The methods that ask the session something, wait for it, or end it.

use crate::args::argument;
use crate::blocking::Held;
use crate::boot::Sub;
use crate::guard::{caught, guarded};
use crate::handle::{self, Attached, Client, FAREWELL};
use crate::logging;
use crate::perl::{callback, Call, Found, Key, Perl};
use crate::results;
use crate::thrown::Thrown;
use crate::values;
use libperl_sys as sys;
use std::time::Duration;
use zk_client::{Handle, Ticket};
use zk_proto::{Code, KeeperState};

pub(crate) const SUBS: &[Sub] = &[
    (c"ZooKeeper::_close", Some(close)),
    (c"ZooKeeper::_part", Some(part)),
    (c"ZooKeeper::_wait_connected", Some(wait_connected)),
    (c"ZooKeeper::_state", Some(state)),
    (c"ZooKeeper::_client_id", Some(client_id)),
    (c"ZooKeeper::_is_unrecoverable", Some(is_unrecoverable)),
    (c"ZooKeeper::_server", Some(server)),
    (c"ZooKeeper::_session_timeout", Some(session_timeout)),
    (c"ZooKeeper::_last_zxid", Some(last_zxid)),
    (c"ZooKeeper::_default_watcher", Some(default_watcher)),
    (c"ZooKeeper::_forget_watcher", Some(forget_watcher)),
    (c"ZooKeeper::_is_of_another_thread", Some(is_of_another_thread)),
];

/// Asks the handle something. In a forked child or another thread there is no handle to ask, and
/// the answer is what a closed one would say: `absent`.
pub(crate) fn ask<T: Copy>(
    perl: Perl,
    call: Call,
    method: &'static str,
    absent: T,
    question: impl FnOnce(&Handle) -> T,
) -> T {
    match perl.attached::<Attached>(perl.argument(call, 0)) {
        Found::Nothing => Thrown::not_initialised(perl, method, "ZooKeeper").throw(perl),
        Found::Inert => absent,
        Found::Live(attached) => {
            // SAFETY: live, and nothing of Perl runs while it is used.
            let client = unsafe { &(*attached).0 };
            if client.is_foreign() {
                return absent;
            }
            match guarded(|| question(client.handle())) {
                Ok(answer) => answer,
                Err(panicked) => Thrown::panic(perl, panicked).throw(perl),
            }
        }
    }
}

/// A blocking call other than a command: argument 1 is a number of seconds.
fn wait_seconds(
    perl: Perl,
    call: Call,
    op: &'static str,
    start: fn(&Handle, Option<Duration>) -> Ticket,
) -> Result<(), Thrown> {
    let seconds = argument(perl, call, 1);
    let client = Client::of(perl, call, op)?;
    let within = values::seconds(perl, "seconds", seconds)
        .map_err(|words| Thrown::raise(perl, op, Code::BAD_ARGUMENTS.0, Some(&words)))?;
    let held = Held::open(perl, client, op);
    held.block_signals();
    let started = caught(|| {
        let frame = held.frame();
        frame.ticket = Some(start(frame.client.handle(), within));
    });
    let outcome = match started {
        Err(panicked) => Err(Thrown::panic(perl, panicked)),
        Ok(()) => held.wait(perl).and_then(|()| {
            logging::after_call(perl, held);
            match &held.frame().reply {
                Some(Err(failure)) => Err(results::failed(perl, held, failure)),
                _ => Ok(()),
            }
        }),
    };
    held.close(perl);
    outcome
}

callback! {
    /// `_close($seconds, $keep)`: again and again if one likes; in a forked child and in another thread it
    /// does nothing. With `$keep` the server is not told, so that the session can be resumed.
    fn close(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let object = perl.argument(call, 0);
        let here = match perl.attached::<Attached>(object) {
            Found::Nothing => Thrown::not_initialised(perl, "close", "ZooKeeper").throw(perl),
            Found::Inert => false,
            Found::Live(attached) => {
                // SAFETY: live.
                let client = unsafe { &(*attached).0 };
                if client.is_foreign() {
                    client.disown_inherited(perl, object);
                    false
                } else {
                    true
                }
            }
        };
        if here {
            let keep = argument(perl, call, 2).is_true(perl);
            let done = wait_seconds(perl, call, "close", match keep {
                true => |handle, _| handle.leave(),
                false => |handle, within| handle.close(within.unwrap_or(FAREWELL)),
            });
            if let Err(thrown) = done {
                thrown.throw(perl)
            }
        }
        perl.leave(call, 0);
    }
}

callback! {
    /// `_part`: the object is being destroyed.
    fn part(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        handle::part(perl, perl.argument(call, 0));
        perl.leave(call, 0);
    }
}

callback! {
    /// `_wait_connected($seconds)`: true, or throws what a command would.
    fn wait_connected(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match wait_seconds(perl, call, "wait_connected", Handle::wait_connected) {
            Ok(()) => perl.leave_with(call, perl.boolean(true)),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

callback! {
    /// `_state`
    fn state(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let state = ask(perl, call, "state", KeeperState::NOT_CONNECTED, Handle::state);
        let sv = perl.new_integer(state.0.into()).mortal(perl);
        perl.leave_with(call, sv);
    }
}

pub(crate) static CLIENT_ID: Key = Key::new("client_id");
pub(crate) static PASSWD: Key = Key::new("passwd");

callback! {
    /// `_client_id`: a hash ref of plain data, undef before the first connection.
    fn client_id(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let sv = match ask(perl, call, "client_id", None, Handle::client_id) {
            None => perl.undef(),
            Some((id, passwd)) => {
                let (hash, reference) = perl.new_hash(2);
                hash.store(perl, &CLIENT_ID, perl.new_integer(id));
                hash.store(perl, &PASSWD, perl.new_bytes(&passwd));
                reference
            }
        };
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `_is_unrecoverable`
    fn is_unrecoverable(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let gone = ask(perl, call, "is_unrecoverable", true, Handle::is_unrecoverable);
        perl.leave_with(call, perl.boolean(gone));
    }
}

callback! {
    /// `_server`: "host:port", undef when not connected.
    fn server(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        // The name is made into a scalar on the spot: a fresh one, which can't die.
        let sv = ask(perl, call, "server", perl.undef(), |handle| match handle.server() {
            Some(server) => perl.new_text(&server).mortal(perl),
            None => perl.undef(),
        });
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `_session_timeout`: milliseconds.
    fn session_timeout(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let ms = ask(perl, call, "session_timeout", 0, |handle| {
            i64::try_from(handle.session_timeout().as_millis()).unwrap_or(i64::MAX)
        });
        let sv = perl.new_integer(ms).mortal(perl);
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `_last_zxid`
    fn last_zxid(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let zxid = ask(perl, call, "last_zxid", 0, Handle::last_zxid);
        let sv = perl.new_integer(zxid).mortal(perl);
        perl.leave_with(call, sv);
    }
}

/// Argument 1 as the number of a watcher.
fn watcher(perl: Perl, call: Call, op: &'static str) -> Result<Option<u64>, Thrown> {
    let sv = argument(perl, call, 1);
    if let Found::Nothing = perl.attached::<Attached>(perl.argument(call, 0)) {
        return Err(Thrown::not_initialised(perl, op, "ZooKeeper"));
    }
    values::watcher(perl, sv).map_err(|words| Thrown::raise(perl, op, Code::BAD_ARGUMENTS.0, Some(&words)))
}

callback! {
    /// `_default_watcher($id)`: undef takes it away.
    fn default_watcher(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match watcher(perl, call, "watcher") {
            Ok(id) => ask(perl, call, "watcher", (), |handle| handle.set_default_watcher(id)),
            Err(thrown) => thrown.throw(perl),
        }
        perl.leave(call, 0);
    }
}

callback! {
    /// `_forget_watcher($id)`: nobody wants its events any more.
    fn forget_watcher(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match watcher(perl, call, "remove_watcher") {
            Ok(Some(id)) => ask(perl, call, "remove_watcher", (), |handle| handle.forget_watcher(id)),
            Ok(None) => {}
            Err(thrown) => thrown.throw(perl),
        }
        perl.leave(call, 0);
    }
}

callback! {
    /// `_is_of_another_thread`: the object is a copy that came into being with an ithread. (One that
    /// has no session yet is not: a subclass may look at its attributes before.)
    fn is_of_another_thread(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let copied = matches!(perl.attached::<Attached>(perl.argument(call, 0)), Found::Inert);
        perl.leave_with(call, perl.boolean(copied));
    }
}
