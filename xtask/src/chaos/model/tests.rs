//! Tests of the model: which answers can be, and what follows from each.

use super::*;

fn after(program: &Program, belief: Belief, has_died: bool, action: Action, word: &str) -> Option<Belief> {
    let response = match word {
        "done" => Response::Done,
        "exited" => Response::Exited((0, 0)),
        "killed" => Response::Exited((1, 15)),
        "runs" => Response::Status { is_running: true },
        "runs not" => Response::Status { is_running: false },
        code => Response::Refused { code: code.to_owned(), text: String::new() },
    };
    Known { program, belief, has_died }.after(action, &response)
}

#[test]
fn what_was_answered_is_believed() {
    let plain = Program::with(&[], Keeper::Client(0));
    for (action, word, belief) in [
        (Action::Start, "done", Belief::Running),
        (Action::Stop, "killed", Belief::Stopped),
        (Action::Restart, "done", Belief::Running),
        (Action::Reload, "done", Belief::Running),
        (Action::Status, "runs", Belief::Unknown),
        (Action::Stop, "NOTRUNNING", Belief::Stopped),
        (Action::Start, "BUSY", Belief::Unknown),
    ] {
        assert_eq!(after(&plain, Belief::Unknown, false, action, word), Some(belief), "{action:?} {word}");
    }
}

#[test]
fn what_contradicts_an_answer_is_no_answer() {
    let plain = Program::with(&[], Keeper::Client(0));
    for (belief, action, word) in [
        (Belief::Running, Action::Start, "done"),
        (Belief::Running, Action::Stop, "NOTRUNNING"),
        (Belief::Running, Action::Stop, "done"),
        (Belief::Running, Action::Status, "runs not"),
        (Belief::Running, Action::Restart, "BUSY"),
        (Belief::Stopped, Action::Start, "BUSY"),
        (Belief::Stopped, Action::Stop, "killed"),
        (Belief::Stopped, Action::Restart, "done"),
        (Belief::Stopped, Action::Status, "runs"),
    ] {
        assert_eq!(after(&plain, belief, false, action, word), None, "{belief:?} {action:?} {word}");
    }
    for action in [Action::Start, Action::Stop, Action::Restart, Action::Signal, Action::Status] {
        for word in ["SPAWN", "LIMIT", "SHUTDOWN", "NOPROG", "CANCELLED"] {
            assert_eq!(after(&plain, Belief::Unknown, false, action, word), None, "{action:?} {word}");
        }
    }
}

#[test]
fn a_request_without_an_answer_was_carried_out_or_not_begun() {
    let plain = Program::with(&[], Keeper::Client(0));
    for (belief, action, after) in [
        (Belief::Stopped, Action::Start, Belief::Unknown),
        (Belief::Running, Action::Stop, Belief::Unknown),
        (Belief::Running, Action::Restart, Belief::Running),
        (Belief::Running, Action::Start, Belief::Running),
        (Belief::Stopped, Action::Restart, Belief::Stopped),
        (Belief::Stopped, Action::Stop, Belief::Stopped),
        (Belief::Unknown, Action::Restart, Belief::Unknown),
    ] {
        let known = Known { program: &plain, belief, has_died: false };
        assert_eq!(known.without_answer(action), after, "{belief:?} {action:?}");
    }
}

#[test]
fn a_death_explains_that_a_program_is_down() {
    let plain = Program::with(&[], Keeper::Client(0));
    let delayed = Program::with(&[Trait::RestartDelay], Keeper::Client(0));
    let comes_back = Program::with(&[Trait::Autostart], Keeper::Client(0));
    let died = |program, action, word| after(program, Belief::Running, true, action, word);
    assert_eq!(died(&plain, Action::Start, "done"), Some(Belief::Running));
    assert_eq!(died(&plain, Action::Stop, "NOTRUNNING"), Some(Belief::Stopped));
    assert_eq!(died(&delayed, Action::Stop, "done"), Some(Belief::Stopped));
    assert_eq!(died(&delayed, Action::Stop, "NOTRUNNING"), None);
    assert_eq!(died(&comes_back, Action::Stop, "NOTRUNNING"), Some(Belief::Unknown));
}

#[test]
fn scripts_are_answered_by_how_they_end() {
    let scripted = Program::with(&[Trait::ControlScripts], Keeper::Client(0));
    assert!(!Action::Reload.acts(&scripted));
    for action in [Action::Reload, Action::Signal, Action::Status] {
        let belief = after(&scripted, Belief::Running, false, action, "exited");
        assert_eq!(belief, Some(Belief::Running), "{action:?}");
    }
    assert_eq!(after(&scripted, Belief::Stopped, false, Action::Status, "exited"), None);
    assert_eq!(after(&scripted, Belief::Running, false, Action::Reload, "NOTRUNNING"), None);
}

#[test]
fn of_a_program_that_all_act_upon_nothing_is_believed_and_little_excluded() {
    let shared = Program::with(&[], Keeper::All);
    for word in ["done", "killed", "BUSY", "NOTRUNNING", "CANCELLED", "NOPROG"] {
        let belief = after(&shared, Belief::Running, false, Action::Restart, word);
        assert_eq!(belief, Some(Belief::Unknown), "{word}");
    }
    for word in ["SPAWN", "LIMIT", "SHUTDOWN", "BADMSG"] {
        assert_eq!(after(&shared, Belief::Unknown, false, Action::Restart, word), None, "{word}");
    }
}
