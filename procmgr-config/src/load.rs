//! From a path to a configuration: opening the file, trusting it or not, and what can go wrong.
//!
//! What the file says is judged elsewhere, and nothing of it is kept here.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::makedev;

use crate::accounts::Accounts;
use crate::diagnostic::{Collector, Findings, Kind, MAX_FINDINGS};
use crate::document::Document;
use crate::keys::SOCKET_PATH;
use crate::resolve::resolve;
use crate::syntax::{Line, Token, Word};
use crate::{Config, Definition, value};

/// A configuration, and what there is to remark about its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// The warnings; there is no error among them.
    pub findings: Findings,
}

/// Who may write a file that is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Root alone: the scripts run as root, so whoever may write them is root.
    Root,
    /// Anybody.
    Anybody,
}

/// Loads the configuration in a file; `default_socket_path` is for a file that names no socket.
///
/// Each definition is handed to `keep` as soon as it is made, which may put another one in its place: one that means
/// the same and is there already, so that a large file that changes little takes little memory while it is read.
///
/// Users that the file names are looked up here, which may take as long as an account server takes to answer.
///
/// # Errors
/// If the file cannot be read or trusted, or if there is an error in it; then nothing of it counts.
pub fn load(
    path: &Path,
    default_socket_path: &Path,
    writers: Writers,
    keep: &mut Keep<'_>,
) -> Result<Loaded, LoadError> {
    let file = open(path)?;
    if writers == Writers::Root {
        check_writers(path, &file)?;
    }
    let text = read(path, file)?;
    judge(path, &text, default_socket_path, &mut Accounts::of_system(), keep).map_err(LoadError::Invalid)
}

/// What becomes of a definition that has been made: [`Arc::new`], where nothing else is to.
pub type Keep<'k> = dyn FnMut(Definition) -> Arc<Definition> + 'k;

/// Reads an open file, if it is not too large.
pub(crate) fn read(path: &Path, file: File) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_path_buf(), source };
    // What the system says of the size need not be true, of a device for one.
    let size = file.metadata().map_err(unreadable)?.len().min(MAX_SIZE);
    let mut text = Vec::new();
    text.try_reserve_exact(usize::try_from(size).unwrap_or_default())
        .map_err(|error| unreadable(error.into()))?;
    file.take(MAX_SIZE + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(LoadError::TooLarge { path: path.to_path_buf() });
    }
    Ok(text)
}

/// Returns the configuration in a text that stands in the file `path`, as [`load`] does after reading it.
///
/// # Errors
/// The findings, the warnings among them included, if there is an error in the text.
pub fn parse(path: &Path, text: &[u8], default_socket_path: &Path) -> Result<Loaded, Findings> {
    judge(path, text, default_socket_path, &mut Accounts::of_system(), &mut Arc::new)
}

/// Does what [`parse`] does, with users from anywhere, and with definitions that `keep` may replace.
pub(crate) fn judge(
    path: &Path,
    text: &[u8],
    default_socket_path: &Path,
    accounts: &mut Accounts,
    keep: &mut Keep<'_>,
) -> Result<Loaded, Findings> {
    let mut collector = Collector::default();
    let document = Document::read(text, &mut collector);
    let config = resolve(&document, default_socket_path, accounts, keep, &mut collector);
    let findings = collector.finish(path);
    if findings.has_errors() { Err(findings) } else { Ok(Loaded { config, findings }) }
}

/// Returns the path of the socket that the configuration in a file names, for a client, which needs nothing else.
///
/// Reads no further than to the first section and judges no other key, so no mistake further down keeps anybody from
/// reaching the daemon.
///
/// # Errors
/// If the file cannot be read that far, or has an error there.
pub fn socket_path(path: &Path) -> Result<Option<PathBuf>, LoadError> {
    let file = BufReader::new(open(path)?.take(MAX_SIZE + 1));
    find_socket_path(path, file)
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be opened or read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What stands at the path is not something to read a configuration from.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article, such as "a directory".
        what: &'static str,
    },
    /// The file is larger than any configuration.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Others than root may write the file, and its scripts would run as root.
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// There are errors in the file.
    Invalid(Findings),
}

impl LoadError {
    /// Returns what was found in the file, if it could be read and trusted.
    pub fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Invalid(findings) => Some(findings),
            Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::Untrusted { .. } => None,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(formatter, "cannot read configuration {}: {source}", path.display())
            }
            Self::NotAFile { path, what } => {
                write!(formatter, "cannot read configuration {}: it is {what}", path.display())
            }
            Self::TooLarge { path } => {
                write!(
                    formatter,
                    "cannot read configuration {}: larger than {MAX_SIZE} bytes",
                    path.display()
                )
            }
            Self::Untrusted { path, owner, mode } => write!(
                formatter,
                "cannot trust configuration {}: others than root may write it (owner {owner}, mode {mode:04o})",
                path.display()
            ),
            Self::Invalid(findings) => {
                let path = findings.path.display();
                match findings.errors().count() {
                    1 => write!(formatter, "1 error in {path}"),
                    errors if errors > MAX_FINDINGS => {
                        write!(formatter, "more than {MAX_FINDINGS} errors in {path}")
                    }
                    errors => write!(formatter, "{errors} errors in {path}"),
                }
            }
        }
    }
}

// The text tells the source already, so it is not offered once more as the next one in the chain.
impl Error for LoadError {}

/// Opens a file that can be read to its end without waiting for anybody.
pub(crate) fn open(path: &Path) -> Result<File, LoadError> {
    // A FIFO without a writer would block the daemon for good, a terminal could become its controlling one; the
    // standard library itself adds O_CLOEXEC.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let unreadable = |source| LoadError::Unreadable { path: path.to_path_buf(), source };
    let not_a_file = |what| LoadError::NotAFile { path: path.to_path_buf(), what };
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ENXIO as i32 => not_a_file("a socket, or a device that is not there"),
        _ => unreadable(error),
    })?;
    // The descriptor is asked, not the path, which may name something else by now.
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_dir() {
        Err(not_a_file("a directory"))
    } else if kind.is_fifo() {
        Err(not_a_file("a FIFO"))
    } else if kind.is_block_device() {
        Err(not_a_file("a block device"))
    } else {
        Ok(file)
    }
}

/// Makes sure that nobody but root may write an open file.
fn check_writers(path: &Path, file: &File) -> Result<(), LoadError> {
    let metadata =
        file.metadata().map_err(|source| LoadError::Unreadable { path: path.to_path_buf(), source })?;
    // Everybody may write to the null device, and nobody ever reads it there.
    let is_null = metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3);
    if is_null || (metadata.uid() == 0 && metadata.mode() & WRITABLE_BY_OTHERS == 0) {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    Err(LoadError::Untrusted { path: path.to_path_buf(), owner: metadata.uid(), mode })
}

/// Reads lines up to the first section, and not one byte beyond what is buffered by then.
pub(crate) fn find_socket_path(path: &Path, mut file: impl BufRead) -> Result<Option<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_path_buf(), source };
    let mut collector = Collector::default();
    let mut found = None;
    let mut bytes = Vec::new();
    let mut size = 0;
    for number in 1.. {
        bytes.clear();
        size += file.read_until(b'\n', &mut bytes).map_err(unreadable)? as u64;
        if size > MAX_SIZE {
            return Err(LoadError::TooLarge { path: path.to_path_buf() });
        }
        if bytes.is_empty() {
            break;
        }
        let line = Line::read(bytes.strip_suffix(b"\n").unwrap_or(&bytes), number);
        if let Some(mistake) = line.mistake {
            collector.error(Kind::Syntax, mistake.position, || mistake.text.to_owned());
        }
        match line.token {
            Some(Token::Section(_)) => break,
            Some(Token::Entry(entry)) if entry.key.bytes == SOCKET_PATH => {
                let Word { bytes, position } = entry.value;
                let judged =
                    value::path(bytes).map_err(|expected| (position, expected.tell(SOCKET_PATH, bytes)));
                found = Some(judged);
            }
            Some(Token::Entry(_)) | None => {}
        }
    }
    // Judged last: of several, only the last one counts.
    let socket_path = found.transpose().unwrap_or_else(|(position, text)| {
        collector.error(Kind::InvalidValue, position, || text);
        None
    });
    let findings = collector.finish(path);
    if findings.has_errors() { Err(LoadError::Invalid(findings)) } else { Ok(socket_path) }
}

/// The largest file that is read: many times what a hundred thousand programs need, and little enough that a wrong path
/// (a disk image, a device without end) can neither exhaust the memory of the daemon nor keep it busy.
const MAX_SIZE: u64 = 64 << 20;

/// Permissions of the group and of all others to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

#[cfg(test)]
mod tests;
