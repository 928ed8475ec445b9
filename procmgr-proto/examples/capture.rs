//! Performs an action with three descriptors of our choice, and captures what its script prints.
//!
//! Usage: `capture PROGRAM ACTION [ARGUMENT...]`. The socket is that of `PROCMGR_SOCKET`, or `/var/run/procmgr`. Not of
//! much use with `start`: the output would be that of the program, and last as long as it does.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

use procmgr_proto::connection::{Connection, Message};
use procmgr_proto::message::{Invocation, Request, Response};
use procmgr_proto::stdio::StdioRef;

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("ERROR: {error}");
        125.into()
    })
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = env::args_os().skip(1).map(OsStringExt::into_vec);
    let (Some(program), Some(action)) = (words.next(), words.next()) else {
        return Err("usage: capture PROGRAM ACTION [ARGUMENT...]".into());
    };
    let invocation = Invocation { program, action, arguments: words.collect() };
    let socket = env::var_os("PROCMGR_SOCKET").unwrap_or_else(|| "/var/run/procmgr".into());
    let mut connection = Connection::connect(&PathBuf::from(socket))?;

    let nothing = File::open("/dev/null")?;
    let (mut output, end_of_script) = io::pipe()?;
    let complaints = io::stderr();
    let lent = StdioRef { stdin: nothing.as_fd(), stdout: end_of_script.as_fd(), stderr: complaints.as_fd() };
    connection.send(&Request::Invoke(invocation), &lent.descriptors())?;
    // The daemon has a duplicate. With ours open, the output would never come to an end.
    drop(end_of_script);

    // The output is read before the answer is waited for: a script that has filled the pipe cannot end before. If the
    // request is refused the daemon closes its duplicate, and there is no output.
    let mut captured = Vec::new();
    output.read_to_end(&mut captured)?;
    println!("{} bytes: {}", captured.len(), captured.escape_ascii());

    match connection.receive()? {
        (_, Message::Response(Response::Done)) => Ok(ExitCode::SUCCESS),
        (_, Message::Response(Response::Exited(status))) => Ok(status.shell_code().into()),
        (_, Message::Response(Response::Status { running })) => {
            println!("the daemon says: {}", if running { "running" } else { "not running" });
            Ok(ExitCode::from(u8::from(!running)))
        }
        (_, Message::Response(Response::Refused(refusal))) => {
            eprintln!("ERROR: ({}) {}", refusal.code, refusal.text.escape_ascii());
            Ok(125.into())
        }
        (id, message) => Err(format!("request {id} is not answered by {message:?}").into()),
    }
}
