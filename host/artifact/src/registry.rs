//! Components in OCI registries.

mod credentials;
mod error;
mod explain;
mod rfc3339;
mod shape;

use std::{
    panic::AssertUnwindSafe,
    sync::Once,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt as _, TryStreamExt as _};
use oci_client::{
    Client, client::ClientConfig, client::ClientProtocol, manifest, secrets::RegistryAuth,
};

use crate::{Digest, Reference, Revision, inspect};
pub use credentials::{Credentials, CredentialsError};
pub use error::RegistryError;
use explain::explain;
use shape::{Descriptor, ImageManifest};

/// How long a registry may take to accept a connection, and between two pieces of an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a client may do.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Who it is. Shown to each registry that asks, so make a client per registry if one of them is not to be trusted with
    /// it.
    pub credentials: Credentials,
    /// Most bytes of a component.
    pub max_len: u64,
    /// Longest time of one [`RegistryClient::pull`] or [`RegistryClient::push`].
    pub timeout: Duration,
}

impl Default for RegistryOptions {
    /// Anonymous, 64 MiB, five minutes.
    fn default() -> RegistryOptions {
        RegistryOptions {
            credentials: Credentials::Anonymous,
            max_len: 64 << 20,
            timeout: Duration::from_secs(300),
        }
    }
}

/// Fetches components from registries and puts them there, over HTTPS; over HTTP if the registry is on this machine.
pub struct RegistryClient {
    https: Client,
    http: Client,
    auth: RegistryAuth,
    max_len: u64,
    timeout: Duration,
}

/// A component from a registry. Its bytes are what the manifest says, and nothing else is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The component.
    pub wasm: Vec<u8>,
    /// Of the component.
    pub digest: Digest,
    /// Of the manifest in the registry: [`Reference::at`] it is this component for ever.
    pub manifest_digest: Digest,
}

/// A component that is in a registry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Of the manifest in the registry.
    pub manifest_digest: Digest,
    /// Of the component.
    pub digest: Digest,
}

impl RegistryClient {
    /// Makes a client, which connects to nothing yet.
    pub fn new(options: RegistryOptions) -> Result<RegistryClient, RegistryError> {
        provide_cryptography();
        Ok(RegistryClient {
            https: client(ClientProtocol::Https)?,
            http: client(ClientProtocol::Http)?,
            auth: options.credentials.into(),
            max_len: options.max_len,
            timeout: options.timeout,
        })
    }

    /// Fetches a component. Fails where it is anything but a WebAssembly artifact, or not the content that its digests name.
    pub async fn pull(&self, reference: &Reference) -> Result<Pulled, RegistryError> {
        self.in_time(reference, self.fetch(reference)).await
    }

    /// Puts a component into a registry and gives it the reference's tag, which is taken from whatever had it. Fails if
    /// it is no component that this host could run.
    pub async fn push(
        &self,
        reference: &Reference,
        wasm: Vec<u8>,
    ) -> Result<Pushed, RegistryError> {
        self.in_time(reference, self.store(reference, wasm)).await
    }

    async fn fetch(&self, reference: &Reference) -> Result<Pulled, RegistryError> {
        let (client, name) = (self.client(reference), name(reference));
        let failed = |e| explain(reference, e);
        let (body, _) = client
            .pull_manifest_raw(&name, &self.auth, shape::MANIFESTS)
            .await
            .map_err(failed)?;
        let manifest_digest = Digest::of(&body);
        if let Revision::Digest(asked) = reference.revision()
            && *asked != manifest_digest
        {
            return Err(RegistryError::OtherManifest {
                reference: reference.to_string(),
                found: manifest_digest.to_string(),
            });
        }
        let layer = shape::only_layer(&body).map_err(|found| RegistryError::OtherShape {
            reference: reference.to_string(),
            found,
        })?;
        self.check_len(reference, layer.size)?;
        let wasm = self.fetch_layer(reference, &layer).await?;
        Ok(Pulled {
            wasm,
            digest: layer.digest,
            manifest_digest,
        })
    }

    async fn fetch_layer(
        &self,
        reference: &Reference,
        layer: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let other = |found: String| RegistryError::OtherLayer {
            reference: reference.to_string(),
            named: layer.digest,
            found,
        };
        let descriptor = manifest::OciDescriptor {
            digest: layer.digest.to_string(),
            ..Default::default()
        };
        let client = self.client(reference);
        let stream = client
            .pull_blob_stream(&name(reference), &descriptor)
            .await
            .map_err(|e| explain::layer(reference, layer, e))?;
        // Only what was promised is kept, however much comes.
        let mut wasm = Vec::new();
        let mut stream = stream.stream;
        while let Some(piece) = stream
            .try_next()
            .await
            .map_err(|e| explain::io(reference, layer, e))?
        {
            wasm.extend_from_slice(&piece);
            if wasm.len() as u64 > layer.size {
                return Err(other(format!("more than its {} bytes", layer.size)));
            }
        }
        match Digest::of(&wasm) {
            found if found == layer.digest => Ok(wasm),
            found => Err(other(found.to_string())),
        }
    }

    async fn store(&self, reference: &Reference, wasm: Vec<u8>) -> Result<Pushed, RegistryError> {
        if let Revision::Digest(_) = reference.revision() {
            return Err(RegistryError::NoTag(reference.to_string()));
        }
        self.check_len(reference, wasm.len() as u64)?;
        let inspection = inspect(&wasm)?;
        let config = shape::config(&inspection, SystemTime::now());
        let manifest = ImageManifest::new(&config, &inspection).to_json();
        let manifest_digest = Digest::of(&manifest);

        let (client, name) = (self.client(reference), name(reference));
        let failed = |e| explain(reference, e);
        client
            .store_auth_if_needed(reference.registry(), &self.auth)
            .await;
        for blob in [config, wasm] {
            let digest = Digest::of(&blob).to_string();
            client
                .push_blob(&name, blob, &digest)
                .await
                .map_err(failed)?;
        }
        let media_type = shape::MANIFEST.parse().expect("a media type is a header");
        // Last, so that nobody sees a manifest of things that are not there yet.
        client
            .push_manifest_raw(&name, manifest, media_type)
            .await
            .map_err(failed)?;
        Ok(Pushed {
            manifest_digest,
            digest: inspection.digest,
        })
    }

    fn client(&self, reference: &Reference) -> &Client {
        match reference.is_loopback() {
            true => &self.http,
            false => &self.https,
        }
    }

    fn check_len(&self, reference: &Reference, len: u64) -> Result<(), RegistryError> {
        match len <= self.max_len {
            true => Ok(()),
            false => Err(RegistryError::TooLarge {
                reference: reference.to_string(),
                len,
                max: self.max_len,
            }),
        }
    }

    async fn in_time<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        // The client library panics where a registry's token fits no header. What its clients share is behind tokio's locks,
        // which a panic does not poison.
        let work = AssertUnwindSafe(work).catch_unwind();
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(RegistryError::Refused {
                reference: reference.to_string(),
                why: "its answer makes no sense".into(),
            }),
            Err(_) => Err(RegistryError::TimedOut {
                reference: reference.to_string(),
                after: self.timeout,
            }),
        }
    }
}

fn client(protocol: ClientProtocol) -> Result<Client, RegistryError> {
    let config = ClientConfig {
        protocol,
        // One request per blob: all registries know it, and components are small.
        use_monolithic_push: true,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("host/", env!("CARGO_PKG_VERSION")),
        ..Default::default()
    };
    Client::try_from(config).map_err(|e| RegistryError::NoClient(explain::chain(&e)))
}

/// The client library finds its cryptography in a place that all of the process shares; another part of it may have put the
/// same there already.
fn provide_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The reference in the client library's own type.
fn name(reference: &Reference) -> oci_client::Reference {
    let (registry, repository) = (reference.registry().into(), reference.repository().into());
    match reference.revision() {
        Revision::Tag(tag) => oci_client::Reference::with_tag(registry, repository, tag.clone()),
        Revision::Digest(digest) => {
            oci_client::Reference::with_digest(registry, repository, digest.to_string())
        }
    }
}
