//! Bytes that show whether a place was read into.

use std::hash::{BuildHasher, RandomState};

pub(crate) const NONCE_BYTES: usize = 32;

/// Bytes that UTF-8 never contains, in an order nobody foresees. Text cannot be mistaken for them whatever its
/// length; binary output of `n` bytes is with probability 13⁻ⁿ, and then only if the kill fell between its
/// read and the next instruction.
pub(crate) struct Nonces(u64);

const NEVER: [u8; 13] = [0xC0, 0xC1, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF];

impl Nonces {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(std::process::id()) | 1)
    }

    pub(crate) fn next(&mut self) -> [u8; NONCE_BYTES] {
        // xorshift64: cheap, and there is no adversary here.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let mut random = self.0;
        std::array::from_fn(|index| {
            if index == NONCE_BYTES / 2 {
                random = self.0.rotate_left(29);
            }
            let byte = NEVER[(random % 13) as usize];
            random /= 13;
            byte
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_contains_a_byte_of_a_nonce() {
        let mut nonces = Nonces::new();
        let first = nonces.next();
        assert_ne!(first, nonces.next());
        let text: String = (0..=0x0010_FFFF).filter_map(char::from_u32).collect();
        let mut seen = [false; 256];
        text.bytes().for_each(|byte| seen[byte as usize] = true);
        assert!(first.iter().all(|&byte| !seen[byte as usize]));
    }
}
