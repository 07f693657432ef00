//! The argument of `_multi` and `_multi_read`: an array ref of operations, which are array refs of a
//! name and what the command of that name takes.

use crate::args::{Operands, Reader, Settled};
use crate::perl::{Kind, Sv};
use crate::table::Operation;
use crate::thrown::Thrown;
use crate::values;

impl Reader {
    /// The operations of a transaction or multi_read, of which these are known: an array ref of array refs.
    pub(crate) fn operations(&mut self, known: &'static [Operation]) -> Result<Operands, Thrown> {
        let perl = self.perl;
        let list = perl.argument(self.call, 1);
        let Kind::Array(list) = self.settle_reference(list) else {
            return Err(self.croak("operations must be an array ref"));
        };
        for index in 0..list.len(perl) {
            let (operation, arguments) = self.settle_operation(known, index, list.fetch(perl, index))?;
            self.held.buffers().settled.push((operation, arguments));
        }
        for index in 0..self.held.buffers().settled.len() {
            let (operation, arguments) = self.held.buffers().settled[index];
            self.about(Some((index, operation.name)));
            let given = self.read(operation.args, arguments, false)?;
            self.held.buffers().operations.push((operation, given));
        }
        Ok(Operands::NONE)
    }

    fn settle_operation(
        &mut self,
        known: &'static [Operation],
        index: usize,
        sv: Sv,
    ) -> Result<(&'static Operation, Settled), Thrown> {
        let perl = self.perl;
        self.about(None);
        let Kind::Array(list) = self.settle_reference(sv) else {
            return Err(self.croak(format_args!("operation {} must be an array ref", index + 1)));
        };
        let name = self.settle(list.fetch(perl, 0));
        let found = known.iter().find(|o| o.name.as_bytes() == name.stored_bytes());
        let Some(operation) = found else {
            return Err(self.croak(format_args!(
                "operation {} has no known name: {}",
                index + 1,
                values::shown(perl, name)
            )));
        };
        self.about(Some((index, operation.name)));
        let arguments = self.settle_all(operation.args, |at| {
            // Kept alive one by one: what a later one runs may empty the array.
            list.fetch(perl, 1 + at).retain().mortal(perl)
        })?;
        Ok((operation, arguments))
    }
}
