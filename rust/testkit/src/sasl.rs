//! The server's side of DIGEST-MD5, as far as tests need it: written on its own, from the standard, so
//! that it does not share the client's mistakes.

use md5::{Digest, Md5};

/// What a server without a realm of its own sends first.
pub fn challenge(nonce: &str) -> Vec<u8> {
    format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess").into_bytes()
}

/// The proof that is the answer to this response, if it is the right one for a user whose password
/// this finds (in ISO 8859-1, as it is hashed).
pub fn verify(nonce: &str, response: &[u8], password: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(response).ok()?;
    let value = |name: &str| {
        let (_, rest) =
            format!(",{text}").split_once(&format!(",{name}=")).map(|(a, b)| (a.len(), b.to_owned()))?;
        let end = rest.find(',').unwrap_or(rest.len());
        Some(rest[..end].trim_matches('"').to_owned())
    };
    let expected = [
        ("nonce", nonce),
        ("nc", "00000001"),
        ("digest-uri", "zookeeper/zk-sasl-md5"),
        ("realm", "zk-sasl-md5"),
        ("qop", "auth"),
        ("charset", "utf-8"),
    ];
    if expected.iter().any(|(name, right)| value(name).as_deref() != Some(right)) {
        return None;
    }
    let (username, cnonce) = (value("username")?, value("cnonce")?);
    let mut secret = Md5::new();
    secret.update(username.chars().map(|c| c as u8).collect::<Vec<_>>());
    secret.update(b":zk-sasl-md5:");
    secret.update(password(&username)?);
    let mut a1 = secret.finalize().to_vec();
    a1.extend_from_slice(format!(":{nonce}:{cnonce}").as_bytes());
    let hash = |bytes: &[u8]| Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = |method: &str| {
        let a2 = hash(format!("{method}:zookeeper/zk-sasl-md5").as_bytes());
        hash(format!("{}:{nonce}:00000001:{cnonce}:auth:{a2}", hash(&a1)).as_bytes())
    };
    let right = value("response")? == digest("AUTHENTICATE");
    right.then(|| format!("rspauth={}", digest("")).into_bytes())
}
