//! Signal dispositions, also of the two signals that the C library keeps to itself.

/// The highest signal there is.
pub(crate) const LAST: libc::c_int = 64;

/// The kernel's `struct sigaction` on the architectures we run on, with the handler first. The C library's own
/// `sigaction` refuses signals 32 and 33, yet those are inherited as ignored like any other.
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

const MASK_BYTES: usize = size_of::<u64>();

/// Resets a signal. Async-signal-safe. A signal that cannot be reset is at its default already.
pub(crate) fn to_default(number: libc::c_int) {
    let action = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let none = std::ptr::null_mut::<KernelAction>();
    // SAFETY: the record has the kernel's layout and lives for the call; the default runs no code of ours.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &raw const action, none, MASK_BYTES) };
}

/// Whether a signal is ignored now.
pub(crate) fn is_ignored(number: libc::c_int) -> bool {
    let mut action = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let none = std::ptr::null::<KernelAction>();
    // SAFETY: as above; the kernel only fills in the record.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigaction, number, none, &raw mut action, MASK_BYTES) };
    answer == 0 && action.handler == libc::SIG_IGN
}
