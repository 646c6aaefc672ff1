//! Questions to the kernel by `sysctl(3)`.

use std::ffi::CStr;
use std::io;

use crate::unix::raw::check;

/// A value that is text, as `kern.bootsessionuuid`.
pub(crate) fn text(name: &CStr) -> io::Result<String> {
    let mut buffer = [0_u8; 256];
    let mut length = buffer.len();
    // SAFETY: a NUL-terminated name; the buffer is as long as said; nothing is set.
    check(unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    })?;
    let bytes = buffer.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).trim_end_matches('\0').trim().to_owned())
}

/// A value that is a number of four or eight bytes, as `hw.memsize`.
pub(crate) fn number(name: &CStr) -> io::Result<u64> {
    let mut buffer = [0_u8; 8];
    let mut length = buffer.len();
    // SAFETY: a NUL-terminated name; the buffer is as long as said; nothing is set.
    check(unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    })?;
    match length {
        4 => {
            let [a, b, c, d, ..] = buffer;
            Ok(u32::from_ne_bytes([a, b, c, d]).into())
        }
        _ => Ok(u64::from_ne_bytes(buffer)),
    }
}

/// The arguments of a process as the kernel keeps them: their count, the program's path, arguments, environment.
pub(crate) fn arguments(pid: i32) -> io::Result<Vec<u8>> {
    let mut most = [0_u8; size_of::<libc::c_int>()];
    ask(&mut [libc::CTL_KERN, libc::KERN_ARGMAX], &mut most)?;
    let mut buffer = vec![0_u8; usize::try_from(libc::c_int::from_ne_bytes(most)).unwrap_or(0)];
    let length = ask(&mut [libc::CTL_KERN, libc::KERN_PROCARGS2, pid], &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Fills the buffer and returns how much of it was filled.
fn ask(name: &mut [libc::c_int], buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = buffer.len();
    let words = libc::c_uint::try_from(name.len()).map_err(io::Error::other)?;
    // SAFETY: name and buffer are as long as said and live for the call; nothing is set.
    check(unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            words,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    })?;
    Ok(length)
}
