//! Error codes: a number that survives whatever the server says, with names for the known ones.

use std::fmt;

/// An error code of the protocol, or one that the client makes itself.
///
/// Unknown codes are kept as they came. Source: `KeeperException.Code` of Apache ZooKeeper, and
/// `ZOO_ERRORS` of its C client for those that only clients make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub i32);

impl Code {
    /// Success.
    pub const OK: Code = Code(0);
    /// The server or the client failed inside.
    pub const SYSTEM_ERROR: Code = Code(-1);
    /// An invariant was broken; in a failed transaction: an operation after the culprit.
    pub const RUNTIME_INCONSISTENCY: Code = Code(-2);
    /// The server's data is inconsistent.
    pub const DATA_INCONSISTENCY: Code = Code(-3);
    /// The connection was lost, or there was none in time. Made by the client.
    pub const CONNECTION_LOSS: Code = Code(-4);
    /// A request or reply could not be encoded or decoded.
    pub const MARSHALLING_ERROR: Code = Code(-5);
    /// The server does not know the operation.
    pub const UNIMPLEMENTED: Code = Code(-6);
    /// No reply in time. Made by the client.
    pub const OPERATION_TIMEOUT: Code = Code(-7);
    /// An argument is not valid.
    pub const BAD_ARGUMENTS: Code = Code(-8);
    /// The handle is closed or belongs to another process. Made by the client.
    pub const INVALID_STATE: Code = Code(-9);
    /// The server does not know the session of a request.
    pub const UNKNOWN_SESSION: Code = Code(-12);
    /// A new configuration of the ensemble would have no quorum.
    pub const NEW_CONFIG_NO_QUORUM: Code = Code(-13);
    /// Another reconfiguration is under way.
    pub const RECONFIG_IN_PROGRESS: Code = Code(-14);
    /// The TLS connection failed. Made by the client.
    pub const SSL_CONNECTION_ERROR: Code = Code(-15);
    /// The bound of the codes that are about the operation and not the system; never sent.
    pub const API_ERROR: Code = Code(-100);
    /// The node does not exist.
    pub const NO_NODE: Code = Code(-101);
    /// The session has no permission.
    pub const NO_AUTH: Code = Code(-102);
    /// The version given is not the node's.
    pub const BAD_VERSION: Code = Code(-103);
    /// Ephemeral nodes have no children.
    pub const NO_CHILDREN_FOR_EPHEMERALS: Code = Code(-108);
    /// The node exists already.
    pub const NODE_EXISTS: Code = Code(-110);
    /// The node has children.
    pub const NOT_EMPTY: Code = Code(-111);
    /// The server has expired the session.
    pub const SESSION_EXPIRED: Code = Code(-112);
    /// A callback is not valid. Made by the client.
    pub const INVALID_CALLBACK: Code = Code(-113);
    /// The ACL is not valid.
    pub const INVALID_ACL: Code = Code(-114);
    /// Authentication was refused.
    pub const AUTH_FAILED: Code = Code(-115);
    /// The handle was closed while the request was under way. Made by the client.
    pub const CLOSING: Code = Code(-116);
    /// No reply to process. Made by the client.
    pub const NOTHING: Code = Code(-117);
    /// The session has moved to another server.
    pub const SESSION_MOVED: Code = Code(-118);
    /// The server is read-only now, and the operation is none that it can do.
    pub const NOT_READ_ONLY: Code = Code(-119);
    /// A local session can't own an ephemeral node.
    pub const EPHEMERAL_ON_LOCAL_SESSION: Code = Code(-120);
    /// The server has no such watch.
    pub const NO_WATCHER: Code = Code(-121);
    /// No reply in time. Made by the Java client.
    pub const REQUEST_TIMEOUT: Code = Code(-122);
    /// Reconfiguration is switched off.
    pub const RECONFIG_DISABLED: Code = Code(-123);
    /// The server demands SASL authentication and closes the session.
    pub const SESSION_CLOSED_REQUIRE_SASL_AUTH: Code = Code(-124);
    /// A quota of the tree would be exceeded.
    pub const QUOTA_EXCEEDED: Code = Code(-125);
    /// The server throttles; the request was not executed.
    pub const THROTTLED_OP: Code = Code(-127);

    /// What the code means, in the words of the C client's `zerror` where it knows the code, else
    /// in our own. Positive numbers are the operating system's errors, whose text is not known
    /// here; they and all others are `unknown error`.
    pub const fn text(self) -> &'static str {
        match self {
            Code::OK => "ok",
            Code::SYSTEM_ERROR => "system error",
            Code::RUNTIME_INCONSISTENCY => "run time inconsistency",
            Code::DATA_INCONSISTENCY => "data inconsistency",
            Code::CONNECTION_LOSS => "connection loss",
            Code::MARSHALLING_ERROR => "marshalling error",
            Code::UNIMPLEMENTED => "unimplemented",
            Code::OPERATION_TIMEOUT => "operation timeout",
            Code::BAD_ARGUMENTS => "bad arguments",
            Code::INVALID_STATE => "invalid zhandle state",
            Code::UNKNOWN_SESSION => "unknown session",
            Code::NEW_CONFIG_NO_QUORUM => "no quorum of the new configuration",
            Code::RECONFIG_IN_PROGRESS => "another reconfiguration is in progress",
            Code::SSL_CONNECTION_ERROR => "tls connection error",
            Code::API_ERROR => "api error",
            Code::NO_NODE => "no node",
            Code::NO_AUTH => "not authenticated",
            Code::BAD_VERSION => "bad version",
            Code::NO_CHILDREN_FOR_EPHEMERALS => "no children for ephemerals",
            Code::NODE_EXISTS => "node exists",
            Code::NOT_EMPTY => "not empty",
            Code::SESSION_EXPIRED => "session expired",
            Code::INVALID_CALLBACK => "invalid callback",
            Code::INVALID_ACL => "invalid acl",
            Code::AUTH_FAILED => "authentication failed",
            Code::CLOSING => "zookeeper is closing",
            Code::NOTHING => "(not error) no server responses to process",
            Code::SESSION_MOVED => "session moved to another server",
            Code::NOT_READ_ONLY => "server is read-only",
            Code::EPHEMERAL_ON_LOCAL_SESSION => "ephemeral node on a local session",
            Code::NO_WATCHER => "no such watcher",
            Code::REQUEST_TIMEOUT => "request timeout",
            Code::RECONFIG_DISABLED => "reconfiguration is disabled",
            Code::SESSION_CLOSED_REQUIRE_SASL_AUTH => "session closed: sasl authentication required",
            Code::QUOTA_EXCEEDED => "quota exceeded",
            Code::THROTTLED_OP => "operation throttled",
            _ => "unknown error",
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.0)
    }
}

/// Text and number: `no node (-101)`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_c_client() {
        for (code, text) in [
            (0, "ok"),
            (-2, "run time inconsistency"),
            (-9, "invalid zhandle state"),
            (-101, "no node"),
            (-102, "not authenticated"),
            (-117, "(not error) no server responses to process"),
        ] {
            assert_eq!(Code(code).text(), text);
        }
    }

    #[test]
    fn every_number_of_the_protocol_has_a_text_of_its_own() {
        let known: Vec<i32> = (-200..=0).rev().filter(|code| Code(*code).text() != "unknown error").collect();
        let mut expected: Vec<i32> = (0..=9).chain(12..=15).map(|n| -n).collect();
        expected.extend([-100, -101, -102, -103, -108]);
        expected.extend((110..=125).map(|n| -n));
        expected.push(-127);
        assert_eq!(known, expected);
        let texts: std::collections::HashSet<_> = known.iter().map(|c| Code(*c).text()).collect();
        assert_eq!(texts.len(), known.len());
    }

    #[test]
    fn unknown_numbers_survive() {
        assert_eq!(Code(-4711).to_string(), "unknown error (-4711)");
        assert_eq!(Code(2).text(), "unknown error");
        assert_eq!(Code::NO_NODE.to_string(), "no node (-101)");
    }
}
