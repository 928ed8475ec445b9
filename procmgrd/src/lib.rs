//! The daemon of procmgr: decides what is to be done with programs, and does it.
//!
//! The decisions are made by a supervisor that knows neither time nor system; around it, a single-threaded loop turns
//! what happens into events and what is decided into deeds. The command line is none of this crate's business.

mod activation;
mod background;
#[cfg(feature = "benchmark")]
pub mod benchmark;
mod clock;
mod config_source;
mod connection;
mod custody;
mod descriptors;
mod disposal;
pub mod error;
mod event_loop;
mod fairness;
mod fork;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod heap;
mod idle;
pub mod journal;
mod latin;
mod listener;
mod lock;
mod maps;
mod membership;
mod news;
mod notify;
mod packed;
mod parcel;
mod pidfd;
mod pidfile;
mod places;
mod poll;
mod probe;
mod process;
mod quota;
mod reader;
mod register;
mod server;
mod signals;
mod spawn;
mod stat;
mod state;
mod stream;
mod supervisor;
pub mod threads;
mod upgrade;
mod waiting;
mod wards;

use std::env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::unistd::geteuid;
use procmgr_config::load::Loaded;
use procmgr_config::{Group, Uid};

use crate::activation::Lent;
use crate::background::{Detached, detach};
use crate::config_source::ConfigSource;
use crate::descriptors::{DescriptorLimit, Inherited, settle_inherited};
use crate::error::Error;
use crate::event_loop::Daemon;
use crate::heap::Heap;
use crate::journal::Journal;
use crate::listener::Listener;
use crate::notify::Notifier;
use crate::pidfile::PidFile;
use crate::poll::{Interest, Poller, Source};
use crate::server::Server;
use crate::signals::Signals;
use crate::spawn::Spawner;
use crate::state::adoption::recall;
use crate::state::reading::Reading;
use crate::state::store::Store;
use crate::supervisor::event::Event;
use crate::supervisor::{Host, Supervisor};
use crate::upgrade::{Upgrade, take_over};
use crate::wards::Wards;

/// How a daemon is to run. Relative paths are taken from the working directory.
#[derive(Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// The socket of a configuration that names none.
    pub default_socket: PathBuf,
    /// The shell that runs scripts, by its absolute path.
    pub shell: PathBuf,
    /// The `PATH` of scripts.
    pub search_path: OsString,
    /// The file that is to tell the daemon's pid.
    pub pidfile: Option<PathBuf>,
    /// The group of programs to start.
    pub autostart: Autostart,
    /// Whether to stay in the foreground.
    pub foreground: bool,
    /// What an upgrade executes, by its absolute path.
    pub executable: PathBuf,
    /// The command line by which this daemon was started, the name of the program first: that of an upgrade, too.
    pub arguments: Vec<OsString>,
}

/// Which programs the daemon starts when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autostart {
    /// Those of the group that the configuration names.
    AsConfigured,
    /// Those of this group, or none.
    Only(Option<Group>),
}

/// How [`run`] has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In the foreground, the daemon has ended; otherwise, it serves.
    Done,
    /// The daemon in the background could not start, and has said why on standard error.
    NotStarted,
}

/// Runs a daemon: in the foreground until it is ended, otherwise until it serves in the background.
///
/// To be called before there is any thread. In the background, this returns in *two* processes: in the one that was
/// started as soon as the daemon serves, in the daemon when it has been ended.
///
/// # Errors
/// What keeps the daemon from starting or going on.
pub fn run(options: Options) -> Result<Ending, Error> {
    if let Some(arrival) = upgrade::arrival() {
        return take_over(options, &arrival).map(|()| Ending::Done);
    }
    let lent = activation::take(options.foreground)?;
    let inherited = if options.foreground { Inherited::Keep } else { Inherited::Close };
    let inherited = settle_inherited(inherited).map_err(Error::system("settle inherited descriptors"))?;
    signals::reset_inherited().map_err(Error::system("reset signals"))?;
    // Without a working directory, absolute paths are found all the same, and the others are not.
    let base = env::current_dir().unwrap_or_default();
    if options.foreground {
        return serve(options, Inheritance { lent, others: inherited }, &base, || Ok(()))
            .map(|()| Ending::Done);
    }
    match detach().map_err(Error::system("go into the background"))? {
        Detached::Starter { is_ready: true } => Ok(Ending::Done),
        Detached::Starter { is_ready: false } => Ok(Ending::NotStarted),
        Detached::Background(readiness) => {
            let announce = || readiness.announce().map_err(Error::system("let go of the terminal"));
            serve(options, Inheritance { lent: None, others: inherited }, &base, announce)
                .map(|()| Ending::Done)
        }
    }
}

/// What the daemon was started with, beside the standard streams.
struct Inheritance {
    /// The socket at which a system manager has listened for it.
    lent: Option<Lent>,
    /// What it keeps for whoever has given it.
    others: Vec<OwnedFd>,
}

/// Makes everything ready, goes on with what an earlier daemon has left, tells so by `announce`, and serves until
/// somebody ends the daemon.
fn serve(
    options: Options,
    inheritance: Inheritance,
    base: &Path,
    announce: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let autostart = options.autostart;
    let Opened { mut daemon, reading, configured_group } = open(options, inheritance, base)?;
    let programs = recall(reading, &mut daemon.wards, &daemon.poller, Instant::now());
    daemon.step(Event::Recalled { programs });
    daemon.keep_records();
    // Those that have died and that nobody has reaped yet: they are down when it comes to start what is.
    daemon.bury_all()?;
    // Before the starter goes: the system manager would take that for the end.
    daemon.notifier.tell(daemon.supervisor.overview(), Instant::now());
    announce()?;
    journal::serving(daemon.server.socket_path());
    let group = match autostart {
        Autostart::AsConfigured => configured_group,
        Autostart::Only(group) => group,
    };
    if let Some(group) = group {
        daemon.step(Event::Autostart(group));
    }
    daemon.run()
}

/// Returns what this process gives the supervisor beside the configuration.
fn host() -> Host {
    Host { owner: Uid(geteuid().as_raw()), patience: config_source::patience() }
}

/// A daemon that has all that it needs, and has done nothing yet.
struct Opened {
    daemon: Daemon,
    /// What an earlier daemon has left.
    reading: Reading,
    configured_group: Option<Group>,
}

fn open(options: Options, inheritance: Inheritance, base: &Path) -> Result<Opened, Error> {
    let Options { config, default_socket, shell, search_path, pidfile, foreground, .. } = options;
    let config = ConfigSource::new(&config, default_socket, base.to_path_buf());
    let Loaded { config: first, findings } = config.load(|_| None).map_err(Error::Config)?;
    journal::remark(&findings.lines().collect::<Vec<_>>());

    let descriptor_limit =
        DescriptorLimit::raise().map_err(Error::system("raise the limit on descriptors"))?;
    let signals = Signals::install().map_err(Error::system("listen to signals"))?;
    let poller = Poller::new().map_err(Error::system("create an event queue"))?;
    let watched = poller.add(&signals, Source::Signals, Interest::READABLE);
    watched.map_err(Error::system("wait for signals"))?;
    let Inheritance { lent, others } = inheritance;
    let listener = match lent {
        Some(lent) => Listener::borrow(lent, &first.socket_path)?,
        None => Listener::bind(&first.socket_path)?,
    };
    let server = Server::new(listener, &poller, descriptor_limit.count());
    let server = server.map_err(Error::system("wait for clients"))?;
    let pidfile = pidfile.map(|path| {
        let failed = Error::system(format!("write PID file {}", path.display()));
        PidFile::write(base.join(path)).map_err(failed)
    });
    let pidfile = pidfile.transpose()?;
    let state_path = first.state_path.clone().expect("the source of the configuration names one");
    let (store, reading) = Store::open(state_path, Instant::now())?;
    store.register(&poller).map_err(Error::system("watch the state"))?;

    let configured_group = first.autostart;
    let daemon = Daemon {
        supervisor: Supervisor::new(first, host()),
        poller,
        signals,
        server,
        spawner: Spawner { shell, search_path, is_in_foreground: foreground, descriptor_limit },
        wards: Wards::new(descriptor_limit.count()),
        store,
        config,
        journal: Journal::default(),
        notifier: Notifier::from_environment(!foreground),
        pidfile,
        upgrade: Upgrade::new(options.executable, options.arguments),
        inherited: others,
        heap: Heap::default(),
        end: None,
    };
    Ok(Opened { daemon, reading, configured_group })
}
