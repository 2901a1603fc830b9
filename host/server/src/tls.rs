//! TLS for clients: a certificate and its key, which can be replaced while connections come.

use std::{io, sync::Arc};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    },
    server::TlsStream,
};

/// What `https` is served with.
pub struct Tls(ArcSwap<ServerConfig>);

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates are not what they should be.
    #[error(
        "the certificates cannot be read: {0}; a file of PEM is wanted, the server's own certificate first and then the chain"
    )]
    Certificate(String),
    /// The key is not what it should be.
    #[error(
        "the private key cannot be read: {0}; a file of PEM is wanted with one key in it that is not encrypted"
    )]
    Key(String),
    /// Both can be read, and do not fit together.
    #[error("the certificate and the private key cannot be used together: {0}")]
    Pair(rustls::Error),
}

impl Tls {
    /// `certificates` are the server's own and then those that vouch for it; both in PEM.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        config(certificates, key).map(|config| Self(ArcSwap::from_pointee(config)))
    }

    /// Shows these from now on. Connections that are there keep theirs; after an error all do.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(config(certificates, key)?));
        Ok(())
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}

fn config(certificates: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let read = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| TlsError::Certificate(told(&error)))?;
    if certificates.is_empty() {
        return Err(TlsError::Certificate("there is none in the file".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(told(&error)))?;
    // Named, as other crates of this program may bring another provider.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, key)
        })
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in the file".into(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn refused(certificates: &str, key: &str) -> String {
        let made = Tls::new(certificates.as_bytes(), key.as_bytes());
        made.err().expect("it is refused").to_string()
    }

    #[test]
    fn a_certificate_goes_with_its_own_key_and_no_other() {
        let (certificate, key) = pair();
        Tls::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let (_, other_key) = pair();
        let error = refused(&certificate, &other_key);
        assert!(error.contains("cannot be used together"), "{error}");
    }

    #[test]
    fn what_is_no_certificate_or_no_key_is_said_to_be_that() {
        let (certificate, key) = pair();
        for (certificate, key, said) in [
            (&*key, &*key, "the certificates cannot be read"),
            ("", &key, "the certificates cannot be read"),
            (
                &certificate,
                &*certificate,
                "the private key cannot be read",
            ),
            (&certificate, "", "the private key cannot be read"),
            (
                &certificate[..certificate.len() / 2],
                &key,
                "the certificates cannot be read",
            ),
        ] {
            let error = refused(certificate, key);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_pair_that_is_refused_leaves_the_old_one() {
        let (certificate, key) = pair();
        let tls = Tls::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let before = tls.0.load_full();
        assert!(tls.replace(b"", key.as_bytes()).is_err());
        assert!(Arc::ptr_eq(&before, &tls.0.load_full()));
    }
}
