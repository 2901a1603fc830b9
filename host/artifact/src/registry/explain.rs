//! The client library's errors in our words.

use std::{error::Error, io};

use oci_client::errors::{DigestError, OciDistributionError as Oci, OciErrorCode as Code};

use super::{error::RegistryError, shape::Descriptor};
use crate::Reference;

/// Most letters of what a registry says that are passed on.
const MAX_LEN: usize = 300;

/// What an error of the client library means for whoever asked for the reference.
pub(super) fn explain(reference: &Reference, error: Oci) -> RegistryError {
    let reference = reference.to_string();
    let why = chain(&error);
    match error {
        Oci::DigestError(DigestError::VerificationError { actual, .. }) => {
            RegistryError::OtherManifest {
                reference,
                found: actual,
            }
        }
        Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => {
            RegistryError::Unauthorized(reference)
        }
        Oci::RegistryError { envelope, .. } => {
            let has = |codes: &[Code]| envelope.errors.iter().any(|e| codes.contains(&e.code));
            if has(&[Code::Unauthorized, Code::Denied]) {
                return RegistryError::Unauthorized(reference);
            }
            if has(&[
                Code::ManifestUnknown,
                Code::NameUnknown,
                Code::NotFound,
                Code::BlobUnknown,
            ]) {
                return RegistryError::NotFound(reference);
            }
            let said = envelope.errors.iter().map(|e| e.message.as_str());
            let why = printable(&said.collect::<Vec<_>>().join("; "));
            RegistryError::Refused { reference, why }
        }
        Oci::ServerError { code, message, .. } => match code {
            401 | 403 => RegistryError::Unauthorized(reference),
            404 => RegistryError::NotFound(reference),
            _ => RegistryError::Refused {
                reference,
                why: format!("status {code}, {}", printable(&message)),
            },
        },
        Oci::RequestError(_) | Oci::IoError(_) => RegistryError::Unreachable { reference, why },
        _ => RegistryError::Refused { reference, why },
    }
}

/// What it means that a component does not come.
pub(super) fn layer(reference: &Reference, layer: &Descriptor, error: Oci) -> RegistryError {
    match explain(reference, error) {
        // The manifest was there just now.
        RegistryError::NotFound(reference) => RegistryError::OtherLayer {
            reference,
            named: layer.digest,
            found: "nothing".into(),
        },
        other => other,
    }
}

/// What it means that a component breaks off, or is not what it should be at its end.
pub(super) fn io(reference: &Reference, layer: &Descriptor, error: io::Error) -> RegistryError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(DigestError::VerificationError { actual, .. }) => RegistryError::OtherLayer {
            reference: reference.to_string(),
            named: layer.digest,
            found: actual.clone(),
        },
        _ => RegistryError::Unreachable {
            reference: reference.to_string(),
            why: chain(&error),
        },
    }
}

/// An error with what caused it, the least of which says most.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Transparent errors say the same again.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    printable(&text)
}

/// The beginning of a text from outside, in one line.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).take(MAX_LEN).collect()
}
