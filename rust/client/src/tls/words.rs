//! What failed, in words for people who did not read the RFCs.

use crate::log::Utc;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use std::time::Duration;

/// The server has closed the connection during the handshake, without an alert. One that speaks no TLS
/// finds that what it gets makes no sense; there may be other reasons.
pub(super) const CUT: &str = "the server closed the connection in the handshake (is this its port for TLS?)";

/// Why a connection failed. `shown`: the client has a certificate.
pub(super) fn failure(error: &Error, shown: bool) -> String {
    match error {
        Error::InvalidCertificate(_) => format!("the server's certificate {}", certificate(error)),
        Error::AlertReceived(alert) => alerted(*alert, shown),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => "what the server sent is not TLS (is this its port for TLS?)".to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server offers no version of TLS that is wanted here (min_version)".to_owned(),
        Error::PeerIncompatible(why) => format!("the server is not compatible: {why:?}"),
        other => other.to_string(),
    }
}

/// What is wrong with a certificate, as the end of a sentence about it.
pub(super) fn certificate(error: &Error) -> String {
    let Error::InvalidCertificate(why) = error else { return error.to_string() };
    match why {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("has expired at {}", at(not_after.as_secs()))
        }
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}", at(not_before.as_secs()))
        }
        CertificateError::Revoked => "has been revoked".to_owned(),
        CertificateError::UnknownIssuer => {
            "is from an authority that is not trusted here (ca_file)".to_owned()
        }
        CertificateError::BadSignature => {
            "has a signature that is not of the authority that it names (ca_file)".to_owned()
        }
        CertificateError::NotValidForName => "is for another name than the server's".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("is not for {}, but for {names}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers (its extended key usage)".to_owned()
        }
        other => match other.to_string() {
            words if words.contains("CaUsedAsEndEntity") => {
                "is one of an authority, which no server may use as its own (CA:TRUE)".to_owned()
            }
            words if words.contains("UnsupportedCertVersion") => {
                "is of version 1, without extensions".to_owned()
            }
            words => format!("is not valid: {words}"),
        },
    }
}

/// `DnsName("x")` and `IpAddress(127.0.0.1)`: what is in them.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// Seconds since 1970 as certificates have them: without fractions.
fn at(seconds: u64) -> String {
    let shown = Utc(Duration::from_secs(seconds)).to_string();
    shown.replace(".000000", "")
}

/// The server has refused. Source: RFC 8446, 6.2, and what Java's servers send in which case.
fn alerted(alert: AlertDescription, shown: bool) -> String {
    use AlertDescription as A;
    let why = match alert {
        A::CertificateRequired => "the server wants a client certificate (cert_file)",
        A::BadCertificate | A::HandshakeFailure | A::NoCertificate if !shown => {
            "the server refused the handshake; perhaps it wants a client certificate (cert_file)"
        }
        A::CertificateExpired => "the server found the client certificate expired",
        A::CertificateRevoked => "the server found the client certificate revoked",
        A::UnknownCA | A::CertificateUnknown | A::BadCertificate | A::UnsupportedCertificate if shown => {
            "the server does not accept the client certificate"
        }
        A::AccessDenied => "the server denies access to this client",
        A::ProtocolVersion => "the server has no version of TLS that is wanted here (min_version)",
        A::HandshakeFailure | A::InsufficientSecurity => {
            "the server has no cipher suite in common with the client, or does not accept it"
        }
        A::UnrecognisedName => "the server does not know the name that it was asked for (server_name)",
        A::InternalError => "the server failed in the handshake",
        _ => "the server refused",
    };
    format!("{why} [alert {alert:?}]")
}
