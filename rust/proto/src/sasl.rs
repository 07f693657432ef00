//! SASL: proving who one is without saying the password.
//!
//! ZooKeeper wraps the steps of a mechanism into requests with opcode 102. Of the mechanisms that its
//! servers know (DIGEST-MD5 and GSSAPI) the first is here.

pub mod digest_md5;

use crate::Code;
use std::fmt;

/// Who logs in on every connection, with DIGEST-MD5.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// As good as the session: neither logged nor shown.
    pub password: String,
    /// What the client's nonces are made of. Whoever can predict those can have a table of responses
    /// ready for a server of his own, or play a recorded proof of a real one: this must come from the
    /// system's source of randomness. The seed of the session's other random numbers is not enough:
    /// it has 64 bits that stem from a clock.
    pub entropy: [u8; 32],
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why a login failed. Nothing that is secret has a place in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SaslError {
    /// The server's word: unknown user, wrong password.
    #[error("the server refused the SASL login ({})", .0.0)]
    Refused(Code),
    /// An answer without a challenge.
    #[error("the server has no SASL configuration")]
    NotConfigured,
    /// What the server sent first is no challenge of DIGEST-MD5.
    #[error("the server's SASL challenge makes no sense: {0}")]
    Challenge(&'static str),
    /// A challenge that demands what is not offered here.
    #[error("the server's SASL challenge demands something else than {0}")]
    Demand(&'static str),
    /// The server does not take UTF-8, and there are characters beyond ISO 8859-1.
    #[error("the server takes no characters above 255 in the {0}")]
    Characters(&'static str),
    /// RFC 2831 has a limit of 4096 bytes for it, and `jute_maxbuffer` may be lower.
    #[error("the SASL response of {0} bytes is too long")]
    Length(usize),
    /// The server does not know the password either.
    #[error("the server did not prove that it knows the password")]
    Unproven,
}
