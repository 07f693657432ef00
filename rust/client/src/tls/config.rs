//! From the user's options and files to what connections are made with.

use super::{words, Options};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Settings for connections by TLS, made once for a handle: files are read then and never again. Clones
/// share them, and what is remembered to resume TLS sessions.
#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: Option<ServerName<'static>>,
    /// There is a certificate to show.
    pub(super) has_certificate: bool,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong, with the option's name and the file's.
    pub fn new(options: &Options) -> Result<Tls, String> {
        // Before the files: what is wrong with the program itself comes first.
        let versions = versions(options.min_version.as_deref())?;
        let server_name = options.server_name.as_deref().map(server_name).transpose()?;
        // Of its own, and not the process's default: what others set has no influence here.
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(options, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| format!("tls: {error}"))?
            .dangerous() // which a verifier of one's own is, in general; ours is the usual one
            .with_custom_certificate_verifier(verifier);
        let config = match certificate(options)? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| mismatch(options, error))?
            }
            None => builder.with_no_client_auth(),
        };
        let has_certificate = options.cert_file.is_some();
        Ok(Tls { config: Arc::new(config), server_name, has_certificate })
    }
}

impl fmt::Debug for Tls {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

static FROM_1_2: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static FROM_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

fn versions(least: Option<&str>) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    match least {
        None | Some("1.2") => Ok(&FROM_1_2),
        Some("1.3") => Ok(&FROM_1_3),
        Some(other) => Err(format!("tls: min_version '{other}' is not 1.2 or 1.3")),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let parsed = ServerName::try_from(name.to_owned());
    parsed.map_err(|_| format!("tls: server_name '{name}' is not a host name or an address"))
}

/// What looks at the server's certificate.
fn verifier(
    options: &Options,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let roots = match &options.ca_file {
        Some(file) => own_roots(file)?,
        None => system_roots()?,
    };
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if let Some(file) = &options.crl_file {
        let lists: Vec<CertificateRevocationListDer<'static>> = read("crl_file", file, "revocation list")?;
        // A list speaks for the authority that made it, and for no other.
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    let verifier = builder.build().map_err(|error| match (&options.crl_file, error) {
        (Some(file), VerifierBuilderError::InvalidCrl(why)) => {
            format!(
                "tls: crl_file '{}': not a revocation list (of version 2) that can be used: {why:?}",
                file.display()
            )
        }
        (_, error) => format!("tls: {error}"),
    })?;
    Ok(match options.verify_hostname {
        true => verifier,
        false => Arc::new(AnyName(verifier)),
    })
}

fn own_roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read::<CertificateDer<'static>>("ca_file", file, "certificate")? {
        roots.add(certificate).map_err(|error| unusable("ca_file", file, &error))?;
    }
    Ok(roots)
}

/// Those that a system ships may be old and odd: what can't be used is passed over.
fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let advice = "name one with ca_file (Debian: or install the package ca-certificates)";
        return Err(format!("tls: the system has no certificate authorities{why}; {advice}"));
    }
    Ok(roots)
}

type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's own, if it is to have one.
fn certificate(options: &Options) -> Result<Option<Certificate>, String> {
    let Some(cert_file) = &options.cert_file else {
        return match &options.key_file {
            Some(file) => Err(format!("tls: key_file '{}' without a cert_file", file.display())),
            None => Ok(None),
        };
    };
    let chain = read("cert_file", cert_file, "certificate")?;
    let (name, file) = match &options.key_file {
        Some(file) => ("key_file", file),
        None => ("cert_file", cert_file),
    };
    let text = bytes(name, file)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = String::from_utf8_lossy(&text).contains("ENCRYPTED");
        let file = file.display();
        match error {
            _ if encrypted => format!(
                "tls: {name} '{file}': the key is encrypted, and there is no way to ask for its password"
            ),
            pem::Error::NoItemsFound if options.key_file.is_none() => {
                format!("tls: {name} '{file}': there is no private key in it, and no key_file")
            }
            pem::Error::NoItemsFound => format!("tls: {name} '{file}': there is no private key in it"),
            error => format!("tls: {name} '{file}': {error}"),
        }
    })?;
    Ok(Some((chain, key)))
}

/// What is wrong with certificate and key when both could be read.
fn mismatch(options: &Options, error: Error) -> String {
    let cert_file = options.cert_file.as_deref().unwrap_or(Path::new(""));
    match (error, &options.key_file) {
        (Error::InconsistentKeys(_), Some(key)) => format!(
            "tls: key_file '{}': the key does not belong to the first certificate of '{}'",
            key.display(),
            cert_file.display()
        ),
        (Error::InconsistentKeys(_), None) => format!(
            "tls: cert_file '{}': the key in it does not belong to its first certificate",
            cert_file.display()
        ),
        (error @ Error::InvalidCertificate(_), _) => unusable("cert_file", cert_file, &error),
        (error, Some(key)) => format!("tls: key_file '{}': {error}", key.display()),
        (error, None) => format!("tls: cert_file '{}': {error}", cert_file.display()),
    }
}

fn unusable(name: &str, file: &Path, error: &Error) -> String {
    format!(
        "tls: {name} '{}': a certificate in it can't be used: {}",
        file.display(),
        words::certificate(error)
    )
}

/// All things of a kind in a file, at least one.
fn read<T: PemObject>(name: &str, file: &Path, what: &str) -> Result<Vec<T>, String> {
    let text = bytes(name, file)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(format!("tls: {name} '{}': there is no {what} in it (it has to be PEM)", file.display()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("tls: {name} '{}': {error}", file.display())),
    }
}

fn bytes(name: &str, file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("tls: {name} '{}': {error}", file.display()))
}

/// Takes a certificate for any name, if all else is right with it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is what it looks at last: when that is found wrong, the chain and its revocations were
        // found right. (A test in t/ keeps watch over it.)
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
