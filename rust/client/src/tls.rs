//! Connections by TLS: what a handle is told about them, and the streams.
//!
//! The cargo feature `tls` (on by default) brings rustls. Without it all is here as well, so that nobody else
//! has to ask, but no [`Tls`] can be made.

#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod words;

#[cfg(feature = "tls")]
pub use config::Tls;
#[cfg(feature = "tls")]
pub(crate) use stream::Stream;

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(not(feature = "tls"))]
pub(crate) use absent::Stream;
#[cfg(not(feature = "tls"))]
pub use absent::Tls;

use std::path::PathBuf;

/// Whether this build has TLS.
pub const AVAILABLE: bool = cfg!(feature = "tls");

/// What the user says of TLS. Files are PEM.
#[derive(Clone, Debug)]
pub struct Options {
    /// The authorities that are trusted; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, and those between it and the authority.
    pub cert_file: Option<PathBuf>,
    /// Its key; without it, the key is in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Revocation lists: a certificate on one of them is refused. Certificates of authorities that no list
    /// is from are not concerned.
    pub crl_file: Option<PathBuf>,
    /// The server's certificate has to be for the name, or address, that it is reached by.
    pub verify_hostname: bool,
    /// The name that it has to be for instead, which the server is asked for as well (SNI).
    pub server_name: Option<String>,
    /// `1.2` (the default) or `1.3`.
    pub min_version: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ca_file: None,
            cert_file: None,
            key_file: None,
            crl_file: None,
            verify_hostname: true,
            server_name: None,
            min_version: None,
        }
    }
}
