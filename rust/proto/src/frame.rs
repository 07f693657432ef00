//! Cuts the stream of bytes from a server into frames.

use bytes::{Buf, Bytes, BytesMut};

/// Room that is kept for reuse.
const ROOM: usize = 64 * 1024;

/// Room that is made in one go for what has not arrived yet: as much as servers let a node have, unless they are
/// told otherwise. A length that lies costs no more than this, of addresses; memory it is when it is written to.
const AT_ONCE: usize = 1024 * 1024 + ROOM;

/// Room that a buffer starts with.
const INITIAL: usize = 8 * 1024;

/// A length that no frame can have; nothing behind it can be read any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Less than 0.
    #[error("frame of negative length {0}")]
    Negative(i32),
    /// More than the limit.
    #[error("frame of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// The length that the frame's head gives.
        length: usize,
        /// The limit that the buffer was made with.
        limit: usize,
    },
}

/// Takes bytes as they arrive and gives out whole frames, without their four bytes of length.
///
/// Frames are slices of the buffer; once they have been dropped its memory is used again, so that a
/// life of small replies needs one allocation. A frame that is kept keeps up to 64 KiB of
/// its neighbours alive with it.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: BytesMut,
    limit: usize,
    /// The memory behind `bytes` may be more than [`ROOM`].
    oversize: bool,
}

impl FrameBuffer {
    /// Refuses frames of more than `limit` bytes (the four bytes of length not counted).
    pub fn new(limit: usize) -> FrameBuffer {
        FrameBuffer { bytes: BytesMut::with_capacity(INITIAL), limit, oversize: false }
    }

    /// Appends bytes that have arrived. With the first of a long frame room for the rest of it is made, so that it is not
    /// moved while it grows, but never for much more than what has already come.
    pub fn extend(&mut self, arrived: &[u8]) {
        let have = self.bytes.len();
        if self.bytes.capacity() - have < arrived.len() {
            if let Ok(Some(length)) = self.head() {
                let missing = (length + 4).saturating_sub(have);
                self.bytes.reserve(missing.min(AT_ONCE.max(have)));
            }
        }
        self.bytes.extend_from_slice(arrived);
        self.oversize |= self.bytes.capacity() > ROOM;
    }

    /// The next frame, `None` if it is not complete yet. A bad length is an error as soon as its
    /// four bytes are there, and stays one.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.head()? else {
            return Ok(None);
        };
        if self.bytes.len() - 4 < length {
            return Ok(None);
        }
        self.bytes.advance(4);
        let frame = self.bytes.split_to(length).freeze();
        if self.oversize && self.bytes.len() <= INITIAL {
            self.shrink();
        }
        Ok(Some(frame))
    }

    /// Forgets everything that has arrived: the connection is gone.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shrink();
    }

    /// Bytes that have arrived and not been given out.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all that has arrived has been given out.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The length of the frame at the front, if its four bytes are there.
    fn head(&self) -> Result<Option<usize>, FrameError> {
        let Some(&head) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let head = i32::from_be_bytes(head);
        match usize::try_from(head) {
            Err(_) => Err(FrameError::Negative(head)),
            Ok(length) if length > self.limit => Err(FrameError::TooLong { length, limit: self.limit }),
            Ok(length) => Ok(Some(length)),
        }
    }

    /// Moves the little that is left out of a big allocation, so that this one goes when the frame
    /// does. The copy is paid for by the many bytes that made the buffer grow.
    fn shrink(&mut self) {
        if self.oversize {
            let mut fresh = BytesMut::with_capacity(INITIAL);
            fresh.extend_from_slice(&self.bytes);
            self.bytes = fresh;
            self.oversize = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn framed(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }

    fn drain(buffer: &mut FrameBuffer) -> Vec<Bytes> {
        std::iter::from_fn(|| buffer.next_frame().unwrap()).collect()
    }

    #[test]
    fn lengths_that_no_frame_has() {
        let too_long = |length| FrameError::TooLong { length, limit: LIMIT };
        for (head, error) in [
            (-1, FrameError::Negative(-1)),
            (-2, FrameError::Negative(-2)),
            (i32::MIN, FrameError::Negative(i32::MIN)),
            (i32::MAX, too_long(0x7fff_ffff)),
            ((1 << 20) + 1, too_long(LIMIT + 1)),
        ] {
            let mut buffer = FrameBuffer::new(LIMIT);
            let head = head.to_be_bytes();
            buffer.extend(&head[..3]);
            assert_eq!(buffer.next_frame(), Ok(None));
            buffer.extend(&head[3..]);
            // At once, before the body, and for good.
            assert_eq!(buffer.next_frame(), Err(error));
            buffer.extend(b"more");
            assert_eq!(buffer.next_frame(), Err(error));
            assert!(buffer.bytes.capacity() < 2 * ROOM);
            buffer.clear();
            assert_eq!(buffer.next_frame(), Ok(None));
        }
    }

    #[test]
    fn lengths_that_frames_have() {
        for length in [0, 1, 3, LIMIT] {
            let mut buffer = FrameBuffer::new(LIMIT);
            let body = vec![7; length];
            buffer.extend(&framed(&body));
            assert_eq!(buffer.next_frame(), Ok(Some(Bytes::from(body))));
            assert_eq!(buffer.next_frame(), Ok(None));
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_byte_at_a_time() {
        let bodies: [&[u8]; 4] = [b"one", b"", b"three", b"\0"];
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        let mut buffer = FrameBuffer::new(LIMIT);
        let mut frames = Vec::new();
        for byte in stream {
            buffer.extend(&[byte]);
            frames.extend(drain(&mut buffer));
        }
        assert_eq!(frames, bodies);
    }

    #[test]
    fn many_frames_at_once() {
        let bodies: Vec<Vec<u8>> = (0..1000u32).map(|i| vec![1; i as usize]).collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        let mut buffer = FrameBuffer::new(LIMIT);
        buffer.extend(&stream);
        assert_eq!(drain(&mut buffer), bodies);
    }

    #[test]
    fn small_replies_one_after_the_other_share_one_allocation() {
        let mut buffer = FrameBuffer::new(LIMIT);
        let (start, end) = (buffer.bytes.as_ptr(), INITIAL);
        let frame = framed(&[9; 100]);
        for _ in 0..10_000 {
            buffer.extend(&frame);
            let got = buffer.next_frame().unwrap().unwrap();
            assert_eq!(got.len(), 100);
            let offset = got.as_ptr() as usize - start as usize;
            assert!(offset < end, "{offset}");
        }
    }

    #[test]
    fn room_grows_with_what_arrived_and_not_with_what_was_promised() {
        let mut buffer = FrameBuffer::new(1 << 30);
        buffer.extend(&(1u32 << 30).to_be_bytes());
        for _ in 0..1_024 {
            buffer.extend(&[0; 4096]);
            let arrived = buffer.len();
            assert!(buffer.bytes.capacity() <= 4 * arrived + AT_ONCE + ROOM);
        }
        assert_eq!(buffer.next_frame(), Ok(None));
    }

    #[test]
    fn a_long_frame_is_moved_at_most_once_while_it_arrives() {
        let mut buffer = FrameBuffer::new(1 << 20);
        buffer.extend(&framed(b"small"));
        assert_eq!(drain(&mut buffer).len(), 1);
        let frame = framed(&vec![3; 1 << 20]);
        let mut places = Vec::new();
        for piece in frame.chunks(ROOM) {
            buffer.extend(piece);
            places.push(buffer.bytes.as_ptr());
        }
        places.dedup();
        assert!(places.len() <= 2, "{places:?}");
        let frame = buffer.next_frame().unwrap().unwrap();
        assert_eq!(frame.len(), 1 << 20);
        let held = frame.try_into_mut().unwrap().capacity();
        assert!(held <= (1 << 20) + ROOM, "no memory but its own: {held}");
    }

    #[test]
    fn the_memory_of_a_large_reply_goes_with_it() {
        let mut buffer = FrameBuffer::new(64 << 20);
        let large = framed(&vec![1; 8 << 20]);
        let small = framed(b"small");
        buffer.extend(&large);
        buffer.extend(&small);
        buffer.extend(&small[..3]);
        let frame = buffer.next_frame().unwrap().unwrap();
        assert_eq!(frame.len(), 8 << 20);
        assert!(frame.is_unique(), "the buffer holds nothing of it any more");
        assert!(buffer.bytes.capacity() <= 2 * INITIAL);
        buffer.extend(&small[3..]);
        assert_eq!(drain(&mut buffer), [&b"small"[..], b"small"]);
    }

    #[test]
    fn a_large_reply_that_never_ends_goes_with_its_connection() {
        let mut buffer = FrameBuffer::new(64 << 20);
        buffer.extend(&framed(&vec![1; 1 << 20])[..1 << 20]);
        buffer.clear();
        assert!(buffer.is_empty());
        assert!(buffer.bytes.capacity() <= 2 * INITIAL);
    }
}
