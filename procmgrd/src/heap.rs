//! Memory that is not needed any more, and how the system gets it back.
//!
//! What has needed it is not known here.
#![expect(unsafe_code, reason = "the allocator of the C library has no safe wrapper")]

/// The heap of the process, as far as it has to be looked after.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    is_worn: bool,
}

impl Heap {
    /// Takes note that much has been allocated and is let go of, such as all that a file says. What is kept lies
    /// between it, so that the allocator would keep it for what is to come: in a daemon, that may be nothing for years.
    pub(crate) fn wear(&mut self) {
        self.is_worn = true;
    }

    /// Gives back what is not needed any more. To be called when there is nothing else to do at once.
    pub(crate) fn mend(&mut self) {
        if std::mem::take(&mut self.is_worn) {
            give_back();
        }
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: only pages that are in no allocation are given back, and the allocator locks itself against others.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Other C libraries do so by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}
