//! The small grammars of single values: durations, sizes, addresses, host patterns. Pure text to value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::http::client::{HostTarget, TargetHost};
use crate::oci::RegistryHost;

/// Parses `30s`, `15m`, `1h` and runs of them such as `1h30m`; also `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "it must be a duration such as 30s, 15m, 1h or 1h30m";
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(RULE);
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or(RULE)?;
        let unit_length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(unit_length).ok_or(RULE)?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(RULE),
        };
        let part = u32::try_from(number).ok().and_then(|number| unit.checked_mul(number)).ok_or(RULE)?;
        total = total.checked_add(part).ok_or(RULE)?;
        rest = after;
    }
    Ok(total)
}

/// Writes a duration the way [`duration`] reads it.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    for (amount, unit) in [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")] {
        if amount > 0 {
            text.push_str(&format!("{amount}{unit}"));
        }
    }
    if duration.subsec_millis() > 0 {
        text.push_str(&format!("{}ms", duration.subsec_millis()));
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The units of a size, largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Parses `8MiB`, `512KiB`, `1GiB` or a plain number of bytes.
pub(super) fn size(text: &str) -> Result<u64, &'static str> {
    const RULE: &str = "it must be a size such as 512KiB, 8MiB or 1GiB";
    let (number, unit) = leading_number(text).ok_or(RULE)?;
    let unit = match unit.trim() {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes).ok_or(RULE)?,
    };
    number.checked_mul(unit).ok_or(RULE)
}

/// Writes a size the way [`size`] reads it.
pub(super) fn size_text(bytes: u64) -> String {
    let (name, unit) =
        SIZES.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)).unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

/// Parses where to listen.
///
/// # Errors
/// The rule, for a text that is no address with a port.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an address and a port such as 127.0.0.1:7080")
}

/// Parses the host of a registry, as image names begin with it.
pub(super) fn registry_host(text: &str) -> Result<RegistryHost, String> {
    if text.contains('/') {
        return Err("it must be a host as image names begin with it, without a scheme and a path".to_owned());
    }
    RegistryHost::parse(text).map_err(|malformed| malformed.to_string())
}

/// Parses the host of an API, with a port where one is needed; `https` is understood and so may stand before it.
pub(super) fn api_host(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    RegistryHost::parse(host)
        .map(|host| host.as_str().to_owned())
        .map_err(|_| "it must be a host such as sts-vpc.cn-hangzhou.aliyuncs.com, with a port where needed")
}

/// Parses an http URL of scheme, host and port only; the trailing slash goes.
pub(super) fn base_url(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "it must be 'http://' followed by a host and perhaps a port, nothing else";
    let authority = text.strip_prefix("http://").ok_or(RULE)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    match target(authority) {
        Ok(_) => Ok(format!("http://{authority}")),
        Err(_) => Err(RULE),
    }
}

/// Parses what a name is replaced with: an address or a name, either with `:port`; an IPv6 address with a port stands
/// in brackets.
pub(super) fn target(text: &str) -> Result<HostTarget, &'static str> {
    const RULE: &str = "it must be an address or a host name, either with ':port' behind it where needed";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(HostTarget { host: TargetHost::Address(address), port: None });
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        let port = (socket.port() != 0).then_some(socket.port()).ok_or(RULE)?;
        return Ok(HostTarget { host: TargetHost::Address(socket.ip()), port: Some(port) });
    }
    let host = RegistryHost::parse(text).map_err(|_| RULE)?;
    if looks_like_address(host.host()) {
        return Err(RULE);
    }
    let port = host.as_str().split_once(':').and_then(|(_, port)| port.parse().ok());
    Ok(HostTarget { host: TargetHost::Name(host.host().to_owned()), port })
}

/// Writes a target the way [`target`] reads it.
pub(super) fn target_text(target: &HostTarget) -> String {
    match (&target.host, target.port) {
        (TargetHost::Address(address), None) => address.to_string(),
        (TargetHost::Address(address), Some(port)) => SocketAddr::new(*address, port).to_string(),
        (TargetHost::Name(name), None) => name.clone(),
        (TargetHost::Name(name), Some(port)) => format!("{name}:{port}"),
    }
}

/// Four groups of digits that are no address, such as `192.168.0.256`: a slip of the pen, never a name.
fn looks_like_address(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Parses a host name without a port, exact or `*.suffix`, and folds its case. A suffix needs two labels at least: a
/// whole top-level domain is never meant.
pub(super) fn host_pattern(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "it must be a host name, or '*.' and a domain of at least two labels; no port";
    let (name, labels) = match text.strip_prefix("*.") {
        Some(suffix) => (suffix, 2),
        None => (text, 1),
    };
    let host = RegistryHost::parse(name).map_err(|_| RULE)?;
    if host.as_str().contains(':') || host.as_str().split('.').count() < labels {
        return Err(RULE);
    }
    Ok(text.to_ascii_lowercase())
}

/// Checks a pattern of `repositories`: path components of lower-case letters, digits, `.`, `_`, `-` and `*`.
pub(super) fn repository_pattern(text: &str) -> Result<String, &'static str> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-' | b'*');
    let component = |part: &str| !part.is_empty() && part.bytes().all(fits) && (part == "**" || !part.contains("**"));
    if text.len() <= 255 && text.split('/').all(component) {
        Ok(text.to_owned())
    } else {
        Err("it must be a repository such as team/app, team/* or base/**, in lower case, without a host")
    }
}

/// The known key nearest to a wrong one: the same but for case and separators, or two letters away at most.
pub(super) fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    let wanted = plain(key);
    let distances = known.iter().map(|known| (distance(&wanted, &plain(known)), *known));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < nearest.len()).then_some(nearest)
}

/// The Levenshtein distance.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.iter().enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right) {
            let substituted = diagonal + usize::from(a != b);
            diagonal = *cell;
            previous = substituted.min(previous + 1).min(*cell + 1);
            *cell = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
