//! What stands in the place of TLS in a build without it.

use super::Options;
use crate::conn::Trouble;
use crate::forking::Registered;
use std::convert::Infallible;

/// Settings for connections by TLS; there are none in this build.
#[derive(Clone, Debug)]
pub struct Tls(Infallible);

impl Tls {
    /// Never succeeds.
    ///
    /// # Errors
    /// This build has no TLS.
    pub fn new(_: &Options) -> Result<Tls, String> {
        Err("tls: this build of ZooKeeper has no TLS (PERL_ZOOKEEPER_TLS was 0 when it was built)".to_owned())
    }
}

#[derive(Debug)]
pub(crate) struct Stream(Infallible);

impl Stream {
    pub(crate) fn open(tls: &Tls, _: &str) -> Result<Stream, Trouble> {
        match tls.0 {}
    }

    pub(crate) fn shake_hands(&mut self, _: &Registered) -> Result<bool, Trouble> {
        match self.0 {}
    }

    pub(crate) fn recv(
        &mut self,
        _: &Registered,
        _: &mut [u8],
        _: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Trouble> {
        match self.0 {}
    }

    pub(crate) fn send(&mut self, _: &Registered, _: &[u8]) -> Result<usize, Trouble> {
        match self.0 {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn say_goodbye(&mut self, _: &Registered) {
        match self.0 {}
    }

    pub(crate) fn parameters(&self) -> String {
        match self.0 {}
    }
}
