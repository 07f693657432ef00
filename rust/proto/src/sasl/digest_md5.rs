//! DIGEST-MD5 (RFC 2831) from the client's side: initial authentication, `qop=auth`.
//!
//! Three tokens: the server's challenge, the client's response, and the server's proof that it knows
//! the password, too. The response is a hash of the password and of a nonce of each side.

use super::{Login, SaslError};
use md5::{Digest, Md5};

/// The service and host that ZooKeeper's servers expect, whatever they are called in truth.
/// Source: `SaslServer` as `ZooKeeperSaslServer` makes it.
const DIGEST_URI: &str = "zookeeper/zk-sasl-md5";
/// The realm that is picked from several: the one that servers have without a word about it.
const REALM: &[u8] = b"zk-sasl-md5";
/// RFC 2831, 2.1.1 to 2.1.3: what the server says is shorter than this, and what the client says, than that.
const LONGEST_CHALLENGE: usize = 2_048;
const LONGEST_RESPONSE: usize = 4_096;

/// What the server has to answer to a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(String);

impl Proof {
    /// Whether this token is the proof.
    ///
    /// # Errors
    /// It is not, and the server is not to be trusted.
    pub fn check(&self, token: &[u8]) -> Result<(), SaslError> {
        if token.len() >= LONGEST_CHALLENGE {
            return Err(SaslError::Unproven);
        }
        let mut proofs = directives(token).map_err(|_| SaslError::Unproven)?;
        proofs.retain(|(name, _)| name == b"rspauth");
        match &proofs[..] {
            [(_, proof)] if proof == self.0.as_bytes() => Ok(()),
            _ => Err(SaslError::Unproven),
        }
    }
}

/// It proves what the password does.
impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof")
    }
}

/// The response to a challenge, and the proof that the server owes for it. `exchange` must be another
/// number each time: the nonce depends on it.
///
/// # Errors
/// The challenge is malformed, or asks for what can't be given.
pub fn respond(login: &Login, exchange: u64, challenge: &[u8]) -> Result<(Vec<u8>, Proof), SaslError> {
    let mut hash = Md5::new();
    hash.update(login.entropy);
    hash.update(exchange.to_be_bytes());
    let cnonce = hex(&hash.finalize());
    let response =
        Response { login, challenge: &Challenge::parse(challenge)?, cnonce: &cnonce, uri: DIGEST_URI };
    let token = response.token()?;
    match token.len() {
        length if length >= LONGEST_RESPONSE => Err(SaslError::Length(length)),
        _ => Ok((token, Proof(response.digest("")?))),
    }
}

/// What of the server's first token is of interest.
#[derive(PartialEq, Eq, Debug)]
struct Challenge {
    realm: Option<Vec<u8>>,
    nonce: Vec<u8>,
    utf8: bool,
}

impl Challenge {
    fn parse(token: &[u8]) -> Result<Challenge, SaslError> {
        use SaslError::{Challenge as Malformed, Demand};
        if token.len() >= LONGEST_CHALLENGE {
            return Err(Malformed("it is too long"));
        }
        let (mut realms, mut nonce, mut charset, mut algorithm) = (Vec::new(), None, None, None);
        let mut qop: Option<bool> = None;
        for (name, value) in directives(token).map_err(Malformed)? {
            // What a server may say once only is no challenge when it says it twice; there is no telling
            // which was meant. What is not known is ignored: so is maxbuf, which is about encryption.
            let once = match &name[..] {
                b"realm" => {
                    realms.push(value);
                    continue;
                }
                b"qop" => {
                    let offered = value.split(|byte| *byte == b',');
                    let auth = offered.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(b"auth"));
                    qop = Some(auth || qop == Some(true));
                    continue;
                }
                b"nonce" => &mut nonce,
                b"charset" => &mut charset,
                b"algorithm" => &mut algorithm,
                _ => continue,
            };
            if once.replace(value).is_some() {
                return Err(Malformed("a directive is there twice"));
            }
        }
        let nonce = nonce.filter(|nonce| !nonce.is_empty()).ok_or(Malformed("it has no nonce"))?;
        let algorithm = algorithm.ok_or(Malformed("it has no algorithm"))?;
        if !algorithm.eq_ignore_ascii_case(b"md5-sess") {
            return Err(Demand("algorithm=md5-sess"));
        }
        if qop == Some(false) {
            return Err(Demand("qop=auth"));
        }
        if charset.as_ref().is_some_and(|charset| !charset.eq_ignore_ascii_case(b"utf-8")) {
            return Err(Malformed("its charset is unknown"));
        }
        let ours = realms.iter().position(|realm| realm == REALM).unwrap_or(0);
        let realm = (ours < realms.len()).then(|| realms.swap_remove(ours));
        Ok(Challenge { realm, nonce, utf8: charset.is_some() })
    }
}

/// All that goes into a response.
struct Response<'a> {
    login: &'a Login,
    challenge: &'a Challenge,
    cnonce: &'a str,
    uri: &'a str,
}

impl Response<'_> {
    fn token(&self) -> Result<Vec<u8>, SaslError> {
        let Challenge { realm, nonce, utf8 } = self.challenge;
        let username = &self.login.username;
        let username = if *utf8 { username.as_bytes().to_vec() } else { self.hashed("username", username)? };
        let mut out = Vec::new();
        if *utf8 {
            out.extend_from_slice(b"charset=utf-8,");
        }
        put_quoted("username", &username, &mut out);
        if let Some(realm) = realm {
            put_quoted("realm", realm, &mut out);
        }
        put_quoted("nonce", nonce, &mut out);
        out.extend_from_slice(b"nc=00000001,");
        put_quoted("cnonce", self.cnonce.as_bytes(), &mut out);
        put_quoted("digest-uri", self.uri.as_bytes(), &mut out);
        out.extend_from_slice(format!("response={},qop=auth", self.digest("AUTHENTICATE")?).as_bytes());
        Ok(out)
    }

    /// The client's response value; with no method the server's.
    fn digest(&self, method: &str) -> Result<String, SaslError> {
        let Challenge { realm, nonce, .. } = self.challenge;
        let username = self.hashed("username", &self.login.username)?;
        let password = self.hashed("password", &self.login.password)?;
        let realm = realm.as_deref().map_or_else(Vec::new, |realm| self.hashed_realm(realm));
        let cnonce = self.cnonce.as_bytes();
        let secret = md5(&[&username, &realm, &password]);
        let a1 = hex(&md5(&[&secret, nonce, cnonce]));
        let a2 = hex(&md5(&[method.as_bytes(), self.uri.as_bytes()]));
        Ok(hex(&md5(&[a1.as_bytes(), nonce, b"00000001", cnonce, b"auth", a2.as_bytes()])))
    }

    /// As text goes into a hash: in ISO 8859-1 wherever it fits, and in UTF-8 where it does not and
    /// the server understands that (RFC 2831, 2.1.2.1). Java's server does the same.
    fn hashed(&self, what: &'static str, text: &str) -> Result<Vec<u8>, SaslError> {
        match latin_1(text) {
            Some(bytes) => Ok(bytes),
            None if self.challenge.utf8 => Ok(text.as_bytes().to_vec()),
            None => Err(SaslError::Characters(what)),
        }
    }

    fn hashed_realm(&self, realm: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(realm).ok().filter(|_| self.challenge.utf8);
        text.and_then(latin_1).unwrap_or_else(|| realm.to_vec())
    }
}

fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// `name="value",`
fn put_quoted(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.extend_from_slice(b"\",");
}

/// The hash of the parts with colons between them.
fn md5(parts: &[&[u8]]) -> [u8; 16] {
    Md5::digest(parts.join(&b':')).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name in lower case, and the value without quotes.
type Directive = (Vec<u8>, Vec<u8>);

/// `name=value, name="value"`: RFC 2831, 7.1. Elements may be empty.
fn directives(mut rest: &[u8]) -> Result<Vec<Directive>, &'static str> {
    let mut list = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return Ok(list) };
        if first == b',' {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let name = taken(&mut rest, |byte| byte.is_ascii_graphic() && !matches!(byte, b'=' | b',' | b'"'));
        rest =
            rest.trim_ascii_start().strip_prefix(b"=").ok_or("a directive has no value")?.trim_ascii_start();
        let value = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                rest = quoted;
                unquoted(&mut rest)?
            }
            None => taken(&mut rest, |byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"')).to_vec(),
        };
        rest = rest.trim_ascii_start();
        if name.is_empty() || !matches!(rest.first(), None | Some(b',')) {
            return Err("it is no list of directives");
        }
        list.push((name.to_ascii_lowercase(), value));
    }
}

/// The bytes at the front for which `is_part` holds.
fn taken<'a>(rest: &mut &'a [u8], is_part: impl Fn(u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len());
    let (front, back) = rest.split_at(end);
    *rest = back;
    front
}

/// The rest of a quoted string, behind its first quote.
fn unquoted(rest: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::new();
    let mut bytes = rest.iter();
    loop {
        let byte = match bytes.next().ok_or("a quoted string has no end")? {
            b'"' => break,
            b'\\' => bytes.next().ok_or("a quoted string has no end")?,
            byte => byte,
        };
        value.push(*byte);
    }
    *rest = bytes.as_slice();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAP: &[u8] = b"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",\
        algorithm=md5-sess,charset=utf-8";

    fn login(username: &str, password: &str) -> Login {
        Login { username: username.to_owned(), password: password.to_owned(), entropy: [7; 32] }
    }

    fn challenge(text: &str) -> Result<Challenge, SaslError> {
        Challenge::parse(text.as_bytes())
    }

    /// Text and value of the response to a challenge, as `zookeeper/zk-sasl-md5`.
    fn answer(login: &Login, challenge: &str) -> Result<String, SaslError> {
        let challenge = Challenge::parse(challenge.as_bytes())?;
        let response = Response { login, challenge: &challenge, cnonce: "c0ffee", uri: DIGEST_URI };
        Ok(String::from_utf8(response.token()?).unwrap())
    }

    fn value(token: &str) -> &str {
        token.split("response=").nth(1).unwrap().strip_suffix(",qop=auth").unwrap()
    }

    /// The examples of RFC 2831, section 4.
    #[test]
    fn the_examples_of_the_standard_come_out() {
        let chris = login("chris", "secret");
        for (uri, challenge, cnonce, response, proof) in [
            (
                "imap/elwood.innosoft.com",
                IMAP,
                "OA6MHXh6VqTrRk",
                "d388dad90d4bbd760a152321f2143af7",
                "ea40f60335c427b5527b84dbabcdfffd",
            ),
            (
                "acap/elwood.innosoft.com",
                &b"realm=\"elwood.innosoft.com\",nonce=\"OA9BSXrbuRhWay\",qop=\"auth\",\
                    algorithm=md5-sess,charset=utf-8"[..],
                "OA9BSuZWMSpW8m",
                "6084c6db3fede7352c551284490fd0fc",
                "2f0b3d7c3c2e486600ef710726aa2eae",
            ),
        ] {
            let challenge = &Challenge::parse(challenge).unwrap();
            let made = Response { login: &chris, challenge, cnonce, uri };
            assert_eq!(made.digest("AUTHENTICATE").as_deref(), Ok(response));
            assert_eq!(made.digest("").as_deref(), Ok(proof));
            let token = String::from_utf8(made.token().unwrap()).unwrap();
            assert!(token.starts_with("charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\","));
            assert!(token.contains(&format!("cnonce=\"{cnonce}\",digest-uri=\"{uri}\",response={response}")));
        }
    }

    /// Two exchanges with a server 3.9.3 (user bob, and one whose password is not ASCII).
    #[test]
    fn a_real_server_took_these_responses_and_gave_these_proofs() {
        for (username, password, nonce, response, proof) in [
            (
                "bob",
                "bobsecret",
                "E7mzzQcBu0lrJn1POC9ROsXdeS31hNmQN1khzqLL",
                "7376925c07353d73c7082f30eabf5767",
                "ff38e83d44f9ad7aadd0163fa43f8afa",
            ),
            (
                "latin",
                "p\u{e4}ss",
                "Rkk/xZkeZA0cq7W35cOz85Ts/vn8ZM0BKEW3LHHF",
                "18f1ec0caf34593350d40c7911e0f892",
                "622ebee0d59c5a7770aeb7b5000ad3b6",
            ),
            (
                "\u{20ac}",
                "eurosecret",
                "77/GXHwC6KxPda4F0pqUrRzAqVdPM9+Lq7QOSaT2",
                "5eab03cba3f9dbe1d80c0884c088c3c0",
                "77cc0f4b4cc6ca38eaf806753b4f915f",
            ),
        ] {
            let login = login(username, password);
            let text = format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
            let expected = format!(
                "charset=utf-8,username=\"{username}\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",\
                 nc=00000001,cnonce=\"c0ffee\",digest-uri=\"zookeeper/zk-sasl-md5\",\
                 response={response},qop=auth"
            );
            assert_eq!(answer(&login, &text), Ok(expected));
            let challenge = &challenge(&text).unwrap();
            let made = Response { login: &login, challenge, cnonce: "c0ffee", uri: DIGEST_URI };
            assert_eq!(Proof(made.digest("").unwrap()).check(format!("rspauth={proof}").as_bytes()), Ok(()));
        }
    }

    #[test]
    fn only_the_proof_is_a_proof() {
        let proof = Proof("ea40f60335c427b5527b84dbabcdfffd".to_owned());
        for good in [
            "rspauth=ea40f60335c427b5527b84dbabcdfffd",
            " RSPAUTH = \"ea40f60335c427b5527b84dbabcdfffd\" , ",
            "more=x,rspauth=ea40f60335c427b5527b84dbabcdfffd",
        ] {
            assert_eq!(proof.check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "rspauth=",
            "rspauth=ea40f60335c427b5527b84dbabcdfffe",
            "rspauth=ea40f60335c427b5527b84dbabcdfff",
            "rspauth=ea40f60335c427b5527b84dbabcdfffd0",
            "rspauth=ea40f60335c427b5527b84dbabcdfffd,rspauth=ea40f60335c427b5527b84dbabcdfffd",
            "response=ea40f60335c427b5527b84dbabcdfffd",
            "ea40f60335c427b5527b84dbabcdfffd",
            "rspauth=\"ea40f60335c427b5527b84dbabcdfffd",
        ] {
            assert_eq!(proof.check(bad.as_bytes()), Err(SaslError::Unproven), "{bad}");
        }
        assert!(!format!("{proof:?}").contains("ea40"));
    }

    #[test]
    fn a_proof_amid_more_than_the_standard_allows_is_none() {
        let proof = Proof("ea40f60335c427b5527b84dbabcdfffd".to_owned());
        let padded = |n: usize| format!("rspauth=ea40f60335c427b5527b84dbabcdfffd{}", ",".repeat(n));
        assert_eq!(proof.check(padded(2_047 - 40).as_bytes()), Ok(()));
        assert_eq!(proof.check(padded(2_048 - 40).as_bytes()), Err(SaslError::Unproven));
    }

    #[test]
    fn quotes_and_backslashes_come_through_both_ways() {
        let text = r#"realm="a \"realm\" \\ \x",nonce="n\"1\\",algorithm=md5-sess,charset=utf-8"#;
        let parsed = challenge(text).unwrap();
        assert_eq!(parsed.realm.as_deref(), Some(&br#"a "realm" \ x"#[..]));
        assert_eq!(parsed.nonce, br#"n"1\"#);
        let token = answer(&login(r#"b"o\b"#, "x"), text).unwrap();
        assert!(
            token.contains(r#"username="b\"o\\b",realm="a \"realm\" \\ x",nonce="n\"1\\",nc="#),
            "{token}"
        );
        let back = directives(token.as_bytes()).unwrap();
        assert_eq!(back[1], (b"username".to_vec(), br#"b"o\b"#.to_vec()));
    }

    #[test]
    fn spaces_empty_elements_case_and_what_is_unknown_do_no_harm() {
        let text = " ,, Realm = \"r\" ,NONCE=\"n\",maxbuf=65536,maxbuf=1,cipher=\"rc4\",stale=true,\
            qop=\"auth-conf, AUTH\",Algorithm=MD5-sess,charset=UTF-8,later=\"x,y=z\",\t";
        let expected = Challenge { realm: Some(b"r".to_vec()), nonce: b"n".to_vec(), utf8: true };
        assert_eq!(challenge(text), Ok(expected));
    }

    #[test]
    fn of_several_realms_it_is_the_usual_one_or_the_first_and_there_may_be_none() {
        let rest = "nonce=n,algorithm=md5-sess";
        let realm = |realms: &str| challenge(&format!("{realms}{rest}")).unwrap().realm;
        assert_eq!(realm("realm=a,realm=b,"), Some(b"a".to_vec()));
        assert_eq!(realm("realm=a,realm=\"zk-sasl-md5\",realm=b,"), Some(b"zk-sasl-md5".to_vec()));
        assert_eq!(realm(""), None);
        assert!(!answer(&login("bob", "x"), rest).unwrap().contains("realm"));
    }

    #[test]
    fn text_is_hashed_in_latin_1_where_it_fits_whatever_it_is_sent_in() {
        let utf8 = "realm=\"r\u{f6}\",nonce=n,algorithm=md5-sess,charset=utf-8";
        let token = answer(&login("j\u{f6}rg", "p\u{e4}ss"), utf8).unwrap();
        assert!(token.starts_with("charset=utf-8,username=\"j\u{f6}rg\",realm=\"r\u{f6}\","));
        let latin: [&[u8]; 3] = [b"j\xf6rg", b"r\xf6", b"p\xe4ss"];
        let a1 = hex(&md5(&[&md5(&latin), b"n", b"c0ffee"]));
        let a2 = hex(&md5(&[b"AUTHENTICATE", DIGEST_URI.as_bytes()]));
        let expected = hex(&md5(&[a1.as_bytes(), b"n", b"00000001", b"c0ffee", b"auth", a2.as_bytes()]));
        assert_eq!(value(&token), expected);
    }

    #[test]
    fn a_server_without_utf_8_gets_latin_1_or_nothing() {
        let plain = b"realm=r,nonce=n,algorithm=md5-sess";
        let (token, _) = respond(&login("j\u{f6}rg", "x"), 1, plain).unwrap();
        assert!(token.starts_with(b"username=\"j\xf6rg\","));
        for (login, what) in [(login("\u{20ac}", "x"), "username"), (login("x", "\u{20ac}"), "password")] {
            assert_eq!(respond(&login, 1, plain).unwrap_err(), SaslError::Characters(what));
        }
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let good = "realm=r,nonce=n,algorithm=md5-sess";
        assert!(challenge(good).is_ok());
        for bad in [
            "",
            " , ",
            "nonsense",
            "realm=r,nonce=n",
            "realm=r,algorithm=md5-sess",
            "realm=r,nonce=\"\",algorithm=md5-sess",
            "realm=r,nonce=,algorithm=md5-sess",
            "realm=r,nonce=n,nonce=n,algorithm=md5-sess",
            "realm=r,nonce=n,algorithm=md5-sess,algorithm=md5-sess",
            "realm=r,nonce=n,algorithm=md5",
            "realm=r,nonce=n,algorithm=md5-sess,charset=latin-1",
            "realm=r,nonce=n,algorithm=md5-sess,charset=utf-8,charset=utf-8",
            "realm=r,nonce=n,algorithm=md5-sess,qop=\"auth-int,auth-conf\"",
            "realm=r,nonce=n,algorithm=md5-sess,qop=\"\"",
            "realm=\"r,nonce=n,algorithm=md5-sess",
            "realm=r,nonce=n,algorithm=md5-sess,last=\"\\",
            "realm=r nonce=n,algorithm=md5-sess",
            "realm=r,nonce=\"n\"x,algorithm=md5-sess",
            "realm=r,=n,nonce=n,algorithm=md5-sess",
            "realm=r,nonce=a\u{7f}b,algorithm=md5-sess",
        ] {
            assert!(challenge(bad).is_err(), "{bad}");
            assert!(respond(&login("bob", "x"), 1, bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_are_limited_as_the_standard_says() {
        let challenge = |n: usize| format!("realm=r,nonce={},algorithm=md5-sess", "n".repeat(n)).into_bytes();
        let length = 2_047 - challenge(0).len();
        assert!(respond(&login("bob", "x"), 1, &challenge(length)).is_ok());
        let error = respond(&login("bob", "x"), 1, &challenge(length + 1)).unwrap_err();
        assert_eq!(error, SaslError::Challenge("it is too long"));
        let error = respond(&login(&"b".repeat(4_000), "x"), 1, &challenge(1)).unwrap_err();
        assert!(matches!(error, SaslError::Length(4_096..)), "{error}");
        assert!(respond(&login("bob", &"x".repeat(100_000)), 1, &challenge(1)).is_ok());
    }

    #[test]
    fn each_exchange_has_a_nonce_of_its_own_that_depends_on_the_entropy() {
        let nonce = |entropy: u8, exchange: u64| {
            let login = Login { entropy: [entropy; 32], ..login("bob", "x") };
            let token = respond(&login, exchange, IMAP).unwrap().0;
            let nonce =
                directives(&token).unwrap().into_iter().find(|(name, _)| name == b"cnonce").unwrap().1;
            assert!(nonce.len() == 32 && nonce.iter().all(u8::is_ascii_hexdigit));
            nonce
        };
        let nonces = [nonce(1, 1), nonce(1, 2), nonce(2, 1), nonce(2, 2)];
        for (n, one) in nonces.iter().enumerate() {
            assert!(!nonces[n + 1..].contains(one));
        }
        assert_eq!(nonce(1, 1), nonces[0]);
    }

    #[test]
    fn neither_password_nor_entropy_is_shown() {
        let shown = format!("{:?}", Login { entropy: [42; 32], ..login("bob", "sesame") });
        assert!(shown.contains("bob") && !shown.contains("sesame") && !shown.contains("42"), "{shown}");
    }
}
