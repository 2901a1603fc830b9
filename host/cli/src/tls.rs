//! The certificate and its key, as files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use server::{Tls, TlsError};

use crate::args::listen::ListenArgs;

/// Where the certificates and the key are.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    certificates: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// Those of the command line, which has both or neither.
    pub(crate) fn of(args: &ListenArgs) -> Option<Self> {
        Some(Self {
            certificates: args.ssl_certfile.clone()?,
            key: args.ssl_keyfile.clone()?,
        })
    }

    /// Reads both.
    pub(crate) fn load(&self) -> Result<Tls> {
        let (certificates, key) = self.read()?;
        Tls::new(&certificates, &key).map_err(|error| self.blame(error))
    }

    /// Reads both again; what fails leaves those that are shown.
    pub(crate) fn reload(&self, tls: &Tls) -> Result<()> {
        let (certificates, key) = self.read()?;
        tls.replace(&certificates, &key)
            .map_err(|error| self.blame(error))
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let read = |path: &Path, flag: &str| {
            std::fs::read(path).with_context(|| format!("cannot read {} ({flag})", path.display()))
        };
        Ok((
            read(&self.certificates, "--ssl-certfile")?,
            read(&self.key, "--ssl-keyfile")?,
        ))
    }

    /// Says in which file the fault is.
    fn blame(&self, error: TlsError) -> Error {
        let (certificates, key) = (self.certificates.display(), self.key.display());
        let place = match error {
            TlsError::Certificate(_) => format!("in {certificates} (--ssl-certfile)"),
            TlsError::Key(_) => format!("in {key} (--ssl-keyfile)"),
            TlsError::Pair(_) => format!("with {certificates} and {key}"),
        };
        Error::from(error).context(place)
    }
}
