//! The methods that are about the life of a session: its servers, what was counted, whether it may be over.

use crate::args::{protect, settled};
use crate::boot::Sub;
use crate::guard::guarded;
use crate::handle::Client;
use crate::perl::{callback, Call, Key, Perl};
use crate::session::ask;
use crate::thrown::{Raise, Thrown};
use crate::values;
use libperl_sys as sys;
use zk_client::{Failure, Handle, Metrics};
use zk_proto::connect_string::ConnectString;
use zk_proto::Code;

pub(crate) const SUBS: &[Sub] = &[
    (c"ZooKeeper::_set_hosts", Some(set_hosts)),
    (c"ZooKeeper::_metrics", Some(metrics)),
    (c"ZooKeeper::_is_session_suspect", Some(is_session_suspect)),
];

/// In the order of [`counters`].
static METRICS: [Key; 9] = [
    Key::new("sent"),
    Key::new("received"),
    Key::new("bytes_sent"),
    Key::new("bytes_received"),
    Key::new("in_flight"),
    Key::new("reconnects"),
    Key::new("watches"),
    Key::new("events"),
    Key::new("last_rtt_us"),
];

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in &METRICS {
        key.prepare(perl);
    }
}

/// `None` is undef.
fn counters(metrics: &Metrics) -> [Option<i64>; 9] {
    let count = |n: u64| i64::try_from(n).ok();
    [
        count(metrics.sent),
        count(metrics.received),
        count(metrics.bytes_sent),
        count(metrics.bytes_received),
        count(metrics.in_flight as u64),
        count(metrics.reconnects()),
        count(metrics.watches as u64),
        count(metrics.events),
        metrics.last_rtt.and_then(|rtt| i64::try_from(rtt.as_micros()).ok()),
    ]
}

callback! {
    /// `_set_hosts($hosts)`
    fn set_hosts(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match take_hosts(perl, call) {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

fn take_hosts(perl: Perl, call: Call) -> Result<(), Thrown> {
    const OP: &str = "set_hosts";
    // Reading the argument may run Perl code: the client is looked for behind that.
    protect(perl, call);
    let sv = settled(perl, perl.argument(call, 1));
    let client = Client::of(perl, call, OP).map_err(|thrown| thrown.about(perl, sv))?;
    let (hosts, is_text) = values::text(perl, sv, client.utf8);
    let mut failure = None;
    let done = guarded(|| {
        // SAFETY: nothing of Perl has run since the bytes were taken.
        let parsed = ConnectString::parse(unsafe { hosts.bytes() });
        let wrong = |words: String| Failure { detail: Some(words), ..Failure::new(Code::BAD_ARGUMENTS) };
        let hosts = parsed.map_err(|error| wrong(error.to_string()));
        failure = hosts.and_then(|hosts| client.handle().set_hosts(hosts)).err();
    });
    match (done, failure) {
        (Err(panicked), _) => Err(Thrown::panic(perl, panicked)),
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(failure)) => Err(Thrown::Raise(Raise {
            op: OP,
            about: client.about(),
            // SAFETY: as above.
            path: perl.new_string(unsafe { hosts.bytes() }, is_text).mortal(perl),
            code: failure.code.0,
            detail: failure.detail.as_deref().map_or(perl.undef(), |d| perl.new_text(d).mortal(perl)),
            maybe_applied: false,
        })),
    }
}

callback! {
    /// `_metrics`: a hash ref of numbers; undef where there is no handle to ask.
    fn metrics(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let sv = match ask(perl, call, "metrics", None, |handle| Some(handle.metrics())) {
            None => perl.undef(),
            Some(metrics) => {
                let (hash, reference) = perl.new_hash(METRICS.len());
                for (key, value) in METRICS.iter().zip(counters(&metrics)) {
                    let value = value.map_or_else(|| perl.new_undef(), |n| perl.new_integer(n));
                    hash.store(perl, key, value);
                }
                reference
            }
        };
        perl.leave_with(call, sv);
    }
}

callback! {
    /// `_is_session_suspect`
    fn is_session_suspect(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let suspect = ask(perl, call, "is_session_suspect", false, Handle::is_session_suspect);
        perl.leave_with(call, perl.boolean(suspect));
    }
}
