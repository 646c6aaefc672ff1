//! Who holds a port.

use wire::HolderView;

use super::table::plain;

/// One line a holder: address, pid, command, user, folder, age.
pub(crate) fn holder(holder: &HolderView, now_ms: i64) -> String {
    let mut text = plain(&holder.address);
    if let Some(service) = &holder.service {
        text.push_str(&format!("  {}", plain(service)));
    }
    match holder.pid {
        Some(pid) => text.push_str(&format!("  pid {pid}")),
        None => text.push_str("  pid not visible"),
    }
    if let Some(command) = &holder.command {
        text.push_str(&format!("  {}", plain(command)));
    }
    let mut more = Vec::new();
    if let Some(user) = &holder.user {
        more.push(format!("user {}", plain(user)));
    }
    if let Some(cwd) = &holder.cwd {
        more.push(format!("in {}", plain(cwd)));
    }
    if let Some(since) = holder.since_ms {
        more.push(format!("for {}", crate::clock::span(crate::clock::between(since, now_ms))));
    }
    if !more.is_empty() {
        text.push_str(&format!("  ({})", more.join(", ")));
    }
    text
}
