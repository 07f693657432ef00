//! Moves that are planned: to another list of servers, to a server that can write.
//!
//! Unlike a loss, a move can wait until what is under way has been answered. What is asked meanwhile waits
//! for the next connection, so that nothing is lost by a move; unless the server takes too long.

use super::{Action, Failure, Output, Phase, Session};
use crate::connect_string::ConnectString;
use crate::event::KeeperState;
use crate::note::{Level, Note};
use crate::time::Time;
use crate::Code;

impl Session {
    /// Takes another list of servers in place of the present one. The session stays where it is or moves, so
    /// that many clients that are told the same spread evenly over the new list.
    ///
    /// # Errors
    /// At once, with nothing changed: the session is over, or the chroot is another one
    /// ([`Code::BAD_ARGUMENTS`]): paths under way would change their meaning.
    pub fn set_servers(&mut self, now: Time, servers: ConnectString) -> Result<(), Failure> {
        self.usable()?;
        if servers.chroot != self.config.servers.chroot {
            let shown = |chroot: &[u8]| match chroot {
                [] => "none".to_owned(),
                path => format!("'{}'", String::from_utf8_lossy(path)),
            };
            let detail = format!(
                "chroot of the new hosts is {}, that of the session {}",
                shown(servers.chroot.as_bytes()),
                shown(self.chroot().as_bytes())
            );
            return Err(Failure { detail: Some(detail), ..Failure::new(Code::BAD_ARGUMENTS) });
        }
        // Wherever it is about to go counts as where it is: that is how it was spread by the last list.
        let in_use = !matches!(self.phase, Phase::Pausing { .. }) && self.moving.is_none();
        let current = if in_use { self.server.clone() } else { self.endpoints.peek().cloned() };
        let stays = self.endpoints.replace(&servers.hosts, current.as_ref(), in_use, &mut self.rng);
        self.troubles.keep(&servers.hosts);
        self.config.servers = servers;
        self.notes.leave(Level::Info, || Note::Hosts(self.config.servers.to_string(), stays));
        match self.phase {
            _ if stays => self.search_anew(now),
            Phase::Pausing { .. } => self.phase = Phase::Pausing { until: now },
            Phase::Established { .. } => self.start_move(now),
            Phase::Connecting { .. } | Phase::Handshaking { .. } | Phase::Authenticating { .. } => {
                self.actions.push_back(Action::Disconnect);
                self.reset_stream();
                self.phase = Phase::Pausing { until: now };
            }
            Phase::Over(_) => {}
        }
        Ok(())
    }

    /// Whether a move is planned, so that what is asked now waits for another connection.
    pub fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Leaves the connection for the server that is next in the list, as soon as nothing is under way.
    pub(super) fn start_move(&mut self, now: Time) {
        if self.moving.is_none() {
            // As long as a server may take that is looked for.
            self.moving = Some(now + self.connect_limit());
        }
        if self.search.take().is_some_and(|search| search.is_probing()) {
            self.actions.push_back(Action::EndProbe);
        }
        self.move_when_idle(now);
    }

    /// If a move is planned, and nothing is under way any more, it is made.
    pub(super) fn move_when_idle(&mut self, now: Time) {
        let Phase::Established { since, .. } = self.phase else { return };
        if self.moving.is_none() || self.closing.is_some() || self.pending.len() > 0 {
            return;
        }
        self.notes.leave(Level::Info, || Note::Moves(self.server.clone(), self.endpoints.peek().cloned()));
        self.actions.push_back(Action::Disconnect);
        self.reset_stream();
        // At once, but for servers that say that they can write and then can't: they would be called in a loop.
        let until = self.endpoints.failed(now, Some(since), &mut self.rng);
        self.phase = Phase::Pausing { until };
        self.wait_for_connection(now);
        self.outputs.push_back(Output::State(KeeperState::CONNECTING));
    }
}
