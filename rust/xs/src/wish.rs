//! What every command takes behind its own arguments: how long it may take, who is told, and who traces it.

use crate::args::argument;
use crate::blocking::{Buffers, Held};
use crate::guard::guarded;
use crate::handle::Client;
use crate::perl::{Call, Perl, Sv};
use crate::posted::Posted;
use crate::results::Shape;
use crate::thrown::Thrown;
use crate::values;
use std::rc::Rc;
use std::time::Duration;
use zk_client::{Failure, Sent};
use zk_proto::Code;

/// These arguments, read.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// The time that it may take, if not the handle's.
    pub(crate) within: Option<Duration>,
    /// Nobody waits: this is called.
    pub(crate) callback: Option<Callback>,
    /// Somebody traces it: what lib/ZooKeeper/Tracer.pm keeps of the call.
    pub(crate) span: Option<Sv>,
}

/// What is called, and with what as its first argument, if anything: temporaries keep both alive until
/// [`posted`](Callback::posted), whatever Perl code the other arguments run.
#[derive(Clone, Copy)]
pub(crate) struct Callback {
    function: Sv,
    subject: Option<Sv>,
}

impl Wish {
    /// Reads the arguments from this index on: seconds, callback, subject, span. Also notes where the call was
    /// made. May run Perl code and die.
    pub(crate) fn read(perl: Perl, call: Call, index: usize, held: Held) -> Result<Wish, Thrown> {
        if call.items <= index {
            return Ok(Wish { within: None, callback: None, span: None });
        }
        let seconds = argument(perl, call, index);
        let [function, subject, span] = [1, 2, 3].map(|n| perl.argument(call, index + n));
        let within = match values::seconds(perl, "request_timeout", seconds) {
            Ok(Some(Duration::ZERO)) => Err("request_timeout 0 leaves no time for an answer".to_owned()),
            read => read,
        };
        let within = within.map_err(|words| held.raise(perl, Code::BAD_ARGUMENTS.0, Some(&words), false))?;
        let keep = |sv: Sv| sv.retain().mortal(perl);
        let span = span.is_reference().then(|| keep(span));
        if !function.is_reference() {
            return Ok(Wish { within, callback: None, span });
        }
        let own = function.referent().filter(|referent| referent.is_function());
        let callback =
            Callback { function: keep(own.unwrap_or(function)), subject: subject.referent().map(keep) };
        note_place(perl, held);
        Ok(Wish { within, callback: Some(callback), span })
    }

    /// The request was handed over, or waits: tells who traces it.
    pub(crate) fn begun(&self, perl: Perl, held: Held) -> Result<(), Thrown> {
        let (Some(span), Some((sent, _))) = (self.span, held.frame().traced) else { return Ok(()) };
        let bytes = perl.new_unsigned(sent.bytes as u64).mortal(perl);
        let xid = number(perl, sent.xid);
        held.let_perl_run(perl, || perl.call_apart(c"ZooKeeper::Tracer::_begun", &[span, xid, bytes]))
    }

    /// A request that waited is answered: tells the number that it has got.
    pub(crate) fn answered(&self, perl: Perl, held: Held) {
        let Some((Sent { xid: None, .. }, Some(ticket))) = held.frame().traced else { return };
        let xid = guarded(|| held.frame().client.handle().fetch_xid(ticket)).unwrap_or(None);
        if let (Some(span), Some(_)) = (self.span, xid) {
            perl.call_apart(c"ZooKeeper::Tracer::_numbered", &[span, number(perl, xid)]);
        }
    }
}

/// An xid for Perl.
pub(crate) fn number(perl: Perl, xid: Option<i32>) -> Sv {
    xid.map_or(perl.undef(), |xid| perl.new_integer(xid.into()).mortal(perl))
}

impl Callback {
    /// For the table of posted calls.
    pub(crate) fn posted(
        self,
        client: &Rc<Client>,
        buffers: &Buffers,
        op: &'static str,
        shape: Shape,
        is_traced: bool,
    ) -> Posted {
        let (words, path, is_text) = buffers.words();
        Posted {
            callback: self.function.retain(),
            subject: self.subject.map(Sv::retain),
            client: client.clone(),
            op,
            shape,
            words,
            path,
            is_text,
            is_traced,
        }
    }
}

/// Where the program made the call, as `die` would say it: an error that comes later can't find out.
fn note_place(perl: Perl, held: Held) {
    if perl.place_of_caller(&mut held.buffers().at) {
        return;
    }
    // It takes a closer look: the frames above may be ours, or Moo's.
    let at = perl.call_for_scalar(c"ZooKeeper::Error::_at_caller", &[]);
    held.buffers().at.extend_from_slice(at.stored_bytes());
}

impl Client {
    /// Keeps the call and makes the request with its id. `Err` is for the caller, and then there is no call;
    /// what else goes wrong is the answer.
    pub(crate) fn post(
        self: &Rc<Self>,
        posted: Posted,
        request: impl FnOnce(u64) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let id = self.calls.add(posted);
        match request(id) {
            Ok(true) => self.calls.hold(self),
            Ok(false) => {}
            Err(failure) if failure.code == Code::BAD_ARGUMENTS => {
                self.calls.refuse(id);
                return Err(failure);
            }
            Err(failure) => self.calls.answer(id, failure),
        }
        Ok(())
    }
}
