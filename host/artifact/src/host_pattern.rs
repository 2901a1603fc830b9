//! Which hosts outgoing HTTP requests may go to.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A host by its name or IP address, or all hosts below a domain.
///
/// `api.example.com` is that host, at ports 80 and 443; `api.example.com:8443` is that host at that port only. `*.example.com`
/// is each host below `example.com`, however deep, and not `example.com` itself. Addresses are written out, IPv6 in brackets:
/// `127.0.0.1:9000`, `[::1]:9000`; no wildcard ever means an address. Letters of either case are the same.
///
/// ```
/// let pattern: artifact::HostPattern = "*.example.com".parse()?;
/// assert!(pattern.matches("api.Example.com", 443));
/// assert!(!pattern.matches("evil-example.com", 443));
/// assert!(!pattern.matches("api.example.com", 8080));
/// # Ok::<_, artifact::NotAHostPattern>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hosts {
    Ip(IpAddr),
    Name(String),
    /// All names that end in a point and this one.
    Below(String),
}

/// The ports of a pattern that names none: those of HTTP and HTTPS.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// A text that should have been a pattern of hosts.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is no pattern of hosts: {why}; write for example `api.example.com`, `*.example.com` or `127.0.0.1:9000`"
)]
pub struct NotAHostPattern {
    text: String,
    why: &'static str,
}

impl HostPattern {
    /// Whether requests to this host and port are meant. The host is as it stands in a URL, an IPv6 address with or without
    /// its brackets; what is no host name, such as one with a point at its end, matches nothing.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let right_port = match self.port {
            Some(own) => own == port,
            None => USUAL_PORTS.contains(&port),
        };
        let right_host = match (&self.hosts, parse_host(host)) {
            (Hosts::Ip(own), Ok(Hosts::Ip(ip))) => *own == ip,
            (Hosts::Name(own), Ok(Hosts::Name(name))) => *own == name,
            (Hosts::Below(own), Ok(Hosts::Name(name))) => name
                .strip_suffix(own.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            _ => false,
        };
        right_port && right_host
    }
}

impl FromStr for HostPattern {
    type Err = NotAHostPattern;

    fn from_str(text: &str) -> Result<HostPattern, NotAHostPattern> {
        parse(text).map_err(|why| NotAHostPattern {
            text: text.chars().take(80).collect(),
            why,
        })
    }
}

fn parse(text: &str) -> Result<HostPattern, &'static str> {
    if text.contains("://") || text.contains('/') {
        return Err("it is to be a host, without scheme and path");
    }
    if text.contains('@') {
        return Err("it has a user in it");
    }
    // The colons in brackets are an address's own.
    let after_brackets = text.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match text[after_brackets..].find(':') {
        Some(colon) => {
            let (host, port) = text.split_at(after_brackets + colon);
            (host, Some(parse_port(&port[1..])?))
        }
        None => (text, None),
    };
    let hosts = match host.strip_prefix("*.") {
        Some(domain) => parse_domain(domain)?,
        None if host.contains('*') => {
            return Err("a `*` can only stand for all before the first point");
        }
        None => parse_host(host)?,
    };
    Ok(HostPattern { hosts, port })
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err("its port is to be a number from 1 to 65535"),
    }
}

fn parse_domain(text: &str) -> Result<Hosts, &'static str> {
    match parse_host(text)? {
        Hosts::Name(name) if name.contains('.') => Ok(Hosts::Below(name)),
        Hosts::Name(_) => Err("after `*.` there is to be a domain of two names at least"),
        Hosts::Ip(_) | Hosts::Below(_) => Err("there is nothing below an address"),
    }
}

/// A name or an address, without a wildcard.
fn parse_host(text: &str) -> Result<Hosts, &'static str> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
        return Ok(Hosts::Ip(ip.into()));
    }
    if let Ok(ip) = text.parse() {
        return Ok(Hosts::Ip(ip));
    }
    let name = text.to_ascii_lowercase();
    if name.len() > 253 {
        return Err("it is longer than the 253 letters of a host's name");
    }
    name.split('.').try_for_each(check_label)?;
    // Resolvers take `127.1` and `0x7f000001` for addresses, so no name ends in a number.
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    match number {
        true => Err("it ends in a number and is no IP address in its usual form"),
        false => Ok(Hosts::Name(name)),
    }
}

fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("a name between two points, or before or after one, is empty");
    }
    if label.len() > 63 {
        return Err("a name between two points is longer than 63 letters");
    }
    if !label.is_ascii() {
        return Err("other letters than ASCII are written as `xn--…`");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-') {
        true => Ok(()),
        false => Err("a host's name is made of letters, digits and hyphens between them"),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Hosts::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(domain) => write!(f, "*.{domain}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = NotAHostPattern;

    fn try_from(text: String) -> Result<HostPattern, NotAHostPattern> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests;
