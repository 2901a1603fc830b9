//! Ids that are made of the request's.

use std::fmt;

/// A digest of the request's id, for ids of parts of its answer: clients limit the length of those, but may choose long
/// request ids. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn of(request_id: &str) -> Digest {
        Digest(fnv1a(request_id.as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// The FNV-1a digest, which unlike the standard library's hashers is the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
