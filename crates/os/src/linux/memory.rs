//! `malloc_trim` and `madvise`.

use std::os::unix::fs::MetadataExt;

pub(crate) fn rest() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, length) in own_text() {
        // SAFETY: a private mapping of a file that is executable and not writable was never written to (this
        // program has no text relocations), so dropping its pages only makes the next access map them again. A
        // failure leaves them where they are.
        unsafe {
            libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
        }
    }
}

/// Where this program's own text is mapped: start and length.
fn own_text() -> Vec<(usize, usize)> {
    let Ok(program) = std::fs::metadata("/proc/self/exe") else { return Vec::new() };
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return Vec::new() };
    maps.lines().filter_map(|line| text_range(line, program.ino())).collect()
}

/// `55ca489d6000-55ca48b72000 r-xp 0004b000 fe:00 1234   /path`, if it is text of the file with this inode.
fn text_range(line: &str, inode: u64) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()? != "r-xp" || fields.nth(2)?.parse() != Ok(inode) {
        return None;
    }
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_programs_text_is_named() {
        assert_eq!(text_range("1000-3000 r-xp 00001000 fe:00 77   /a b/pipd", 77), Some((0x1000, 0x2000)));
        assert_eq!(text_range("1000-3000 r--p 00001000 fe:00 77   /a b/pipd", 77), None);
        assert_eq!(text_range("1000-3000 rw-p 00001000 fe:00 77   /a b/pipd", 77), None);
        assert_eq!(text_range("1000-3000 r-xp 00001000 fe:00 78   /lib/libc.so.6", 77), None);
        assert_eq!(text_range("1000-3000 r-xp 00000000 00:00 0    [vdso]", 77), None);
        assert!(!own_text().is_empty());
    }
}
