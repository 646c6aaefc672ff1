//! What a run is given, and the workspace's token.

use std::io::Read;

pub(crate) use run::environment::{Filling, Recipe};

/// 192 random bits in hexadecimal.
pub(crate) fn new_token() -> std::io::Result<String> {
    let mut bytes = [0_u8; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(one.len(), 48);
        assert_ne!(one, other);
    }
}
