//! IPv4 and IPv6 addresses that belong to somebody: those that stand for the machine itself or for none do not.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::boundary::{after, is_word, joins_left, last_word};

/// The longest way to write an address.
const MAX_LEN: usize = 45;

/// Words after which four numbers with dots are a version or a place in a document.
const NOT_ADDRESSES: [&str; 14] = [
    "v", "ver", "version", "versions", "release", "releases", "build", "rev", "revision",
    "firmware", "section", "sections", "chapter", "clause",
];

pub(super) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(is_part).count();
        if (3..=MAX_LEN + 1).contains(&len)
            && !joins_left(text, at)
            && let Some(span) = address(text, at, at + len)
        {
            return Some(span);
        }
        at += len.max(1);
    }
    None
}

/// The address in a run of hexadecimal digits, dots and colons.
fn address(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    if after(text, end).is_some_and(is_word) {
        return None;
    }
    let run = text[start..end].trim_end_matches('.');
    // `192.168.1.1:8080`, `[2001:db8::1]:443`, and a colon before whatever comes next.
    let host = match run.split_once(':') {
        Some((host, _)) if host.contains('.') => host,
        _ => run.trim_end_matches(':'),
    };
    for candidate in [run, host] {
        let span = start..start + candidate.len();
        let is_personal = match candidate.parse() {
            Ok(IpAddr::V4(ip)) => is_personal_v4(ip) && !is_version(text, &span),
            Ok(IpAddr::V6(ip)) => is_personal_v6(ip),
            Err(_) => false,
        };
        if is_personal {
            return Some(span);
        }
    }
    None
}

/// Not this machine, and not a group of machines, a netmask or what is reserved.
fn is_personal_v4(ip: Ipv4Addr) -> bool {
    matches!(ip.octets()[0], 1..=126 | 128..=223)
}

/// Only the ranges from which addresses are given out: `a::b` is an address, too, but means a name in a program.
fn is_personal_v6(ip: Ipv6Addr) -> bool {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_personal_v4(ip);
    }
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        [first, ..] => {
            first >> 13 == 0b001 || first >> 9 == 0b111_1110 || first >> 6 == 0b11_1111_1010
        }
    }
}

/// Whether four numbers with dots are a version, by what stands around them.
fn is_version(text: &str, span: &Range<usize>) -> bool {
    let suffix = &text[span.end..];
    if suffix.starts_with('-') && suffix[1..].starts_with(char::is_alphabetic) {
        return true;
    }
    let in_front = &text[..span.start];
    if ["==", ">=", "<=", "~="]
        .iter()
        .any(|sign| in_front.ends_with(sign))
    {
        return true;
    }
    // `Chrome/120.0.0.1`, but not `https://10.0.0.1` and not `/hosts/10.0.0.1`.
    if let Some(product) = in_front.strip_suffix('/') {
        let name = last_word(product);
        let rest = &product[..product.len() - name.len()];
        return !name.is_empty() && !rest.ends_with(['/', '.', '-', ':']);
    }
    let word = last_word(in_front.trim_end_matches([' ', '\t', ':', '=', '#', '-']));
    NOT_ADDRESSES
        .iter()
        .any(|other| word.eq_ignore_ascii_case(other))
}
