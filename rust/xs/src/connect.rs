//! Opening a session, and authenticating it: the two calls that take what they need and return at
//! once.

use crate::args::{protect, settled};
use crate::blocking::Held;
use crate::boot::Sub;
use crate::channel::Channel;
use crate::engine::engine;
use crate::guard::{caught, guarded};
use crate::handle::{close_former, Attached, Client};
use crate::perl::{callback, Call, Found, Key, Kind, Perl, Sv};
use crate::results::Shape;
use crate::sasl;
use crate::secure::Secure;
use crate::session::{CLIENT_ID, PASSWD};
use crate::thrown::{Raise, Thrown};
use crate::trace::{self, About, Level};
use crate::values::{self, Raw};
use crate::wish::Wish;
use libperl_sys as sys;
use std::rc::Rc;
use std::time::Duration;
use zk_client::{Handle, Sent, Settings};
use zk_proto::connect_string::ConnectString;
use zk_proto::Code;

pub(crate) const SUBS: &[Sub] = &[
    (c"ZooKeeper::_connect", Some(connect)),
    (c"ZooKeeper::_check_hosts", Some(check_hosts)),
    (c"ZooKeeper::_add_auth", Some(add_auth)),
];

static HOSTS: Key = Key::new("hosts");
static TIMEOUT: Key = Key::new("timeout");
static CHANNEL: Key = Key::new("channel");
static DEFAULT_WATCHER: Key = Key::new("default_watcher");
static UTF8: Key = Key::new("utf8");
static READ_ONLY: Key = Key::new("read_only");
static REQUEST_TIMEOUT: Key = Key::new("request_timeout");
static JUTE_MAXBUFFER: Key = Key::new("jute_maxbuffer");
static MAX_IN_FLIGHT: Key = Key::new("max_in_flight");
static EXPIRE_BY_CLOCK: Key = Key::new("expire_by_clock");
static SASL: Key = Key::new("sasl");
static TLS: Key = Key::new("tls");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in [
        &HOSTS,
        &TIMEOUT,
        &CHANNEL,
        &DEFAULT_WATCHER,
        &UTF8,
        &READ_ONLY,
        &REQUEST_TIMEOUT,
        &JUTE_MAXBUFFER,
        &MAX_IN_FLIGHT,
        &EXPIRE_BY_CLOCK,
        &TLS,
        &CLIENT_ID,
        &PASSWD,
        &SASL,
    ] {
        key.prepare(perl);
    }
    sasl::prepare_keys(perl);
}

/// What the options say. `Copy`: reading the next one may die.
#[derive(Clone, Copy)]
struct Wanted {
    hosts: Raw,
    channel: *const Channel,
    session_timeout: Option<Duration>,
    resume: Option<(i64, [u8; 16])>,
    default_watcher: Option<u64>,
    utf8: bool,
    read_only: bool,
    request_timeout: Option<Duration>,
    jute_maxbuffer: Option<usize>,
    max_in_flight: Option<usize>,
    expire_by_clock: bool,
    sasl: Option<sasl::Login>,
    secure: Option<Secure>,
}

callback! {
    /// `_connect($self, \%options)`
    fn connect(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        match open(perl, call) {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

callback! {
    /// `_check_hosts($self, $hosts)`: throws what `_connect` would, and opens nothing.
    fn check_hosts(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        if let Found::Nothing = perl.attached::<Attached>(perl.argument(call, 0)) {
            Thrown::not_initialised(perl, "reopen", "ZooKeeper").throw(perl)
        }
        protect(perl, call);
        let hosts = settled(perl, perl.argument(call, 1));
        let (text, _) = values::text(perl, hosts, false);
        // SAFETY: nothing of Perl has run since the bytes were taken.
        let parse = || ConnectString::parse(unsafe { text.bytes() }).err().map(|e| e.to_string());
        match checked(perl, hosts, parse) {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

/// What is wrong with an argument, if anything, is thrown about these hosts.
pub(crate) fn checked(perl: Perl, hosts: Sv, check: impl FnOnce() -> Option<String>) -> Result<(), Thrown> {
    let mut words = None;
    match (guarded(|| words = check()), &words) {
        (Err(panicked), _) => Err(Thrown::panic(perl, panicked)),
        (Ok(()), Some(words)) => Err(bad(perl, hosts, Code::BAD_ARGUMENTS.0, Some(words))),
        (Ok(()), None) => Ok(()),
    }
}

fn open(perl: Perl, call: Call) -> Result<(), Thrown> {
    let object = perl.argument(call, 0);
    if !object.is_reference() {
        return Err(Thrown::not_initialised(perl, "new", "ZooKeeper"));
    }
    let wanted = options(perl, call)?;
    // Behind what the options run. What is no object may be one of perl's own scalars, which are for all.
    if !object.referent().is_some_and(|referent| referent.is_object()) {
        return Err(Thrown::not_initialised(perl, "new", "ZooKeeper"));
    }
    let former = close_former(perl, object);

    let mut detail = None;
    let opened = guarded(|| start(wanted).map_err(|(code, words)| (detail = words, code).1));
    match opened {
        Err(panicked) => Err(Thrown::panic(perl, panicked)),
        Ok(Err(code)) => {
            // SAFETY: nothing of Perl has run since the options were read.
            let hosts = unsafe { wanted.hosts.bytes() };
            let hosts = perl.new_string(hosts, true).mortal(perl);
            Err(bad(perl, hosts, code, detail.as_deref()))
        }
        Ok(Ok(client)) => {
            // SAFETY: from Box::into_raw.
            note_reopened(former, unsafe { &(*client).0 });
            // SAFETY: from Box::into_raw; live channel: the options hold it.
            unsafe {
                perl.attach(object, Box::from_raw(client));
                (*wanted.channel).decode_paths(wanted.utf8);
            }
            Ok(())
        }
    }
}

/// Pure Rust. What failed: a code, and words about it.
fn start(wanted: Wanted) -> Result<*mut Attached, (i32, Option<String>)> {
    let system = |e: std::io::Error| match e.raw_os_error() {
        Some(errno) => (errno, None),
        None => (Code::SYSTEM_ERROR.0, Some(e.to_string())),
    };
    // SAFETY: nothing of Perl has run since the options were read, and the options own both.
    let (hosts, channel) = unsafe { (wanted.hosts.bytes(), &*wanted.channel) };
    let hosts = ConnectString::parse(hosts).map_err(|e| (Code::BAD_ARGUMENTS.0, Some(e.to_string())))?;
    let mut settings = Settings::new(hosts);
    settings.resume = wanted.resume;
    settings.read_only = wanted.read_only;
    settings.expire_by_clock = wanted.expire_by_clock;
    settings.request_timeout = wanted.request_timeout;
    settings.default_watcher = wanted.default_watcher;
    if let Some(timeout) = wanted.session_timeout {
        settings.session_timeout = timeout;
    }
    if let Some(limit) = wanted.jute_maxbuffer {
        settings.jute_maxbuffer = limit;
    }
    if let Some(most) = wanted.max_in_flight {
        settings.max_in_flight = most;
    }
    // SAFETY: as above.
    settings.sasl = wanted.sasl.map(|login| unsafe { login.texts() });
    if let Some(secure) = wanted.secure {
        // SAFETY: as above.
        let tls = unsafe { secure.settings() };
        settings.tls = Some(tls.map_err(|words| (Code::BAD_ARGUMENTS.0, Some(words)))?);
    }
    let engine = engine().map_err(system)?;
    let handle = Handle::open(engine, settings, channel.sink()).map_err(system)?;
    let client = Rc::new(Client::new(handle, wanted.utf8, channel.calls().clone()));
    Ok(Box::into_raw(Box::new(Attached(client))))
}

/// Settled values first, then what they mean, as in `args`.
fn options(perl: Perl, call: Call) -> Result<Wanted, Thrown> {
    protect(perl, call);
    let options = settled(perl, perl.argument(call, 1));
    let Kind::Hash(options) = options.kind() else {
        return Err(Thrown::croak(perl, "new: options must be a hash ref"));
    };
    let [hosts, timeout, default_watcher, utf8, read_only, request_timeout, jute, most, id, channel] = [
        &HOSTS,
        &TIMEOUT,
        &DEFAULT_WATCHER,
        &UTF8,
        &READ_ONLY,
        &REQUEST_TIMEOUT,
        &JUTE_MAXBUFFER,
        &MAX_IN_FLIGHT,
        &CLIENT_ID,
        &CHANNEL,
    ]
    .map(|key| kept(perl, options.fetch(perl, key)));
    let secure = kept(perl, options.fetch(perl, &TLS));
    let (utf8, read_only) = (utf8.is_true(perl), read_only.is_true(perl));
    let expire_by_clock = kept(perl, options.fetch(perl, &EXPIRE_BY_CLOCK)).is_true(perl);
    let resume = match id.kind() {
        Kind::Hash(hash) => Some([&CLIENT_ID, &PASSWD].map(|k| kept(perl, hash.fetch(perl, k)))),
        _ if !id.is_defined() => None,
        _ => return Err(Thrown::croak(perl, "new: client_id must be a hash ref {client_id, passwd}")),
    };
    let login = sasl::settle(perl, kept(perl, options.fetch(perl, &SASL)))?;
    let channel = match perl.attached::<Channel>(channel) {
        Found::Live(channel) => channel,
        Found::Inert => return Err(Thrown::of_another_thread(perl, "new", "dispatcher")),
        Found::Nothing => return Err(Thrown::croak(perl, "new: channel must be a ZooKeeper::Channel")),
    };
    if hosts.is_reference() || !hosts.is_defined() {
        return Err(Thrown::croak(perl, "new: hosts must be a string"));
    }
    let secure = Secure::read(perl, secure);
    // Nothing of Perl runs from here on.
    let wrong = |words: String| bad(perl, hosts, Code::BAD_ARGUMENTS.0, Some(&words));
    let count = |name: &str, sv: Sv| -> Result<Option<i32>, Thrown> {
        if !sv.is_defined() {
            return Ok(None);
        }
        match values::int32(perl, name, sv).map_err(wrong)? {
            number if number > 0 => Ok(Some(number)),
            number => Err(wrong(format!("{name} {number} is not positive"))),
        }
    };
    let timeout = count("timeout", timeout)?;
    let limit = count("jute_maxbuffer", jute)?;
    let most = count("max_in_flight", most)?;
    Ok(Wanted {
        hosts: values::text(perl, hosts, utf8).0,
        channel,
        session_timeout: timeout.map(|ms| Duration::from_millis(ms as u64)),
        resume: match resume {
            Some([id, passwd]) => Some(session(perl, id, passwd).map_err(wrong)?),
            None => None,
        },
        default_watcher: values::watcher(perl, default_watcher).map_err(wrong)?,
        utf8,
        read_only,
        request_timeout: values::seconds(perl, "request_timeout", request_timeout).map_err(wrong)?,
        jute_maxbuffer: limit.map(|n| n as usize),
        max_in_flight: most.map(|n| n as usize),
        expire_by_clock,
        sasl: sasl::read(perl, login).map_err(wrong)?,
        secure,
    })
}

/// The object had a session before.
fn note_reopened(former: Option<About>, client: &Client) {
    if let (Some(former), true) = (former, trace::wants(Level::Info)) {
        let words = "reopened in place of";
        match former.handle {
            0 => trace::line(Level::Info, client.about(), format_args!("{words} the parent process's")),
            n => trace::line(Level::Info, client.about(), format_args!("{words} #{n}")),
        }
    }
}

/// The session to resume.
fn session(perl: Perl, id: Sv, passwd: Sv) -> Result<(i64, [u8; 16]), String> {
    let number = values::integer(id).and_then(|n| i64::try_from(n).ok());
    let number = number.ok_or_else(|| format!("client_id '{}' is no session", values::shown(perl, id)))?;
    let bytes = values::bytes(perl, passwd);
    // SAFETY: nothing of Perl has run since the bytes were taken.
    let bytes = bytes.map_or(&[][..], |raw| unsafe { raw.bytes() });
    let bytes =
        bytes.try_into().map_err(|_| format!("passwd of client_id has {} bytes, not 16", bytes.len()))?;
    Ok((number, bytes))
}

/// A value of a hash, settled, and alive whatever the others run when they are read.
pub(crate) fn kept(perl: Perl, sv: Sv) -> Sv {
    settled(perl, sv.retain().mortal(perl))
}

pub(crate) fn bad(perl: Perl, path: Sv, code: i32, detail: Option<&str>) -> Thrown {
    Thrown::Raise(Raise {
        op: "new",
        about: About::default(),
        path,
        code,
        detail: detail.map_or(perl.undef(), |d| perl.new_text(d).mortal(perl)),
        maybe_applied: false,
    })
}

callback! {
    /// `_add_auth($scheme, $credentials, $watcher, $request_timeout, $callback, $subject, $span)`
    fn add_auth(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        let outcome = Client::of(perl, call, ADD_AUTH).and_then(|client| {
            let held = Held::open(perl, client, ADD_AUTH);
            let done = authenticate(perl, call, held);
            held.close(perl);
            done
        });
        match outcome {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

const ADD_AUTH: &str = "add_auth";

fn authenticate(perl: Perl, call: Call, held: Held) -> Result<(), Thrown> {
    protect(perl, call);
    let wish = Wish::read(perl, call, 4, held)?;
    let [scheme, credentials, watcher] = [1, 2, 3].map(|index| settled(perl, perl.argument(call, index)));
    for (name, sv) in [("scheme", scheme), ("credentials", credentials)] {
        if sv.is_reference() {
            let words = format!("{ADD_AUTH}: {name} must be a string, not a reference");
            return Err(Thrown::croak(perl, &words));
        }
    }
    let wrong = |words: &str| held.raise(perl, Code::BAD_ARGUMENTS.0, Some(words), false);
    if !scheme.is_defined() {
        return Err(wrong("scheme is undefined"));
    }
    let watcher = values::watcher(perl, watcher).map_err(|words| wrong(&words))?;
    let (scheme, _) = values::text(perl, scheme, held.frame().client.utf8);
    let credentials =
        if credentials.is_defined() { values::bytes(perl, credentials) } else { Some(Raw::EMPTY) };
    let Some(credentials) = credentials else {
        let words = "credentials contain characters above 255; encode them first";
        return Err(Thrown::croak(perl, &format!("{ADD_AUTH}: {words}")));
    };
    held.block_signals();
    let done = caught(|| {
        let frame = held.frame();
        let client = &frame.client;
        // SAFETY: nothing of Perl has run since they were taken.
        let (scheme, credentials) = unsafe { (scheme.bytes(), credentials.bytes()) };
        let outcome = match wish.callback {
            None => client.handle().add_auth(scheme, credentials, watcher),
            Some(callback) => {
                let is_traced = wish.span.is_some();
                let posted = callback.posted(client, &frame.buffers, ADD_AUTH, Shape::Nothing, is_traced);
                client.post(posted, |id| {
                    let handle = client.handle();
                    handle.post_auth(scheme, credentials, id, watcher, wish.within).map(|()| false)
                })
            }
        };
        frame.traced = outcome.is_ok().then(|| (Sent::authentication(scheme, credentials), None));
        frame.reply = outcome.err().map(Err);
    });
    match done {
        Err(panicked) => Err(Thrown::panic(perl, panicked)),
        Ok(()) => held.if_refused(perl).and_then(|()| wish.begun(perl, held)),
    }
}
