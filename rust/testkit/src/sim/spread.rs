//! Many users who are told of another list of servers at the same time.

use super::Sim;

impl Sim {
    /// How many come, and which servers they know at first.
    pub(super) fn gather(&mut self) -> u32 {
        self.known = self.some_list();
        self.rng.u32(50..70)
    }

    fn some_list(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.servers.len()).collect();
        self.rng.shuffle(&mut all);
        all.truncate(self.rng.usize(1..=all.len()));
        all
    }

    pub(super) fn spread(&mut self) {
        let list = self.some_list();
        self.counts.bump(match list.len().cmp(&self.known.len()) {
            std::cmp::Ordering::Less => "crowds told of fewer servers",
            std::cmp::Ordering::Equal => "crowds told of other servers",
            std::cmp::Ordering::Greater => "crowds told of more servers",
        });
        self.known = list.clone();
        for user in 0..self.users.len() {
            if !self.users[user].over && !self.users[user].closing {
                self.tell_hosts(user, list.clone());
            }
        }
    }

    /// No server has many more users than its share (by five deviations: chance alone does not come so far).
    pub(super) fn judge_spread(&mut self) {
        let mut load = vec![0_usize; self.servers.len()];
        for u in self.users.iter().filter(|u| !u.over) {
            load[u.conn.map(|conn| self.conns[conn].server).expect("judge_users has seen it")] += 1;
        }
        let mean = load.iter().sum::<usize>() as f64 / self.known.len() as f64;
        let most = load.iter().max().copied().unwrap_or_default() as f64;
        assert!(most <= mean + 5.0 * mean.sqrt() + 1.0, "users by server: {load:?}");
        self.counts.bump("crowds spread over their servers");
    }
}
