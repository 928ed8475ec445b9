//! Who may do what.
//!
//! Judges persons only; whether an action is possible just now is `program`'s to say.

use procmgr_config::{Allowed, Uid};

use crate::supervisor::event::Peer;

/// Returns whether the peer may perform an action that all these rules have to allow: root may, and so may whoever each
/// of them names by user *or* group. Where there is no rule nobody else may.
pub(crate) fn may_invoke(peer: &Peer, rules: impl IntoIterator<Item = Allowed>) -> bool {
    let names_peer = |rule: Allowed| rule.uid == Some(peer.uid) || rule.gid == Some(peer.gid);
    let mut rules = rules.into_iter().peekable();
    peer.uid == Uid::ROOT || (rules.peek().is_some() && rules.all(names_peer))
}

/// Returns whether the peer may stop or reload a daemon that runs as `owner`: root may, and so may the owner.
pub(crate) fn may_command(peer: &Peer, owner: Uid) -> bool {
    peer.uid == Uid::ROOT || peer.uid == owner
}

#[cfg(test)]
mod tests {
    use procmgr_config::Gid;

    use super::*;
    use crate::supervisor::event::Pid;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { pid: Pid(9), uid: Uid(uid), gid: Gid(gid) }
    }

    #[test]
    fn root_may_all_and_others_need_the_user_or_the_group() {
        let both = Allowed { uid: Some(Uid(1)), gid: Some(Gid(2)) };
        let nobody = Allowed::default();
        let cases = [
            (peer(0, 7), nobody, true),
            (peer(1, 7), nobody, false),
            (peer(1, 7), both, true),
            (peer(7, 2), both, true),
            (peer(2, 1), both, false),
            (peer(7, 0), both, false),
        ];
        for (peer, allowed, expected) in cases {
            assert_eq!(may_invoke(&peer, [allowed]), expected, "{peer} {allowed:?}");
        }
    }

    #[test]
    fn all_rules_have_to_allow_and_none_is_not_enough() {
        let anna = Allowed { uid: Some(Uid(1)), gid: None };
        let bert = Allowed { uid: Some(Uid(2)), gid: None };
        assert!(may_invoke(&peer(1, 7), [anna, anna]));
        assert!(!may_invoke(&peer(1, 7), [anna, bert]));
        assert!(!may_invoke(&peer(1, 7), []));
        assert!(may_invoke(&peer(0, 7), []));
    }

    #[test]
    fn the_daemon_obeys_root_and_its_owner() {
        assert!(may_command(&peer(0, 5), Uid(1000)));
        assert!(may_command(&peer(1000, 5), Uid(1000)));
        assert!(!may_command(&peer(1001, 0), Uid(1000)));
    }
}
