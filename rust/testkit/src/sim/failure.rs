//! Holds against the rules what a session tells without a frame of the server being the reason:
//! failures and changes of state.

use super::op::Op;
use super::user::{End, Kind, Stage};
use super::{login, removal, Sim};
use zk_proto::session::{Failure, Output};
use zk_proto::{Code, EventType, KeeperState};

impl Sim {
    /// What no frame was the reason of: failures, by loss, time or the end; and changes of state.
    pub(super) fn judge_rest(&mut self, user: usize) {
        while let Some(output) = self.users[user].outputs.front() {
            let done = matches!(output, Output::Completed { result: Ok(_), .. });
            if done
                || matches!(output, Output::Watch { event, .. } if removal::is_said_of_removal(event.kind))
            {
                self.judge_removal_alone(user);
                continue;
            }
            let Some(output) = self.users[user].outputs.pop_front() else { break };
            self.trace(|_| format!("user {user} is told {output:?}"));
            let u = &mut self.users[user];
            assert!(!u.over || output == Output::Closed, "{output:?} after the end");
            match output {
                Output::Completed { token, result: Err(failure) } => match login::of_token(token) {
                    Some(index) => self.judge_auth_failure(user, index, &failure),
                    None => self.judge_failure(user, token, &failure),
                },
                Output::State(KeeperState::CONNECTING) => {
                    assert!(u.connected && !u.closing, "a loss of what was not there");
                    if u.moving
                        && u.conn
                            .is_some_and(|conn| self.conns[conn].handed.len() == self.conns[conn].replied)
                    {
                        self.counts.bump("moves without a loss");
                        self.wait_for_connection(user);
                    }
                    let u = &mut self.users[user];
                    assert!(
                        u.waits.iter().all(|t| u.asked[*t as usize - 1].stage == Stage::Waits),
                        "what waited behind the lost is still there: {:?}",
                        u.waits
                    );
                    u.moving = false;
                    u.connected = false;
                    self.counts.bump("losses told");
                    let at = self.time_of(user);
                    let u = &mut self.users[user];
                    u.at_once = (at >= u.connected_at + 1_000_000).then_some(at);
                }
                Output::State(KeeperState::EXPIRED) => {
                    assert!(self.may_expire(user), "expired without a word of the server");
                    let word = self.users[user].refused;
                    if word && self.users[user].slept {
                        self.counts.bump("sessions that expired while their client was stopped, told so");
                    }
                    self.counts.bump(if word {
                        "sessions told of their expiry"
                    } else {
                        "sessions expired by their own clock"
                    });
                    self.end_of(user);
                }
                Output::State(KeeperState::AUTH_FAILED) => {
                    assert!(u.auth_refused, "authentication refused without a word of the server");
                    self.counts.bump("sessions told of refused authentication");
                    self.end_of(user);
                }
                Output::Closed => {
                    assert!(u.closing && !u.closed, "closed, unasked");
                    u.closed = true;
                    u.over = true;
                    self.counts.bump("sessions closed without the server's word");
                }
                // Persistent watches may have missed something.
                Output::Watch { watcher, event, stays: Some(_) } if event.kind == EventType::RESYNC => {
                    let kinds = [Kind::Persistent, Kind::Recursive];
                    assert!(u.armed.iter().any(|a| a.watcher == watcher && kinds.contains(&a.kind)));
                    self.counts.bump("persistent watchers told to look again");
                }
                other => panic!("user {user}: {other:?}, and no frame said so"),
            }
        }
    }

    fn end_of(&mut self, user: usize) {
        let u = &mut self.users[user];
        u.over = true;
        u.connected = false;
        assert!(u.asked.iter().all(|a| a.stage == Stage::Done), "over with requests unanswered");
        assert!(u.auths.iter().all(|a| a.asked.is_none()), "over with authentications unanswered");
    }

    /// Whether a server has said that the session is over, or the user goes by the clock.
    pub(super) fn may_expire(&self, user: usize) -> bool {
        let u = &self.users[user];
        u.refused || (u.by_clock && u.lease.is_some_and(|lease| lease.ends() <= self.time_of(user)))
    }

    fn judge_failure(&mut self, user: usize, token: u64, failure: &Failure) {
        let at = self.time_of(user);
        let u = &self.users[user];
        let asked = &u.asked[token as usize - 1];
        let sent = matches!(asked.stage, Stage::Handed(..));
        // Those that wait for room stand behind all that were handed over.
        let place = match asked.stage {
            Stage::Waits => None,
            Stage::Crowded(conn) => Some((conn, self.conns[conn].handed.len() + token as usize)),
            Stage::Handed(conn, nth) => Some((conn, nth)),
            Stage::Done => panic!("request {token} of user {user} is answered again: {failure:?}"),
        };
        assert!(sent || !failure.maybe_applied, "{token} never went out");
        assert!(asked.op.is_write() || !failure.maybe_applied, "{token} changes nothing");
        // Nobody is late but for a stopped process or a clock that jumped.
        let slack = 4_000;
        let timely = at <= asked.deadline + slack || u.disturbed >= asked.at || failure.code == Code::CLOSING;
        assert!(timely, "request {token} of user {user} was answered late");
        let alone = matches!(asked.op, Op::RemoveWatches { local: true, .. });
        assert!(
            !alone || failure.code != Code::CONNECTION_LOSS,
            "{token} needs no server, and fails without one"
        );
        match failure.code {
            Code::CONNECTION_LOSS => match place {
                Some((conn, nth)) => {
                    let gone = !u.session.is_connected() || u.conn != Some(conn);
                    assert!(gone, "{token} lost on a connection that is there");
                    if let Some((last, before)) = u.last_answered {
                        assert!(last != conn || before < nth, "failures out of order");
                    }
                    if let Some(offset) = asked.offset.filter(|_| asked.op.is_write()) {
                        let sent = offset < self.conns[conn].written;
                        assert_eq!(failure.maybe_applied, sent, "{token}, of which this much is known");
                    }
                    self.users[user].last_answered = Some((conn, nth));
                    self.counts.bump(match sent {
                        true => "requests lost with their connection",
                        false => "requests lost while they waited for room",
                    });
                }
                None => {
                    assert!(at >= asked.connect_by, "{token} given up too early");
                    self.counts.bump("requests given up for want of a connection");
                }
            },
            Code::OPERATION_TIMEOUT => {
                assert!(at >= asked.deadline, "{token} timed out too early");
                self.counts.bump(match (sent, place) {
                    (false, Some(_)) => "requests timed out while they waited for room",
                    _ => "requests timed out",
                });
            }
            Code::SESSION_EXPIRED => {
                assert!(self.may_expire(user), "{token} expired without a word of the server");
            }
            Code::AUTH_FAILED => assert!(u.auth_refused, "{token} failed without a word of the server"),
            Code::CLOSING => assert!(u.closing, "{token} failed by a close that was not asked for"),
            code => panic!("{token} failed with {code:?}, and no server said so"),
        }
        if failure.maybe_applied {
            self.counts.bump("writes with unknown outcome");
        }
        let end = if failure.maybe_applied { End::Unknown } else { End::Failed };
        self.note_end(user, token, end);
    }

    pub(super) fn note_end(&mut self, user: usize, token: u64, end: End) {
        let asked = &mut self.users[user].asked[token as usize - 1];
        assert_eq!(asked.end, None, "request {token} is answered twice");
        asked.end = Some(end);
        self.note_done(user, token);
    }
}
