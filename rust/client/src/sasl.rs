//! What a login by SASL takes from the system.

use rustix::rand::{getrandom, GetRandomFlags};
use std::io;
use zk_proto::sasl::Login;

/// User name and password, with the entropy that the session's nonces for the login are made of.
pub(crate) fn login((username, password): (String, String)) -> io::Result<Login> {
    let mut entropy = [0; 32];
    // Up to 256 bytes come in one piece or not at all.
    match getrandom(&mut entropy, GetRandomFlags::empty())? {
        32 => Ok(Login { username, password, entropy }),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
