//! The login by SASL: on every connection, between the handshake and everything else.
//!
//! A server that demands it answers any other request, a ping as well, with -124 and closes the
//! connection; so nothing overtakes, and the session does not count as connected before the end of it.
//! Source: `ZooKeeperServer.processSasl` and `AuthenticationHelper`; seen on 3.8.0 and 3.9.3.

use super::{Failure, Phase, Session};
use crate::note::{Level, Note};
use crate::record::{decode_token, ReplyHeader, SaslToken};
use crate::sasl::digest_md5::{respond, Proof};
use crate::sasl::SaslError;
use crate::time::Time;
use crate::wire::DecodeError;
use crate::Code;
use bytes::Bytes;

/// Where the login stands on this connection.
#[derive(Debug, Default)]
pub(super) struct Sasl {
    exchange: Option<Exchange>,
    /// How many there were.
    count: u64,
    /// Why the session ended, if this is why.
    end: Option<String>,
}

#[derive(Debug)]
struct Exchange {
    /// The request that the server has yet to answer.
    xid: i32,
    /// What its answer must hold; `None` while that is the challenge.
    proof: Option<Proof>,
}

impl Sasl {
    /// A lost connection answers nothing more.
    pub(super) fn connection_lost(&mut self) {
        self.exchange = None;
    }

    pub(super) fn is_answer(&self, xid: i32) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.xid == xid)
    }

    /// What is to be said to those who find the session over with this code.
    pub(super) fn detail(&self, code: Code) -> Option<String> {
        self.end.clone().filter(|_| code == Code::AUTH_FAILED)
    }
}

impl Session {
    /// After the handshake: asks for a challenge. False if there is nobody to log in.
    pub(super) fn start_sasl(&mut self, now: Time, deadline: Time, read_only: bool) -> bool {
        if self.config.sasl.is_none() {
            return false;
        }
        // The server may have granted less than was wished for, and gets no pings before the end.
        let deadline = deadline.min(now + self.connect_limit());
        self.phase = Phase::Authenticating { deadline, read_only };
        self.sasl.count += 1;
        self.notes.leave(Level::Info, || Note::SaslSent);
        // DIGEST-MD5 begins with the server. Its code wants a token all the same: an empty one, not null.
        self.send_sasl(b"", None);
        true
    }

    fn send_sasl(&mut self, token: &[u8], proof: Option<Proof>) {
        let xid = self.xids.next();
        SaslToken(token).encode(xid, &mut self.out);
        self.sasl.exchange = Some(Exchange { xid, proof });
        self.counted.sent += 1;
    }

    /// The server's next step.
    pub(super) fn handle_sasl(
        &mut self,
        now: Time,
        header: ReplyHeader,
        body: Bytes,
    ) -> Result<(), DecodeError> {
        let Some(Exchange { proof, .. }) = self.sasl.exchange.take() else { return Ok(()) };
        if self.closing.is_some() {
            return Ok(()); // closeSession is behind it, and nobody wants to know any more
        }
        // A refusal's body holds a null token, and need not be there.
        let token = if header.code == Code::OK { decode_token(body)? } else { None };
        match self.judge_sasl(header.code, token.as_deref(), proof.as_ref()) {
            Ok(Some((token, proof))) => self.send_sasl(&token, Some(proof)),
            Ok(None) => {
                self.notes.leave(Level::Info, || Note::SaslAccepted);
                if let Phase::Authenticating { read_only, .. } = self.phase {
                    self.establish(now, read_only);
                }
            }
            Err(error) => self.end_for_sasl(error.to_string()),
        }
        Ok(())
    }

    /// The response to a challenge, with the proof that is to follow; nothing when that has come.
    fn judge_sasl(
        &self,
        code: Code,
        token: Option<&[u8]>,
        proof: Option<&Proof>,
    ) -> Result<Option<(Vec<u8>, Proof)>, SaslError> {
        if code != Code::OK {
            return Err(SaslError::Refused(code));
        }
        match (proof, token) {
            // Null is also how a server answers that has refused, and lets everybody in all the same
            // (`allowSaslFailedClients`): it would be a session without the identity that was asked for.
            (Some(proof), token) => proof.check(token.unwrap_or_default()).map(|()| None),
            (None, None | Some([])) => Err(SaslError::NotConfigured),
            (None, Some(challenge)) => {
                let login = self.config.sasl.as_ref().ok_or(SaslError::NotConfigured)?;
                let (token, proof) = respond(login, self.sasl.count, challenge)?;
                // Xid, opcode, length.
                match token.len() + 12 {
                    length if length > self.config.jute_maxbuffer => Err(SaslError::Length(token.len())),
                    _ => Ok(Some((token, proof))),
                }
            }
        }
    }

    /// A server has answered something else with -124. It closes the connection, and any other
    /// would be closed as well: only another configuration helps.
    pub(super) fn sasl_demanded(&mut self) {
        if self.over().is_none() {
            self.end_for_sasl("the server demands another authentication, as by SASL".to_owned());
        }
    }

    /// Whether the login by SASL is under way.
    pub fn is_logging_in(&self) -> bool {
        matches!(self.phase, Phase::Authenticating { .. })
    }

    /// What every further request is answered with, once the session is over.
    pub fn end_of_session(&self) -> Option<Failure> {
        self.over().map(|code| Failure { detail: self.sasl.detail(code), ..Failure::new(code) })
    }

    fn end_for_sasl(&mut self, why: String) {
        self.notes.leave(Level::Error, || Note::SaslFailed(self.server.clone(), why.clone()));
        self.sasl.end = Some(why);
        self.lose_for_good(Code::AUTH_FAILED);
    }
}
