//! All of a daemon, packed by one image and unpacked by the next.
//!
//! How each room packs itself is in that room; when it happens, in the room above.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Options;
use crate::clock::Clock;
use crate::config_source::ConfigSource;
use crate::descriptors::DescriptorLimit;
use crate::event_loop::Daemon;
use crate::heap::Heap;
use crate::host;
use crate::journal::{Journal, PackedJournal};
use crate::notify::{Notifier, Told};
use crate::packed::PackedPath;
use crate::parcel::{Packer, Slot, Unpacker};
use crate::pidfd::PidFd;
use crate::pidfile::PidFile;
use crate::poll::{Interest, Poller, Source};
use crate::server::Server;
use crate::server::packed::PackedServer;
use crate::signals::Signals;
use crate::spawn::Spawner;
use crate::state::folder::{Folder, PackedFolder};
use crate::state::store::Store;
use crate::state::stored::StoredProcess;
use crate::supervisor::Supervisor;
use crate::upgrade::words::PackedSupervisor;
use crate::upgrade::{Arrival, Upgrade};
use crate::wards::Wards;

/// The version of what is handed over. Whatever an older image would misunderstand raises it.
///
/// | version | since |
/// |---|---|
/// | 1 | the beginning |
/// | 2 | the restarts in a row are counted |
/// | 3 | programs fail, runs have a beginning and an end, a socket may be lent |
const VERSION: u32 = 3;

/// The oldest version that is understood.
const OLDEST: u32 = 1;

/// What comes first of all, in any version.
#[derive(Debug, Deserialize)]
struct Preface {
    version: u32,
}

/// All of a daemon.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    version: u32,
    /// Where relative paths begin.
    base: PackedPath,
    executable: PackedPath,
    limit: DescriptorLimit,
    pidfile: Option<PackedPath>,
    supervisor: PackedSupervisor,
    server: PackedServer,
    journal: PackedJournal,
    #[serde(default)]
    told: Told,
    state: PackedState,
    wards: PackedWards,
    inherited: Vec<Slot>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedState {
    path: PackedPath,
    folder: Option<PackedFolder>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedWards {
    watched: Vec<(StoredProcess, Slot)>,
    unwatched: Vec<StoredProcess>,
}

impl Daemon {
    /// Packs all there is, and returns the descriptors that have to be handed over beside.
    pub(super) fn pack(&self) -> io::Result<(Vec<u8>, Vec<BorrowedFd<'_>>)> {
        let mut packer = Packer::new(Clock::now());
        let (watched, unwatched) = self.wards.all();
        let watched = watched.map(|ward| (ward.process().into(), packer.descriptor(ward.as_fd())));
        let wards =
            PackedWards { watched: watched.collect(), unwatched: unwatched.map(Into::into).collect() };
        let folder = self.store.folder().map(|folder| folder.pack(&mut packer));
        let handover = Handover {
            version: VERSION,
            base: self.config.base().into(),
            executable: self.upgrade.executable.as_path().into(),
            limit: self.spawner.descriptor_limit,
            pidfile: self.pidfile.as_ref().map(|file| file.path().into()),
            supervisor: PackedSupervisor::pack(self.supervisor.snapshot(), &mut packer),
            server: self.server.pack(&mut packer),
            journal: self.journal.pack(&packer),
            told: self.notifier.told().clone(),
            state: PackedState { path: self.store.path().into(), folder },
            wards,
            inherited: self.inherited.iter().map(|it| packer.descriptor(it.as_fd())).collect(),
        };
        Ok((serde_json::to_vec(&handover)?, packer.into_descriptors()))
    }
}

/// Makes a daemon of what another image has packed.
pub(super) fn unpack(options: Options, arrival: &Arrival) -> io::Result<Daemon> {
    let bytes = arrival.bytes()?;
    let Preface { version } = serde_json::from_slice(&bytes)?;
    if !(OLDEST..=VERSION).contains(&version) {
        let text = format!("its state is of version {version}, and {OLDEST} to {VERSION} are understood");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let handover: Handover = serde_json::from_slice(&bytes)?;
    let Handover { base, executable, limit, pidfile, supervisor, server, journal, .. } = handover;
    let Handover { told, state, wards, inherited, .. } = handover;

    limit.raise_again()?;
    let now = Instant::now();
    let mut unpacker = Unpacker::new(Clock::now());
    let signals = Signals::install()?;
    let poller = Poller::new()?;
    poller.add(&signals, Source::Signals, Interest::READABLE)?;
    let server = Server::unpack(server, &mut unpacker, &poller, limit.count())?;
    let journal = Journal::unpack(journal, &unpacker);
    let account = |uid| server.account(uid);
    let supervisor = Supervisor::restored(supervisor.unpack(&mut unpacker, account)?, host());
    let mut taken = Wards::new(limit.count());
    for (process, slot) in wards.watched {
        taken.watch(PidFd::over(process.into(), unpacker.take(slot)?), &poller, now);
    }
    for process in wards.unwatched {
        taken.leave_unwatched(process.into(), now);
    }
    let state_path = PathBuf::from(state.path);
    let folder = state.folder.map(|folder| Folder::unpack(folder, state_path.clone(), &mut unpacker));
    let store = Store::over(state_path, folder.transpose()?, now);
    store.register(&poller)?;

    let Options { config, default_socket, shell, search_path, foreground, arguments, .. } = options;
    Ok(Daemon {
        supervisor,
        poller,
        signals,
        server,
        spawner: Spawner { shell, search_path, is_in_foreground: foreground, descriptor_limit: limit },
        wards: taken,
        store,
        config: ConfigSource::new(&config, default_socket, base.into()),
        journal,
        notifier: Notifier::from_environment(!foreground).going_on_with(told),
        pidfile: pidfile.map(|path| PidFile::over(path.into())),
        upgrade: Upgrade::new(executable.into(), arguments),
        inherited: inherited.into_iter().map(|slot| unpacker.take(slot)).collect::<io::Result<_>>()?,
        heap: Heap::default(),
        end: None,
    })
}
