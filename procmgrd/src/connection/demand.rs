//! What a client wants, out of the body of a request.
//!
//! When it comes, and what it leads to, is not known here.

use std::rc::Rc;

use procmgr_config::Gid;
use procmgr_proto::codec::{DecodeError, decode_request};
use procmgr_proto::message::{Code, Invocation, Refusal, Request};

use crate::disposal::Foreign;
use crate::supervisor::event::Question;

/// What a client wants, with what it has brought for it.
#[derive(Debug)]
pub(crate) enum Demand {
    /// Something of the daemon itself.
    Ask(Question),
    /// An action, with the supplementary groups of whoever asks, and the standard input, output and error of its
    /// script.
    Invoke { invocation: Invocation, groups: Rc<[Gid]>, stdio: Foreign },
}

impl Demand {
    /// Returns whether nothing follows from it but an answer.
    pub(crate) fn is_mere_question(&self) -> bool {
        match self {
            Self::Ask(question) => match question {
                Question::Ping
                | Question::List
                | Question::Inspect
                | Question::Subscribe
                | Question::Preview
                | Question::Permissions { .. } => true,
                Question::Stop | Question::Reload | Question::Upgrade => false,
            },
            Self::Invoke { .. } => false,
        }
    }
}

/// Returns what a body asks for, if its descriptors are those that it needs. The groups of the client are told by the
/// first argument, and asked for only where they may count.
pub(super) fn understand(
    groups: impl FnOnce() -> Rc<[Gid]>,
    body: &[u8],
    descriptors: Foreign,
) -> Result<Demand, Refusal> {
    let request = decode_request(body).map_err(|error| match error {
        DecodeError::UnknownVariant(_) => Refusal::new(Code::BadCmd, error.to_string()),
        DecodeError::Malformed(_) => Refusal::new(Code::BadMsg, error.to_string()),
    })?;
    let (wanted, came) = (usize::from(request.descriptors()), descriptors.len());
    if wanted != came {
        return Err(Refusal::new(
            Code::BadMsg,
            format!("the request needs {wanted} descriptors, not {came}"),
        ));
    }
    match request {
        Request::Ping => Ok(Demand::Ask(Question::Ping)),
        Request::List => Ok(Demand::Ask(Question::List)),
        Request::Stop => Ok(Demand::Ask(Question::Stop)),
        Request::Reload => Ok(Demand::Ask(Question::Reload)),
        Request::Inspect => Ok(Demand::Ask(Question::Inspect)),
        Request::Subscribe => Ok(Demand::Ask(Question::Subscribe)),
        Request::Upgrade => Ok(Demand::Ask(Question::Upgrade)),
        Request::Preview => Ok(Demand::Ask(Question::Preview)),
        Request::Permissions => Ok(Demand::Ask(Question::Permissions { groups: groups() })),
        Request::Invoke(invocation) => {
            let invocation = checked(invocation)?;
            Ok(Demand::Invoke { invocation, groups: groups(), stdio: descriptors })
        }
        _ => Err(Refusal::new(Code::BadCmd, "the request is not one that this daemon knows")),
    }
}

/// Refuses what no script can be given. A restart must not stop a program that it cannot start with these words.
fn checked(invocation: Invocation) -> Result<Invocation, Refusal> {
    let Invocation { program, action, arguments } = &invocation;
    if arguments.iter().chain([program, action]).any(|word| word.contains(&0)) {
        return Err(Refusal::new(Code::BadMsg, "names and arguments hold no NUL"));
    }
    if arguments.iter().any(|argument| argument.len() > LONGEST_ARGUMENT) {
        let text = format!("no argument can have more than {LONGEST_ARGUMENT} bytes");
        return Err(Refusal::new(Code::Limit, text));
    }
    Ok(invocation)
}

/// What the kernel takes as one argument of a program: 32 pages, the NUL at its end included.
const LONGEST_ARGUMENT: usize = 32 * 4096 - 1;
