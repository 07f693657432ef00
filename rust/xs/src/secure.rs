//! The option `tls` of a handle, as lib/ hands it over: checked, a hash of plain scalars.

use crate::args::{protect, settled};
use crate::boot::Sub;
use crate::connect::{checked, kept};
use crate::handle::Attached;
use crate::perl::{callback, Found, Key, Kind, Perl, Sv};
use crate::thrown::Thrown;
use crate::values::{self, Raw};
use libperl_sys as sys;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use zk_client::tls::{Options, Tls, AVAILABLE};

pub(crate) const SUBS: &[Sub] =
    &[(c"ZooKeeper::_check_tls", Some(check_tls)), (c"ZooKeeper::XS::_has_tls", Some(has_tls))];

static CA_FILE: Key = Key::new("ca_file");
static CERT_FILE: Key = Key::new("cert_file");
static KEY_FILE: Key = Key::new("key_file");
static CRL_FILE: Key = Key::new("crl_file");
static SERVER_NAME: Key = Key::new("server_name");
static MIN_VERSION: Key = Key::new("min_version");
static VERIFY_HOSTNAME: Key = Key::new("verify_hostname");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in [&CA_FILE, &CERT_FILE, &KEY_FILE, &CRL_FILE, &SERVER_NAME, &MIN_VERSION, &VERIFY_HOSTNAME] {
        key.prepare(perl);
    }
}

/// What the option says, `Copy` as all that is read of Perl.
#[derive(Clone, Copy)]
pub(crate) struct Secure {
    ca_file: Option<Raw>,
    cert_file: Option<Raw>,
    key_file: Option<Raw>,
    crl_file: Option<Raw>,
    server_name: Option<Raw>,
    min_version: Option<Raw>,
    verify_hostname: bool,
}

impl Secure {
    /// The option's value, settled; `None` if there is to be no TLS. May die; and nothing of Perl may run
    /// before the result is used.
    pub(crate) fn read(perl: Perl, option: Sv) -> Option<Secure> {
        let Kind::Hash(hash) = option.kind() else { return None };
        let files = [&CA_FILE, &CERT_FILE, &KEY_FILE, &CRL_FILE, &SERVER_NAME, &MIN_VERSION];
        let values = files.map(|key| kept(perl, hash.fetch(perl, key)));
        let verify_hostname = kept(perl, hash.fetch(perl, &VERIFY_HOSTNAME)).is_true(perl);
        let text = |sv: Sv| sv.is_defined().then(|| values::text(perl, sv, false).0);
        let [ca_file, cert_file, key_file, crl_file, server_name, min_version] = values.map(text);
        Some(Secure { ca_file, cert_file, key_file, crl_file, server_name, min_version, verify_hostname })
    }

    /// Pure Rust: reads the files. What is wrong, in words.
    ///
    /// # Safety
    /// Nothing of Perl has run since the option was read.
    pub(crate) unsafe fn settings(self) -> Result<Tls, String> {
        // SAFETY: see above.
        let bytes = |raw: Raw| unsafe { raw.bytes() };
        let path = |raw: Raw| PathBuf::from(OsStr::from_bytes(bytes(raw)));
        let text = |raw: Raw| String::from_utf8_lossy(bytes(raw)).into_owned();
        Tls::new(&Options {
            ca_file: self.ca_file.map(path),
            cert_file: self.cert_file.map(path),
            key_file: self.key_file.map(path),
            crl_file: self.crl_file.map(path),
            verify_hostname: self.verify_hostname,
            server_name: self.server_name.map(text),
            min_version: self.min_version.map(text),
        })
    }
}

callback! {
    /// `_check_tls($self, $hosts, \%tls)`: throws what `_connect` would, and keeps nothing.
    fn check_tls(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        if let Found::Nothing = perl.attached::<Attached>(perl.argument(call, 0)) {
            Thrown::not_initialised(perl, "reopen", "ZooKeeper").throw(perl)
        }
        protect(perl, call);
        let [hosts, option] = [1, 2].map(|index| settled(perl, perl.argument(call, index)));
        let secure = Secure::read(perl, option);
        // SAFETY: nothing of Perl has run since the option was read.
        let look = || secure.and_then(|secure| unsafe { secure.settings() }.err());
        match checked(perl, hosts, look) {
            Ok(()) => perl.leave(call, 0),
            Err(thrown) => thrown.throw(perl),
        }
    }
}

callback! {
    /// `ZooKeeper::XS::_has_tls()`: whether this build has TLS.
    fn has_tls(perl, _cv: *mut sys::CV) {
        let call = perl.enter();
        perl.leave_with(call, perl.boolean(AVAILABLE));
    }
}
