//! How much memory a piece of code holds at its worst: an allocator that counts.
//!
//! A program that wants to know installs it: `#[global_allocator] static METER: Meter = Meter;`.
//! In one that does not, everything seems to cost nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with the books kept for each thread.
#[derive(Debug)]
pub struct Meter;

thread_local! {
    /// Bytes held now, and the most since the last call of [`peak`]. Memory that one thread takes
    /// and another gives back makes the first number negative; tests here use one thread each.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The result of `work`, and how many bytes more than before it this thread held at most.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, outer) = HELD.get();
    HELD.set((before, before));
    let result = work();
    let (now, most) = HELD.get();
    HELD.set((now, most.max(outer)));
    (result, usize::try_from(most - before).unwrap_or(0))
}

fn note(bytes: isize) {
    // While a thread ends its books are closed already.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: every call is handed to the system's allocator as it came; the books are plain numbers
// in a `Cell` with a constant initial value, so that keeping them allocates nothing.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be there while the bytes are copied.
        note(size as isize);
        note(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
