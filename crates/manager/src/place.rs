//! Which manager this very process belongs to.

/// The name when there is none.
pub const NAME_NONE: &str = "none";

/// The service manager that started this process as pipd's own unit or agent: `systemd`, `launchd` or `none`.
#[must_use]
pub fn kind_of_this_process() -> &'static str {
    if std::env::var_os("XPC_SERVICE_NAME").is_some_and(|name| name == crate::LABEL) {
        return "launchd";
    }
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let group = os::host::control_group(me);
    if os::notify::Notifier::of_this_process().is_some() && group.as_deref().is_some_and(is_our_unit) {
        return "systemd";
    }
    NAME_NONE
}

/// Whether a control group is that of pipd's unit in a user's manager.
pub(crate) fn is_our_unit(group: &str) -> bool {
    group.contains("/user@") && group.ends_with(&format!("/{}", crate::UNIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_users_unit_counts() {
        assert!(is_our_unit("/user.slice/user-1000.slice/user@1000.service/app.slice/pipd.service"));
        assert!(!is_our_unit("/system.slice/pipd.service"));
        assert!(!is_our_unit("/user.slice/user-1000.slice/session-3.scope"));
        assert_eq!(kind_of_this_process(), NAME_NONE);
    }
}
