//! Bytes in JSON: text where they are text, else a list of numbers.

use serde::{Deserialize, Serialize};

use super::Twin;

/// A body or the value of a header.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Bytes {
    Text(String),
    Raw(Vec<u8>),
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::Text(String::new())
    }
}

impl Twin<Vec<u8>> for Bytes {
    fn of(host: Vec<u8>) -> Self {
        match String::from_utf8(host) {
            Ok(text) => Bytes::Text(text),
            Err(error) => Bytes::Raw(error.into_bytes()),
        }
    }

    fn into_host(self) -> Vec<u8> {
        match self {
            Bytes::Text(text) => text.into_bytes(),
            Bytes::Raw(bytes) => bytes,
        }
    }
}

/// A header, as a pair of name and value.
pub(crate) type Header = (String, Bytes);

impl Twin<sandbox::Header> for Header {
    fn of(host: sandbox::Header) -> Self {
        (host.name, Bytes::of(host.value))
    }

    fn into_host(self) -> sandbox::Header {
        sandbox::Header {
            name: self.0,
            value: self.1.into_host(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_other_bytes_are_numbers() {
        for (bytes, json) in [(&b"hi"[..], "\"hi\""), (&[255, 0], "[255,0]")] {
            let written = serde_json::to_string(&Bytes::of(bytes.to_vec())).unwrap();
            assert_eq!(written, json);
            let read: Bytes = serde_json::from_str(json).unwrap();
            assert_eq!(read.into_host(), bytes);
        }
    }
}
