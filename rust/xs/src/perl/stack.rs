//! The argument stack: what `dXSARGS`, `ST`, `EXTEND` and `XSRETURN` are in C.

use super::{Perl, Sv};
use libperl_sys as sys;
use sys::thx;

/// Where the arguments of the running XSUB stand, as offsets: the stack moves when it grows.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Offset of the first argument, and of the first result.
    ax: isize,
    /// How many arguments there are.
    pub(crate) items: usize,
}

impl Call {
    /// No call of perl's, but the arguments of one of ours: results that are put there stand on top of the
    /// stack, as if they had been pushed.
    pub(crate) fn on_top(perl: Perl) -> Call {
        // SAFETY: both are pointers into the same stack.
        let top =
            unsafe { (*sys::PL_stack_sp_ptr!(perl.raw())).offset_from(*sys::PL_stack_base_ptr!(perl.raw())) };
        Call { ax: top + 1, items: 0 }
    }
}

impl Perl {
    /// Takes the arguments of the XSUB that perl has just called. Once per XSUB, first of all.
    pub(crate) fn enter(self) -> Call {
        // SAFETY: pp_entersub has pushed a mark, and the arguments stand between it and the top.
        unsafe {
            let marks = sys::PL_markstack_ptr_ptr!(self.raw());
            let mark = **marks as isize;
            *marks = (*marks).sub(1);
            let top = (*sys::PL_stack_sp_ptr!(self.raw())).offset_from(*sys::PL_stack_base_ptr!(self.raw()));
            Call { ax: mark + 1, items: usize::try_from(top - mark).unwrap_or(0) }
        }
    }

    /// Argument `index`; undef when there are fewer.
    pub(crate) fn argument(self, call: Call, index: usize) -> Sv {
        if index >= call.items {
            return self.undef();
        }
        // SAFETY: index < items, so the slot is inside the stack and filled by the caller.
        unsafe {
            let base = *sys::PL_stack_base_ptr!(self.raw());
            Sv::from_raw(*base.offset(call.ax).add(index))
        }
    }

    /// Makes room for this many results.
    pub(crate) fn reserve(self, call: Call, results: usize) {
        // SAFETY: stack_grow copies what is below the top; the offsets in `call` stay valid.
        unsafe {
            let base = *sys::PL_stack_base_ptr!(self.raw());
            let sp = *sys::PL_stack_sp_ptr!(self.raw());
            let need = base.offset(call.ax).add(results);
            if need > *sys::PL_stack_max_ptr!(self.raw()) {
                thx::Perl_stack_grow(self.raw(), sp, sp, results as isize);
            }
        }
    }

    /// Stores result `index`; room was made by [`Perl::reserve`], or it stands on an argument.
    pub(crate) fn result(self, call: Call, index: usize, sv: Sv) {
        // SAFETY: see above: the slot is inside the stack. Slots above the top are not scanned.
        unsafe {
            let base = *sys::PL_stack_base_ptr!(self.raw());
            *base.offset(call.ax).add(index) = sv.raw();
        }
    }

    /// Ends the XSUB with the first `results` slots as its results.
    pub(crate) fn leave(self, call: Call, results: usize) {
        // SAFETY: the slots from ax on are filled; ax - 1 is the caller's mark.
        unsafe {
            let base = *sys::PL_stack_base_ptr!(self.raw());
            *sys::PL_stack_sp_ptr!(self.raw()) = base.offset(call.ax - 1).add(results);
        }
    }

    /// Ends the XSUB with one result. There is room: every method has its object as an argument.
    pub(crate) fn leave_with(self, call: Call, sv: Sv) {
        self.reserve(call, 1);
        self.result(call, 0, sv);
        self.leave(call, 1);
    }

    /// The context of the running XSUB.
    pub(crate) fn wants_list(self) -> bool {
        // SAFETY: reads the context of the op that called us.
        let want = unsafe { thx::Perl_gimme_V(self.raw()) };
        u32::from(want) == sys::G_LIST
    }

    /// `PUSHMARK(SP)`
    pub(crate) fn push_mark(self) {
        // SAFETY: the new mark is written inside the mark stack, grown when it was full.
        unsafe {
            let top = (*sys::PL_stack_sp_ptr!(self.raw())).offset_from(*sys::PL_stack_base_ptr!(self.raw()));
            let marks = sys::PL_markstack_ptr_ptr!(self.raw());
            *marks = (*marks).add(1);
            if *marks == *sys::PL_markstack_max_ptr!(self.raw()) {
                *marks = thx::Perl_markstack_grow(self.raw());
            }
            **marks = top as sys::Stack_off_t;
        }
    }

    /// `SP = ORIGMARK`: takes the newest mark back, and what was pushed after it.
    pub(crate) fn pop_mark(self) {
        // SAFETY: pairs with push_mark.
        unsafe {
            let marks = sys::PL_markstack_ptr_ptr!(self.raw());
            let mark = **marks as isize;
            *marks = (*marks).sub(1);
            *sys::PL_stack_sp_ptr!(self.raw()) = (*sys::PL_stack_base_ptr!(self.raw())).offset(mark);
        }
    }

    /// `PUSHSTACKi`: an argument stack and a stack of contexts of their own. A `last`, `next` or `goto` in a
    /// function that is called on it finds no loop to leave: it is an exception. On the stack of before, perl would
    /// go on with the program behind that loop while our frames are still there.
    pub(crate) fn push_stack(self) {
        // SAFETY: as in perl's macro (but for what only its debugging output reads); stacks that were used before are
        // kept by the interpreter. Undone by `pop_stack`, or by perl when an exception passes.
        unsafe {
            let info = sys::PL_curstackinfo_ptr!(self.raw());
            let mut next = (**info).si_next;
            if next.is_null() {
                next = thx::Perl_new_stackinfo(self.raw(), 32, 32);
                (*next).si_prev = *info;
                (**info).si_next = next;
            }
            (*next).si_type = sys::PERLSI_SIGNAL as sys::I32; // called from outside, as signal handlers are
            (*next).si_cxix = -1;
            (*(*(*next).si_stack).sv_any).xav_fill = 0;
            self.switch_stack((*next).si_stack);
            *info = next;
        }
    }

    /// `POPSTACK`: back to the stack of before [`Perl::push_stack`].
    pub(crate) fn pop_stack(self) {
        // SAFETY: pairs with push_stack.
        unsafe {
            let info = sys::PL_curstackinfo_ptr!(self.raw());
            let former = (**info).si_prev;
            self.switch_stack((*former).si_stack);
            *info = former;
        }
    }

    /// `SWITCHSTACK`
    ///
    /// # Safety
    /// The stack is that of a live stackinfo of this interpreter.
    unsafe fn switch_stack(self, to: *mut sys::AV) {
        // SAFETY: arrays that are argument stacks are plain ones, and have a body.
        unsafe {
            let [base, sp, max] = [
                sys::PL_stack_base_ptr!(self.raw()),
                sys::PL_stack_sp_ptr!(self.raw()),
                sys::PL_stack_max_ptr!(self.raw()),
            ];
            let current = sys::PL_curstack_ptr!(self.raw());
            (*(**current).sv_any).xav_fill = (*sp).offset_from(*base);
            *base = (*to).sv_u.svu_array;
            *max = (*base).offset((*(*to).sv_any).xav_max);
            *sp = (*base).offset((*(*to).sv_any).xav_fill);
            *current = to;
        }
    }

    /// `EXTEND` and `PUSHs` for each.
    pub(crate) fn push(self, values: &[Sv]) {
        // SAFETY: the stack is grown for all of them before they are written.
        unsafe {
            let mut sp = *sys::PL_stack_sp_ptr!(self.raw());
            let room = (*sys::PL_stack_max_ptr!(self.raw())).offset_from(sp);
            if room < values.len() as isize {
                sp = thx::Perl_stack_grow(self.raw(), sp, sp, values.len() as isize);
            }
            for value in values {
                sp = sp.add(1);
                *sp = value.raw();
            }
            *sys::PL_stack_sp_ptr!(self.raw()) = sp;
        }
    }
}

impl Perl {
    /// Appends " at FILE line N.\n" about the line that called the function of which the running XSUB is the
    /// last act. False when that is not sure to be a line of the program: it is one of ours, or generated.
    #[cfg(perl_ithreads)]
    pub(crate) fn place_of_caller(self, to: &mut Vec<u8>) -> bool {
        use std::io::Write;
        // SAFETY: the frame, if there is one, holds the statement from which it was entered, which is alive
        // as long as it runs; its file is a string.
        let (file, line) = unsafe {
            let frame = sys::Perl_caller_cx(self.raw(), 0, std::ptr::null_mut());
            if frame.is_null() {
                return false;
            }
            let statement = (*frame).cx_u.cx_blk.blku_oldcop;
            if statement.is_null() || (*statement).cop_file.is_null() {
                return false;
            }
            if is_conditional(statement) {
                return false;
            }
            (std::ffi::CStr::from_ptr((*statement).cop_file).to_bytes(), (*statement).cop_line)
        };
        let is_generated = file.first() == Some(&b'(');
        let may_be_ours = file.windows(9).any(|w| w == b"ZooKeeper") || file.ends_with(b"Moo/Object.pm");
        if is_generated || may_be_ours {
            return false;
        }
        to.extend_from_slice(b" at ");
        to.extend_from_slice(file);
        let _ = writeln!(to, " line {line}.");
        true
    }

    /// Without ithreads a statement does not know its file by name.
    #[cfg(not(perl_ithreads))]
    pub(crate) fn place_of_caller(self, _to: &mut Vec<u8>) -> bool {
        false
    }
}

/// Whether the statement is an `if` with more than one branch: what stands in an `elsif` has a line of its own, for
/// which perl searches.
///
/// # Safety
/// The statement is alive.
#[cfg(perl_ithreads)]
unsafe fn is_conditional(statement: *const sys::COP) -> bool {
    // SAFETY: a statement is followed by what it does, its sibling, if there is one; and an operation that has kids is
    // at least one with a pointer to the first of them.
    unsafe {
        if (*statement).op_moresib() == 0 {
            return false;
        }
        let branches = |op: *const sys::OP| u32::from((*op).op_type()) == sys::opcode::OP_COND_EXPR as u32;
        let op: *const sys::OP = (*statement).op_sibparent;
        if u32::from((*op).op_type()) != sys::opcode::OP_NULL as u32 {
            return branches(op);
        }
        // Perl wraps them.
        u32::from((*op).op_flags) & sys::OPf_KIDS != 0 && {
            let first = (*op.cast::<sys::UNOP>()).op_first;
            !first.is_null() && branches(first)
        }
    }
}
