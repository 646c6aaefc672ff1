//! Giving memory back: `mallopt`, `malloc_trim` and `madvise`.

/// The system maps what lies around a page that is touched: 64 KiB, but in later kernels all of a large page of the
/// cache, which for a file that was written in one piece is most of the program. It never goes beyond a mapping, so
/// program text is made into mappings of this size.
const PIECE: usize = 64 << 10;

/// Bytes below the present end of the stack that are left alone: the frames of what is called meanwhile.
const STACK_MARGIN: usize = 8 << 10;

pub(crate) fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions. Where it is refused every thread has a heap of its own, as before.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Never part of its caller: the frame that `here` is in must be a small one of its own, for what lies below it is
/// given away.
#[inline(never)]
pub(crate) fn rest() {
    let here = 0_u8;
    let ranges = std::fs::read_to_string("/proc/self/smaps")
        .map(|smaps| droppable(&smaps, (&raw const here).addr()))
        .unwrap_or_default();
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, length) in ranges {
        for odd in odd_pieces(start, length) {
            // SAFETY: as below; it says that a core file shall not hold these pages, which come from a file and would not be
            // in it anyway. What differs in this from its neighbours is a mapping of its own. A failure changes nothing.
            unsafe {
                libc::madvise(odd as *mut libc::c_void, PIECE.min(start + length - odd), libc::MADV_DONTDUMP);
            }
        }
        // SAFETY: either a mapping of a file that is private, not writable, and of which the system says that no page
        // differs from the file, so that dropping its pages only makes the next access map them again; or stack
        // that lies below all frames in use, whose content nobody will read. A failure leaves them as they are.
        unsafe {
            libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
        }
    }
}

/// Where every second piece of a long mapping begins; nothing of what is in pieces already.
fn odd_pieces(start: usize, length: usize) -> impl Iterator<Item = usize> {
    let first = start.next_multiple_of(PIECE);
    let end = if length > 2 * PIECE { start + length } else { 0 };
    (first..end).step_by(2 * PIECE)
}

fn page_size() -> usize {
    // SAFETY: a plain question.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(64 << 10)
}

/// One mapping of `/proc/self/smaps`.
#[derive(Default)]
struct Mapping<'a> {
    start: usize,
    end: usize,
    permissions: &'a str,
    inode: u64,
    name: &'a str,
    /// Pages of our own in memory, and in swap space; `None` until said.
    own: Option<u64>,
    swapped: Option<u64>,
}

/// What can be dropped without a loss: start and length. `here` is an address in the present frame of this thread.
fn droppable(smaps: &str, here: usize) -> Vec<(usize, usize)> {
    let mut mappings: Vec<Mapping<'_>> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = heading(line) {
            mappings.push(mapping);
        } else if let Some(mapping) = mappings.last_mut() {
            let kib = |name| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok();
            mapping.own = kib("Anonymous:").or(mapping.own);
            mapping.swapped = kib("Swap:").or(mapping.swapped);
        }
    }
    mappings.iter().filter_map(|mapping| mapping.droppable(here)).collect()
}

/// `55ca489d6000-55ca48b72000 r-xp 0004b000 fe:00 1234   /path`
fn heading(line: &str) -> Option<Mapping<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let permissions = fields.next()?;
    let inode = fields.nth(2)?.parse().ok()?;
    Some(Mapping { start, end, permissions, inode, name: fields.next().unwrap_or(""), ..Mapping::default() })
}

impl Mapping<'_> {
    fn droppable(&self, here: usize) -> Option<(usize, usize)> {
        if self.name == "[stack]" {
            // The stack grows downwards: what lies below the present frame was used by calls that have returned.
            let end = here.checked_sub(STACK_MARGIN)? & !(page_size() - 1);
            let within = (self.start..self.end).contains(&here) && end > self.start;
            return within.then(|| (self.start, end - self.start));
        }
        let of_a_file = self.inode != 0 && matches!(self.permissions, "r-xp" | "r--p");
        // Tables that the loader filled in are pages of our own, whether they are in memory or in swap space.
        let untouched = (self.own, self.swapped) == (Some(0), Some(0));
        (of_a_file && untouched).then(|| (self.start, self.end - self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smaps(heading: &str, own: u64, swapped: u64) -> String {
        format!(
            "{heading}\nSize:    8 kB\nRss:     4 kB\nAnonymous:  {own} kB\nSwap:    {swapped} kB\nSwapPss:  9 kB\nVmFlags: rd ex\n"
        )
    }

    #[test]
    fn only_what_equals_its_file_is_dropped() {
        let text = "1000-3000 r-xp 00001000 fe:00 77   /a b/pipd";
        assert_eq!(droppable(&smaps(text, 0, 0), 0), [(0x1000, 0x2000)]);
        assert_eq!(droppable(&smaps("1000-3000 r--p 00000000 fe:00 77 /pipd", 0, 0), 0), [(0x1000, 0x2000)]);
        // Relocated tables, in memory or in swap space.
        assert_eq!(droppable(&smaps("1000-3000 r--p 00001000 fe:00 77 /pipd", 4, 0), 0), []);
        assert_eq!(droppable(&smaps("1000-3000 r--p 00001000 fe:00 77 /pipd", 0, 4), 0), []);
        // A system that does not say.
        assert_eq!(droppable(text, 0), []);
        for other in [
            "1000-3000 rw-p 00001000 fe:00 77   /pipd",
            "1000-3000 rwxp 00001000 fe:00 77   /pipd",
            "1000-3000 r--s 00001000 fe:00 77   /shared",
            "1000-3000 r-xp 00000000 00:00 0    [vdso]",
            "1000-3000 rw-p 00000000 00:00 0    [heap]",
            "1000-3000 r--p 00000000 00:00 0",
        ] {
            assert_eq!(droppable(&smaps(other, 0, 0), 0x2000), [], "{other}");
        }
        let two = smaps("1000-3000 r--p 00001000 fe:00 77 /pipd", 4, 0) + &smaps(text, 0, 0);
        assert_eq!(droppable(&two, 0), [(0x1000, 0x2000)]);
    }

    #[test]
    fn of_the_stack_only_what_is_below_the_present_frame() {
        let stack = smaps("100000-200000 rw-p 00000000 00:00 0  [stack]", 40, 0);
        let page = page_size();
        let [(start, length)] = droppable(&stack, 0x18_0123)[..] else { panic!("nothing to drop") };
        assert_eq!((start, length % page), (0x10_0000, 0));
        assert!(start + length <= 0x18_0123 - STACK_MARGIN);
        // A thread with another stack, and a stack with nothing below.
        assert_eq!(droppable(&stack, 0x90_0000), []);
        assert_eq!(droppable(&stack, 0x10_0010), []);
    }

    #[test]
    fn a_long_mapping_is_made_into_pieces_once() {
        let odd: Vec<usize> = odd_pieces(0x1_1000, 5 * PIECE).collect();
        assert_eq!(odd, [0x2_0000, 0x4_0000, 0x6_0000]);
        assert_eq!(odd_pieces(0x1_0000, PIECE).count(), 0);
        assert_eq!(odd_pieces(0x1_1000, 2 * PIECE).count(), 0);
    }

    #[test]
    fn this_program_has_something_to_drop() {
        assert!(!droppable(&std::fs::read_to_string("/proc/self/smaps").unwrap(), 0).is_empty());
    }
}
