//! What this process asks of the kernel for itself, before it has seen a secret.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::output::warn;

/// Sees to it that no memory of this process ends in a file or in another process of its user: no core dump, neither as a
/// file nor through a handler, and no tracing but by root. What fails leaves things as they were, and is told.
pub(super) fn keep_memory_private() {
    // A limit of zero keeps a core file from being written; a handler (core_pattern with a pipe) does not ask for it,
    // but for whether the process may be dumped at all (core(5), prctl(2) PR_SET_DUMPABLE).
    let done = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| prctl::set_dumpable(false));
    if let Err(error) = done {
        warn(&format!("note: core dumps cannot be switched off: {error}\n"));
    }
}

/// Raises the number of open files to what this process may have. The usual first limit, 1024, is what the connections of
/// clients alone can take; it is there for programs that call select(2).
pub(super) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most));
    match raised {
        Ok(files) => tracing::debug!(files, "open files at most"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays"),
    }
}
