//! What every command takes behind its own arguments: how long it may take, and who is told.

use crate::args::argument;
use crate::blocking::{Buffers, Held};
use crate::handle::Client;
use crate::perl::{Call, Perl, Sv};
use crate::posted::Posted;
use crate::results::Shape;
use crate::thrown::Thrown;
use crate::values;
use std::rc::Rc;
use std::time::Duration;
use zk_client::Failure;
use zk_proto::Code;

/// These arguments, read.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// The time that it may take, if not the handle's.
    pub(crate) within: Option<Duration>,
    /// Nobody waits: this is called.
    pub(crate) callback: Option<Callback>,
}

/// What is called, and with what as its first argument, if anything: temporaries keep both alive until
/// [`posted`](Callback::posted), whatever Perl code the other arguments run.
#[derive(Clone, Copy)]
pub(crate) struct Callback {
    function: Sv,
    subject: Option<Sv>,
}

impl Wish {
    /// Reads the arguments from this index on: seconds, callback, subject. Also notes where the call was
    /// made. May run Perl code and die.
    pub(crate) fn read(perl: Perl, call: Call, index: usize, held: Held) -> Result<Wish, Thrown> {
        if call.items <= index {
            return Ok(Wish { within: None, callback: None });
        }
        let seconds = argument(perl, call, index);
        let [function, subject] = [1, 2].map(|n| perl.argument(call, index + n));
        let within = match values::seconds(perl, "request_timeout", seconds) {
            Ok(Some(Duration::ZERO)) => Err("request_timeout 0 leaves no time for an answer".to_owned()),
            read => read,
        };
        let within = within.map_err(|words| held.raise(perl, Code::BAD_ARGUMENTS.0, Some(&words), false))?;
        if !function.is_reference() {
            return Ok(Wish { within, callback: None });
        }
        let keep = |sv: Sv| sv.retain().mortal(perl);
        let own = function.referent().filter(|referent| referent.is_function());
        let callback =
            Callback { function: keep(own.unwrap_or(function)), subject: subject.referent().map(keep) };
        note_place(perl, held);
        Ok(Wish { within, callback: Some(callback) })
    }
}

impl Callback {
    /// For the table of posted calls.
    pub(crate) fn posted(
        self,
        client: &Rc<Client>,
        buffers: &Buffers,
        op: &'static str,
        shape: Shape,
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
