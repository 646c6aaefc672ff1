//! macOS: libproc, sysctl, kqueue.
