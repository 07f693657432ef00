//! Where a client belongs after its list of servers has changed.
//!
//! Each client decides for itself, without knowing of the others, in such a way that many of them that were
//! spread evenly over the old list are spread evenly over the new one, and that no more of them move than
//! have to. The rule is that of ZOOKEEPER-1355, which the Java and C clients follow.

use crate::connect_string::HostPort;

/// What a client does about a new list of servers.
#[derive(Debug)]
pub(crate) struct Placement {
    /// It stays where it is.
    pub(crate) stays: bool,
    /// The new list, each server once, in the order in which this client tries them. If it stays, its
    /// server is the first.
    pub(crate) order: Vec<HostPort>,
}

/// Decides for a client whose server is `current` (in use, or about to be tried).
pub(crate) fn place(
    before: &[HostPort],
    after: &[HostPort],
    current: Option<&HostPort>,
    rng: &mut fastrand::Rng,
) -> Placement {
    let (before, mut after) = (distinct(before), distinct(after));
    rng.shuffle(&mut after);
    let (mut kept, mut added): (Vec<_>, Vec<_>) = after.into_iter().partition(|host| before.contains(host));
    let odds = Odds { before: before.len(), kept: kept.len(), added: added.len() };

    let mine = current.and_then(|host| kept.iter().chain(&added).find(|h| *h == host)).cloned();
    if let Some(mine) = mine {
        if rng.f64() < odds.of_staying() {
            let others = kept.into_iter().chain(added).filter(|host| *host != mine);
            return Placement { stays: true, order: std::iter::once(mine.clone()).chain(others).collect() };
        }
        // Its server has too many clients, as all that were there before.
        return Placement { stays: false, order: added.into_iter().chain(kept).collect() };
    }
    let mut order = Vec::with_capacity(kept.len() + added.len());
    while let Some(host) = match (kept.is_empty(), added.is_empty()) {
        (false, false) if rng.f64() < odds.of_one_kept() => kept.pop(),
        (_, false) => added.pop(),
        _ => kept.pop(),
    } {
        order.push(host);
    }
    Placement { stays: false, order }
}

/// How many servers there were, how many of them are still there, and how many are new.
struct Odds {
    before: usize,
    kept: usize,
    added: usize,
}

impl Odds {
    /// That a client stays whose server is still there. Of each server's share, one in `before`, one in
    /// `after` is to be left.
    fn of_staying(&self) -> f64 {
        let after = self.kept + self.added;
        if self.added == 0 || after <= self.before {
            return 1.0;
        }
        ratio(self.before, after)
    }

    /// That a client whose server has gone takes one of those that were there before: they need what one
    /// in `after` is more than one in `before`, and all that there is to be had are the clients of the
    /// `before - kept` servers that have gone.
    fn of_one_kept(&self) -> f64 {
        let after = self.kept + self.added;
        if after >= self.before || self.kept >= self.before {
            return 0.0;
        }
        ratio(self.kept, after) * ratio(self.before - after, self.before - self.kept)
    }
}

/// Lists of servers are short.
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn distinct(hosts: &[HostPort]) -> Vec<HostPort> {
    let mut seen = Vec::with_capacity(hosts.len());
    for host in hosts {
        if !seen.contains(host) {
            seen.push(host.clone());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(ports: &[u16]) -> Vec<HostPort> {
        ports.iter().map(|port| HostPort { host: "h".into(), port: *port }).collect()
    }

    fn ports(placement: &Placement) -> Vec<u16> {
        placement.order.iter().map(|host| host.port).collect()
    }

    #[test]
    fn the_same_list_moves_nobody() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let list = hosts(&[1, 2, 3]);
            let placement = place(&list, &hosts(&[3, 1, 2]), Some(&list[1]), &mut rng);
            assert!(placement.stays);
            assert_eq!(placement.order[0], list[1]);
            assert_eq!(placement.order.len(), 3);
        }
    }

    #[test]
    fn whose_server_has_gone_moves_and_who_makes_room_goes_to_a_new_one() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let before = hosts(&[1, 2, 3]);
            let placement = place(&before, &hosts(&[2, 3, 4]), Some(&before[0]), &mut rng);
            assert!(!placement.stays);
            assert_eq!(ports(&placement)[0], 4, "the others have their share");
            let placement = place(&before, &hosts(&[1, 2, 3, 4, 5, 6]), Some(&before[0]), &mut rng);
            assert!(placement.stays == (placement.order[0].port == 1));
            assert!(placement.stays || placement.order[0].port > 3);
        }
    }

    #[test]
    fn every_server_is_in_the_order_once_however_often_it_was_named() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (before, after) = (hosts(&[1, 1, 2]), hosts(&[2, 3, 3, 1, 2]));
            for current in [None, Some(&before[0]), Some(&hosts(&[9])[0])] {
                let mut order = ports(&place(&before, &after, current, &mut rng));
                order.sort_unstable();
                assert_eq!(order, [1, 2, 3]);
            }
        }
    }

    #[test]
    fn a_server_named_twice_is_no_new_one() {
        let one = hosts(&[1]);
        for seed in 0..50 {
            assert!(place(&one, &hosts(&[1, 1]), Some(&one[0]), &mut fastrand::Rng::with_seed(seed)).stays);
        }
    }
}
