//! Who holds a port.

use wire::HolderView;

use super::table::plain;

/// The holders the reason does not name already.
pub(crate) fn unnamed<'a>(
    holders: &'a [HolderView],
    detail: Option<&'a str>,
) -> impl Iterator<Item = &'a HolderView> {
    holders.iter().filter(move |holder| {
        let named = |pid: i32| detail.is_some_and(|detail| names_pid(detail, pid));
        !holder.pid.is_some_and(named)
    })
}

fn names_pid(detail: &str, pid: i32) -> bool {
    let name = format!("pid {pid}");
    detail
        .match_indices(&name)
        .any(|(at, _)| !detail[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

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
    if let Some(from) = &holder.from {
        more.push(format!("from {}", plain(from)));
    }
    if let Some(since) = holder.since_ms {
        more.push(format!("for {}", crate::clock::span(crate::clock::between(since, now_ms))));
    }
    if !more.is_empty() {
        text.push_str(&format!("  ({})", more.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_once() {
        let holders = [3000, 300].map(|pid| HolderView { pid: Some(pid), ..HolderView::default() });
        let left = |detail| unnamed(&holders, detail).filter_map(|holder| holder.pid).collect::<Vec<_>>();
        assert_eq!(left(None), [3000, 300]);
        assert_eq!(left(Some("port 1 is held by pid 3000 (x)")), [300]);
        assert_eq!(left(Some("held by pid 300")), [3000]);
    }
}
