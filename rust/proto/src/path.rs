//! Which paths a server takes, so that a bad one is an error of the call and not a round trip.

/// Why a path is not valid; the text is a sentence about "path".
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// No bytes at all.
    #[error("path is empty")]
    Empty,
    /// The first byte is not a slash.
    #[error("path must start with '/'")]
    NotAbsolute,
    /// The last byte is a slash, the path is not the root and no sequential create.
    #[error("path must not end with '/'")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("path contains an empty component")]
    EmptyComponent,
    /// A component that file systems give a meaning to.
    #[error("path contains a '.' or '..' component")]
    DotComponent,
    /// U+0000.
    #[error("path contains a NUL character")]
    Nul,
    /// U+0001 to U+001F and U+007F to U+009F.
    #[error("path contains the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    /// The other ranges that servers refuse.
    #[error("path contains the forbidden character U+{:04X}", u32::from(*.0))]
    Forbidden(char),
}

/// Checks `path` by the rules of the server's `PathUtils.validatePath`. `sequential`: the server
/// will append a counter, so the last name may be empty (a trailing slash), `.` or `..`.
///
/// Bytes that are not UTF-8 pass. Apache's server turns each into U+FFFD and then refuses to create
/// such a node with the same code as ours (bad arguments), and does not find it for other
/// operations; servers of other make take paths as bytes, and their users can go on to.
pub fn validate(path: &[u8], sequential: bool) -> Result<(), PathError> {
    let Some((&first, names)) = path.split_first() else {
        return Err(PathError::Empty);
    };
    if first != b'/' {
        return Err(PathError::NotAbsolute);
    }
    if names.is_empty() {
        return Ok(());
    }
    if path.ends_with(b"/") && !sequential {
        return Err(PathError::TrailingSlash);
    }
    let mut names = names.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        if sequential && names.peek().is_none() {
            break;
        }
        match name {
            b"" => return Err(PathError::EmptyComponent),
            b"." | b".." => return Err(PathError::DotComponent),
            _ => {}
        }
    }
    path.utf8_chunks().flat_map(|chunk| chunk.valid().chars()).try_for_each(validate_char)
}

/// The server looks at UTF-16 units, and its range D800 to F8FF covers the surrogates: characters
/// beyond U+FFFF are refused too.
fn validate_char(c: char) -> Result<(), PathError> {
    match c {
        '\0' => Err(PathError::Nul),
        '\u{1}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Err(PathError::Control(c)),
        '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' | '\u{10000}'.. => Err(PathError::Forbidden(c)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_servers_take() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a b",
            "/...",
            "/.a",
            "/a.",
            "/..a",
            "/\u{e9}",
            "/\u{a0}",
            "/~",
            "/\u{d7ff}",
            "/\u{f900}",
            "/\u{ffef}",
            "/ ",
        ] {
            assert_eq!(validate(path.as_bytes(), false), Ok(()), "{path:?}");
            assert_eq!(validate(path.as_bytes(), true), Ok(()), "{path:?}, sequential");
        }
        assert_eq!(validate(b"/caf\xe9", false), Ok(()));
    }

    #[test]
    fn a_sequential_node_needs_no_name() {
        for path in ["/a/", "/.", "/..", "/a/..", "/a/."] {
            assert_eq!(validate(path.as_bytes(), true), Ok(()), "{path:?}");
            assert!(validate(path.as_bytes(), false).is_err(), "{path:?}");
        }
    }

    #[test]
    fn paths_that_servers_refuse() {
        for (path, text) in [
            ("", "path is empty"),
            ("a", "path must start with '/'"),
            ("\0", "path must start with '/'"),
            ("//", "path must not end with '/'"),
            ("/a/", "path must not end with '/'"),
            ("//a", "path contains an empty component"),
            ("/a//b", "path contains an empty component"),
            ("/./a", "path contains a '.' or '..' component"),
            ("/a/..", "path contains a '.' or '..' component"),
            ("/a/../b", "path contains a '.' or '..' component"),
            ("/a\0b", "path contains a NUL character"),
            ("/\u{1}", "path contains the control character U+0001"),
            ("/a\n", "path contains the control character U+000A"),
            ("/\u{1f}", "path contains the control character U+001F"),
            ("/\u{7f}", "path contains the control character U+007F"),
            ("/\u{9f}", "path contains the control character U+009F"),
            ("/\u{e000}", "path contains the forbidden character U+E000"),
            ("/\u{f8ff}", "path contains the forbidden character U+F8FF"),
            ("/\u{fff0}", "path contains the forbidden character U+FFF0"),
            ("/\u{fffd}", "path contains the forbidden character U+FFFD"),
            ("/\u{ffff}", "path contains the forbidden character U+FFFF"),
            ("/\u{10000}", "path contains the forbidden character U+10000"),
            ("/\u{1f600}", "path contains the forbidden character U+1F600"),
        ] {
            let error = validate(path.as_bytes(), false).unwrap_err();
            assert_eq!(error.to_string(), text, "{path:?}");
        }
        for path in ["", "a/", "/a//", "//", "/../", "/a/./", "/a\u{1}/"] {
            assert!(validate(path.as_bytes(), true).is_err(), "{path:?}, sequential");
        }
        assert_eq!(validate(b"/\xff\x01", false), Err(PathError::Control('\u{1}')));
    }
}
