//! Signal dispositions.

/// The highest signal there is.
pub(crate) const LAST: libc::c_int = 31;

/// Resets a signal. Async-signal-safe. A signal that cannot be reset is at its default already.
pub(crate) fn to_default(number: libc::c_int) {
    // SAFETY: an all-zero sigaction is "default, no flags, empty mask"; it lives for the call and runs no code of ours.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, &raw const action, std::ptr::null_mut());
    }
}

/// Whether a signal is ignored now.
pub(crate) fn is_ignored(number: libc::c_int) -> bool {
    // SAFETY: the record lives for the call, which only fills it in.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}
