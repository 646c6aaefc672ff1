//! Giving memory back that an idle process does not need.

use crate::sys;

/// Lets go of what only the busy past needed: free heap, and the mapping of program text that is not being
/// executed. Nothing is lost; what is needed again is mapped again from the page cache, at the cost of a few
/// dozen minor page faults. Does nothing where the system offers no such means.
pub fn rest() {
    sys::memory::rest();
}

#[cfg(test)]
mod tests {
    #[test]
    fn life_goes_on_after_a_rest() {
        let before: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        super::rest();
        let after: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        assert_eq!(before, after);
    }
}
