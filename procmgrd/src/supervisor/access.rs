//! Who may do what.
//!
//! Judges persons only; whether an action is possible just now is `program`'s to say.

use procmgr_config::{Allowed, Gid, Membership, Uid};

use crate::supervisor::event::Peer;

/// Whoever asks, with the supplementary groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) peer: Peer,
    pub(crate) groups: &'a [Gid],
}

impl Person<'_> {
    /// Returns whether this person may perform an action that all these rules have to allow: root may, and so may
    /// whoever each of them names by user *or* group. Where there is no rule nobody else may.
    pub(crate) fn may_invoke<'r>(self, rules: impl IntoIterator<Item = &'r Allowed>) -> bool {
        let mut rules = rules.into_iter().peekable();
        self.peer.uid == Uid::ROOT || (rules.peek().is_some() && rules.all(|rule| self.is_named_by(rule)))
    }

    fn is_named_by(self, Allowed { uids, gids, membership }: &Allowed) -> bool {
        let is_in = |gid: &Gid| match membership {
            Membership::Effective => *gid == self.peer.gid,
            Membership::Supplementary => *gid == self.peer.gid || self.groups.contains(gid),
        };
        uids.contains(&self.peer.uid) || gids.iter().any(is_in)
    }
}

/// Returns whether the peer may stop or reload a daemon that runs as `owner`: root may, and so may the owner.
pub(crate) fn may_command(peer: &Peer, owner: Uid) -> bool {
    peer.uid == Uid::ROOT || peer.uid == owner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::event::Pid;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { pid: Pid(9), uid: Uid(uid), gid: Gid(gid) }
    }

    fn may(peer: Peer, groups: &[Gid], rules: &[Allowed]) -> bool {
        Person { peer, groups }.may_invoke(rules)
    }

    #[test]
    fn root_may_all_and_others_need_the_user_or_the_group() {
        let both = Allowed::new([Uid(1), Uid(5)], [Gid(2), Gid(6)]);
        let nobody = Allowed::default();
        let cases = [
            (peer(0, 7), &nobody, true),
            (peer(1, 7), &nobody, false),
            (peer(1, 7), &both, true),
            (peer(5, 7), &both, true),
            (peer(7, 2), &both, true),
            (peer(7, 6), &both, true),
            (peer(2, 1), &both, false),
            (peer(7, 0), &both, false),
        ];
        for (peer, allowed, expected) in cases {
            assert_eq!(may(peer, &[], std::slice::from_ref(allowed)), expected, "{peer} {allowed:?}");
        }
    }

    #[test]
    fn supplementary_groups_count_only_where_they_are_said_to() {
        let effective = Allowed::new([], [Gid(2)]);
        let any = Allowed { membership: Membership::Supplementary, ..effective.clone() };
        let cases = [(peer(1, 7), true), (peer(1, 2), false)];
        for (peer, needs_supplementary) in cases {
            let groups = [Gid(8), Gid(2)];
            assert_eq!(may(peer, &groups, std::slice::from_ref(&effective)), !needs_supplementary, "{peer}");
            assert!(may(peer, &groups, std::slice::from_ref(&any)), "{peer}");
            assert!(!may(peer, &groups, &[Allowed { gids: [Gid(3)].into(), ..any.clone() }]), "{peer}");
        }
        assert!(!may(peer(1, 7), &[], &[any]));
    }

    #[test]
    fn all_rules_have_to_allow_and_none_is_not_enough() {
        let anna = Allowed::new([Uid(1)], []);
        let bert = Allowed::new([Uid(2)], []);
        assert!(may(peer(1, 7), &[], &[anna.clone(), anna.clone()]));
        assert!(!may(peer(1, 7), &[], &[anna, bert]));
        assert!(!may(peer(1, 7), &[], &[]));
        assert!(may(peer(0, 7), &[], &[]));
    }

    #[test]
    fn the_daemon_obeys_root_and_its_owner() {
        assert!(may_command(&peer(0, 5), Uid(1000)));
        assert!(may_command(&peer(1000, 5), Uid(1000)));
        assert!(!may_command(&peer(1001, 0), Uid(1000)));
    }
}
