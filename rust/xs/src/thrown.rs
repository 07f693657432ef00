//! Exceptions: the facts, carried as `Copy` values until nothing else is alive.

use crate::guard::{last_panic, Panicked};
use crate::perl::{Perl, Sv};
use crate::trace::{self, About};

/// An exception to throw as the last act of an XSUB. The scalars are mortal.
#[derive(Clone, Copy)]
pub(crate) enum Thrown {
    /// A ZooKeeper::Error; lib/ composes the message.
    Raise(Raise),
    /// A plain message: wrong Perl types.
    Croak(Sv),
}

/// The facts of a ZooKeeper::Error.
#[derive(Clone, Copy)]
pub(crate) struct Raise {
    /// The method's name.
    pub(crate) op: &'static str,
    /// Whose method, for the trace.
    pub(crate) about: About,
    /// The path as the user would know it, or undef.
    pub(crate) path: Sv,
    /// A code of the protocol, or a positive error number of the system.
    pub(crate) code: i32,
    /// More about it, or undef.
    pub(crate) detail: Sv,
    /// A write whose outcome is unknown.
    pub(crate) maybe_applied: bool,
}

impl Raise {
    /// As lib/ takes them.
    pub(crate) fn arguments(&self, perl: Perl) -> [Sv; 5] {
        [
            perl.new_text(self.op).mortal(perl),
            self.path,
            perl.new_integer(self.code.into()).mortal(perl),
            self.detail,
            perl.boolean(self.maybe_applied),
        ]
    }
}

impl Thrown {
    /// A plain message.
    pub(crate) fn croak(perl: Perl, message: &str) -> Thrown {
        Thrown::Croak(perl.new_text(message).mortal(perl))
    }

    /// A method was called on something that isn't what the method needs.
    pub(crate) fn not_initialised(perl: Perl, op: &str, class: &str) -> Thrown {
        Thrown::croak(perl, &format!("{op}: not an initialised {class} object"))
    }

    /// The object is a copy that came into being with an ithread.
    pub(crate) fn of_another_thread(perl: Perl, op: &str, what: &str) -> Thrown {
        Thrown::croak(perl, &format!("{op}: a {what} can't be used in another thread"))
    }

    /// A bug of ours.
    pub(crate) fn panic(perl: Perl, _: Panicked) -> Thrown {
        let words = last_panic();
        trace::panicked(&words);
        let message = format!("ZooKeeper: internal error: {words}");
        Thrown::croak(perl, &message)
    }

    /// A ZooKeeper::Error with a code and a sentence, and no path.
    pub(crate) fn raise(perl: Perl, op: &'static str, code: i32, detail: Option<&str>) -> Thrown {
        Thrown::Raise(Raise {
            op,
            about: About::default(),
            path: perl.undef(),
            code,
            detail: detail.map_or(perl.undef(), |d| perl.new_text(d).mortal(perl)),
            maybe_applied: false,
        })
    }

    /// The same with a path, when that can be read without running anything.
    pub(crate) fn about(self, perl: Perl, path: Sv) -> Thrown {
        match self {
            Thrown::Raise(raise) if path.has_string() && !path.has_get_magic() => {
                let path = path.copy(perl);
                Thrown::Raise(Raise { path, ..raise })
            }
            other => other,
        }
    }

    /// Leaves the XSUB by perl's `longjmp`: nothing with a destructor may be alive.
    pub(crate) fn throw(self, perl: Perl) -> ! {
        match self {
            Thrown::Croak(message) => perl.call_to_die(c"ZooKeeper::Error::_croak", &[message]),
            Thrown::Raise(r) => {
                trace::failed(&r);
                perl.call_to_die(c"ZooKeeper::Error::_raise", &r.arguments(perl))
            }
        }
    }
}
