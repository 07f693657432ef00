//! The stream cut into frames: however it arrives in pieces, the same frames come out of it.

use super::input::Input;
use super::meter;
use bytes::Bytes;
use zk_proto::frame::{FrameBuffer, FrameError};

/// What a buffer may take whatever arrives: room for a node's data of the usual limit, made with the first bytes of a
/// frame, and what was there before for the moment of the move.
const ROOM: usize = (1 << 20) + (256 << 10);

/// Input: choice of a limit, a string of lengths of pieces (0: one byte), and the stream.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let limit = input.choose(&[1 << 20, 64 << 20, 4096, 255, 16, 0, i32::MAX as usize]);
    let pieces = input.string();
    let stream = input.0;

    let expected = cut(stream, limit);
    let (at_once, used) = meter::peak(|| feed(stream, limit, &[]));
    assert_eq!(at_once, expected, "in one piece");
    assert!(used <= 4 * stream.len() + ROOM, "{used} bytes for {}", stream.len());
    let (in_pieces, used) = meter::peak(|| feed(stream, limit, pieces));
    assert_eq!(in_pieces, expected, "in pieces of {pieces:?}");
    assert!(used <= 4 * stream.len() + ROOM, "{used} bytes for {}", stream.len());
}

/// The frames, and the error that ended them if one did.
type Cut = (Vec<Bytes>, Option<FrameError>);

/// As the format is described: without a buffer, from a stream that is there as a whole.
fn cut(mut stream: &[u8], limit: usize) -> Cut {
    let mut frames = Vec::new();
    while let Some((head, rest)) = stream.split_first_chunk::<4>() {
        let head = i32::from_be_bytes(*head);
        let error = match usize::try_from(head) {
            Err(_) => FrameError::Negative(head),
            Ok(length) if length > limit => FrameError::TooLong { length, limit },
            Ok(length) => {
                let Some((frame, rest)) = rest.split_at_checked(length) else { break };
                frames.push(Bytes::copy_from_slice(frame));
                stream = rest;
                continue;
            }
        };
        return (frames, Some(error));
    }
    (frames, None)
}

/// Through the buffer, in pieces of these lengths again and again.
fn feed(stream: &[u8], limit: usize, pieces: &[u8]) -> Cut {
    let mut buffer = FrameBuffer::new(limit);
    let mut frames = Vec::new();
    let mut error = None;
    let mut given = 0;
    let mut lengths = pieces.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |&n| usize::from(n)).min(rest.len());
        let (now, later) = rest.split_at(length.max(1));
        buffer.extend(now);
        rest = later;
        loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(error, None, "a frame behind an error");
                    given += 4 + frame.len();
                    frames.push(frame);
                }
                Ok(None) => {
                    assert_eq!(error, None, "an error that went away");
                    break;
                }
                Err(e) => {
                    assert_eq!(*error.get_or_insert(e), e, "an error that changed");
                    break;
                }
            }
        }
        let left = stream.len() - rest.len() - given;
        assert_eq!((buffer.len(), buffer.is_empty()), (left, left == 0));
    }
    let copies = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
    buffer.clear();
    assert_eq!(buffer.next_frame(), Ok(None), "nothing of it is left");
    (copies, error)
}
