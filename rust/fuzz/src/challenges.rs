//! What a server says in a login by SASL: the challenge, and what is to be its proof.

use super::input::Input;
use super::meter;
use zk_proto::sasl::digest_md5::respond;
use zk_proto::sasl::{Login, SaslError};

const PASSWORD: &str = "se5ame";

/// Input: flags, a user name, what is to be the proof, and the rest as a challenge.
pub fn run(data: &[u8]) {
    let ((), used) = meter::peak(|| play(Input(data)));
    assert!(used <= (32 << 10) + 64 * data.len(), "{used} bytes for {}", data.len());
}

fn play(mut input: Input<'_>) {
    let wide = input.flag();
    let username = String::from_utf8_lossy(input.string()).into_owned();
    let proof = input.string();
    let challenge = input.0;
    let password = if wide { format!("{PASSWORD}\u{20ac}") } else { PASSWORD.to_owned() };
    let login = Login { username, password, entropy: [5; 32] };
    let (token, expected) = match respond(&login, 1, challenge) {
        Ok(response) => response,
        Err(error) => {
            assert!(!error.to_string().contains(PASSWORD));
            let possible = match error {
                SaslError::Refused(_) | SaslError::NotConfigured | SaslError::Unproven => false,
                SaslError::Characters(_) => wide || !login.username.is_ascii(),
                SaslError::Length(length) => length >= 4_096,
                SaslError::Challenge(_) | SaslError::Demand(_) => true,
            };
            assert!(possible, "{error:?}");
            return;
        }
    };
    assert!(token.len() < 4_096 && challenge.len() < 2_048);
    let shows = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
    assert!(
        !shows(&token, PASSWORD.as_bytes())
            || shows(challenge, PASSWORD.as_bytes())
            || shows(login.username.as_bytes(), PASSWORD.as_bytes())
    );
    // What goes out is well formed, whatever came in: everything in quotes ends where it should.
    assert!(shows(&token, b"\",nc=00000001,cnonce=\"") && token.ends_with(b",qop=auth"));
    assert_eq!(quotes(&token) % 2, 0);
    // The same again, and another nonce another time.
    assert_eq!(respond(&login, 1, challenge).as_ref(), Ok(&(token.clone(), expected.clone())));
    let other = respond(&login, 2, challenge).expect("a response as before");
    assert!(other.0 != token && other.1 != expected);
    // With nothing left to chance a fuzzer that looks into comparisons finds the right one. It proves nothing another
    // time.
    if expected.check(proof).is_ok() {
        assert_eq!(other.1.check(proof), Err(SaslError::Unproven));
    }
    assert_eq!(expected.check(&token), Err(SaslError::Unproven));
}

/// Quotes that are not escaped.
fn quotes(token: &[u8]) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for byte in token {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => count += 1,
            _ => {}
        }
    }
    count
}
