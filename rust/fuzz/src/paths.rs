//! Paths and chroots: what is put on comes off again.

use super::input::Input;
use bytes::Bytes;
use zk_proto::chroot::{Chroot, CONFIG_NODE};
use zk_proto::path::validate;

/// Input: a string that is to be the chroot, and the rest as a path.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let front = input.string();
    let path = input.0;
    check_rules(front);
    check_rules(path);

    let chroot = match Chroot::new(front) {
        Ok(chroot) => chroot,
        Err(error) => {
            assert_eq!(validate(front, false), Err(error));
            Chroot::none()
        }
    };
    there_and_back(&chroot, path);
    back_and_there(&chroot, path);
    back_and_there(&chroot, &[chroot.as_bytes(), path].concat());
}

/// The rules of the server's validator, written another way.
fn check_rules(path: &[u8]) {
    let plain = validate(path, false);
    let sequential = validate(path, true);
    if let Err(error) = plain {
        assert!(error.to_string().starts_with("path "), "{error}");
    }
    let text = String::from_utf8_lossy(path);
    // Bytes that are no UTF-8 are let through, so the sign that stands for them here is too.
    let plain_char = |c: char| {
        let unit = u32::from(c);
        (0x20..0x7f).contains(&unit) || (0xa0..0xd800).contains(&unit) || (0xf900..0xfff0).contains(&unit)
    };
    let valid_text = path.utf8_chunks().all(|chunk| chunk.valid().chars().all(plain_char));
    let valid_names =
        |names: &str| names.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
    let expected = match text.strip_prefix('/') {
        None => false,
        Some("") => true,
        Some(names) => valid_text && valid_names(names),
    };
    assert_eq!(plain.is_ok(), expected, "{text:?}");
    // The server completes the last name of a sequential node.
    let completed = format!("{text}0000000001");
    let expected = match completed.strip_prefix('/') {
        None => false,
        Some(names) => valid_text && valid_names(names),
    };
    assert_eq!(sequential.is_ok(), expected, "{text:?}, sequential");
}

/// From the client to the server and back.
fn there_and_back(chroot: &Chroot, path: &[u8]) {
    if validate(path, false).is_err() {
        return;
    }
    let prefixed = chroot.prefix(path);
    assert_eq!(validate(&prefixed, false), Ok(()));
    let mut wire = Vec::new();
    chroot.put(path, &mut wire);
    assert_eq!(wire.get(4..), Some(&prefixed[..]));
    let inside = prefixed.starts_with(chroot.as_bytes());
    assert!(inside || path == CONFIG_NODE, "{path:?} became {prefixed:?}");
    let back = chroot.strip(Bytes::copy_from_slice(&prefixed));
    // The ensemble's configuration goes by its own name in every chroot, also in one in which it
    // has another name besides.
    let expected = if *prefixed == *CONFIG_NODE { CONFIG_NODE } else { path };
    assert_eq!(back.as_deref(), Some(expected), "{chroot:?} {path:?}");

    let mut wire = Vec::new();
    chroot.put_sequential(path, &mut wire);
    let whole = &wire[4..];
    let completed = [whole, b"0000000001"].concat();
    assert_eq!(validate(&completed, false), Ok(()));
    if path != CONFIG_NODE {
        let back = chroot.strip(Bytes::from(completed.clone())).expect("inside the chroot");
        if completed != CONFIG_NODE {
            assert_eq!(back, [path, b"0000000001"].concat(), "{chroot:?}");
        }
    }
}

/// From the server to the client and back.
fn back_and_there(chroot: &Chroot, path: &[u8]) {
    if validate(path, false).is_err() {
        return;
    }
    let Some(stripped) = chroot.strip(Bytes::copy_from_slice(path)) else {
        let mut border = chroot.as_bytes().to_vec();
        border.push(b'/');
        assert!(path != chroot.as_bytes() && !path.starts_with(&border), "{chroot:?} {path:?}");
        return;
    };
    assert_eq!(validate(&stripped, false), Ok(()), "{chroot:?} {path:?}");
    if stripped != CONFIG_NODE {
        assert_eq!(*chroot.prefix(&stripped), *path, "{chroot:?}");
    }
}
