//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises what the process may have open to the most that the system grants, as servers of many connections do: what it
/// starts with is meant for programs of another time. Returns what it is now, `None` where it has no end.
pub fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where the system thinks otherwise, it stays as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_granted_is_taken() {
        let granted = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_limit(), granted);
        assert_eq!(getrlimit(Resource::Nofile).current, granted);
    }
}
