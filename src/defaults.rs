//! What is fixed when procmgr is built, each from an environment variable of the build.
//!
//! Nothing here can be changed later; what can is on the command line and in the configuration.

/// The version (`PROCMGR_BUILD_VERSION`, for whoever packs another one than the sources say).
pub(crate) const VERSION: &str = or(option_env!("PROCMGR_BUILD_VERSION"), env!("CARGO_PKG_VERSION"));

/// The configuration file (`PROCMGR_DEFAULT_CONFFILE`).
pub(crate) const CONFFILE: &str = or(option_env!("PROCMGR_DEFAULT_CONFFILE"), "/etc/procmgr.cfg");

/// The socket of a configuration that names none (`PROCMGR_DEFAULT_SOCKET`).
pub(crate) const SOCKET: &str = or(option_env!("PROCMGR_DEFAULT_SOCKET"), "/var/run/procmgr");

/// The shell that runs scripts (`PROCMGR_ACTION_SHELL`).
pub(crate) const ACTION_SHELL: &str = or(option_env!("PROCMGR_ACTION_SHELL"), "/bin/sh");

/// The `PATH` of scripts (`PROCMGR_ACTION_PATH`).
pub(crate) const ACTION_PATH: &str =
    or(option_env!("PROCMGR_ACTION_PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

const fn or(value: Option<&'static str>, default: &'static str) -> &'static str {
    match value {
        Some(value) => value,
        None => default,
    }
}
