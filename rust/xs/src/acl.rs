//! Access lists: array refs of hash refs `{id, scheme, perms}`, on the way in.

use crate::args::Reader;
use crate::perl::{Key, Kind, Perl, Sv};
use crate::thrown::Thrown;
use crate::values;
use zk_proto::record::Acl;
use zk_proto::Code;

pub(crate) static ID: Key = Key::new("id");
pub(crate) static SCHEME: Key = Key::new("scheme");
pub(crate) static PERMS: Key = Key::new("perms");

/// At boot.
pub(crate) fn prepare_keys(perl: Perl) {
    for key in [&ID, &SCHEME, &PERMS] {
        key.prepare(perl);
    }
}

/// Which of the frame's access list entries belong to one argument.
#[derive(Clone, Copy)]
pub(crate) struct AclRange {
    start: usize,
    len: usize,
}

impl AclRange {
    /// No entries.
    pub(crate) const NONE: AclRange = AclRange { start: 0, len: 0 };

    /// The entries.
    pub(crate) fn of(self, all: &[Acl]) -> &[Acl] {
        all.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl Reader {
    /// Copies an access list into the frame. Tied arrays and hashes are read through their magic,
    /// which may run Perl code: so this belongs to the first pass.
    pub(crate) fn acl(&mut self, sv: Sv) -> Result<AclRange, Thrown> {
        let perl = self.perl;
        let Kind::Array(list) = self.settle_reference(sv) else {
            return Err(self.wrong_acl());
        };
        let start = self.held.buffers().acls.len();
        let len = list.len(perl);
        for index in 0..len {
            let Kind::Hash(entry) = self.settle_reference(list.fetch(perl, index)) else {
                return Err(self.wrong_acl());
            };
            // One value at a time is taken and copied: reading the next one may free it.
            let perms = entry.fetch(perl, &PERMS);
            let perms = self.settle(perms);
            if !perms.is_defined() {
                return Err(self.wrong_acl());
            }
            let perms = self.int32("perms", perms)?;
            self.held.buffers().acls.push(Acl { perms, scheme: Vec::new(), id: Vec::new() });
            self.acl_text(entry.fetch(perl, &SCHEME), |acl| &mut acl.scheme)?;
            self.acl_text(entry.fetch(perl, &ID), |acl| &mut acl.id)?;
        }
        if len == 0 {
            // What a server answers to an empty list, and so the C client; without the round trip.
            let words = "acl is empty: nobody could use the node";
            return Err(self.refused(Code::INVALID_ACL, words));
        }
        Ok(AclRange { start, len })
    }

    /// Copies a string into the last entry, which the frame owns: reading may die.
    fn acl_text(&mut self, sv: Sv, field: fn(&mut Acl) -> &mut Vec<u8>) -> Result<(), Thrown> {
        let sv = self.settle(sv);
        if sv.is_reference() || !sv.is_defined() {
            return Err(self.wrong_acl());
        }
        let (raw, _) = values::text(self.perl, sv, self.utf8);
        if let Some(acl) = self.held.buffers().acls.last_mut() {
            // SAFETY: nothing has run since the pointer was taken.
            field(acl).extend_from_slice(unsafe { raw.bytes() });
        }
        Ok(())
    }

    fn wrong_acl(&self) -> Thrown {
        self.croak("acl must be an array ref of hash refs {id, scheme, perms}")
    }
}
