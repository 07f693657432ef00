//! The option `sasl`: who logs in.
//!
//! `ZooKeeper::Settings` has judged it, with words for its users, before anything was opened or
//! closed; here it is only taken.

use crate::args::settled;
use crate::perl::{Key, Kind, Perl, Sv};
use crate::thrown::Thrown;
use crate::values::{self, Raw};

static USERNAME: Key = Key::new("username");
static PASSWORD: Key = Key::new("password");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in [&USERNAME, &PASSWORD] {
        key.prepare(perl);
    }
}

/// Settled values of the option: reading them may have run Perl code.
pub(crate) type Settled = Option<[Sv; 2]>;

/// What a login takes, in UTF-8: it is text, not bytes, and how it is encoded depends on the server.
#[derive(Clone, Copy)]
pub(crate) struct Login {
    username: Raw,
    password: Raw,
}

impl Login {
    /// # Safety
    /// No Perl code has run since it was read.
    pub(crate) unsafe fn texts(self) -> (String, String) {
        // SAFETY: see above.
        let [username, password] = [self.username, self.password].map(|raw| unsafe { raw.bytes() });
        // Checked when it was read.
        [username, password].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).into()
    }
}

/// The values, which stay alive as long as the call.
pub(crate) fn settle(perl: Perl, option: Sv) -> Result<Settled, Thrown> {
    let kept = |sv: Sv| settled(perl, sv.retain().mortal(perl));
    match option.kind() {
        Kind::Hash(hash) => Ok(Some([&USERNAME, &PASSWORD].map(|key| kept(hash.fetch(perl, key))))),
        _ if !option.is_defined() => Ok(None),
        _ => Err(Thrown::croak(perl, "new: sasl must be a hash ref {mechanism, username, password}")),
    }
}

/// Runs no Perl code. What is wrong, in words, otherwise; a password is not shown in them.
pub(crate) fn read(perl: Perl, settled: Settled) -> Result<Option<Login>, String> {
    let Some([username, password]) = settled else { return Ok(None) };
    let text = |name: &str, sv: Sv| {
        if !sv.is_defined() || sv.is_reference() {
            return Err(format!("sasl: {name} is missing"));
        }
        let (raw, _) = values::text(perl, sv, true);
        // SAFETY: nothing of Perl has run since.
        match std::str::from_utf8(unsafe { raw.bytes() }) {
            Ok(_) => Ok(raw),
            Err(_) => Err(format!("sasl: {name} holds what is no Unicode character")),
        }
    };
    Ok(Some(Login { username: text("username", username)?, password: text("password", password)? }))
}
