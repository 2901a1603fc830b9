#![doc = include_str!("../README.md")]

mod blobs;
mod componentize;
mod digest;
mod disk;
mod host_pattern;
mod inspect;
mod lock;
mod manifest;
mod outermost;
mod plugin_id;
mod reference;
mod registry;
#[cfg(test)]
mod samples;
mod source;
mod terms;
mod wit_version;

pub use blobs::{BlobError, Blobs};
pub use componentize::{ComponentizeError, componentize};
pub use digest::{Digest, NotADigest};
pub use disk::{Disk, DiskError};
pub use host_pattern::{HostPattern, NotAHostPattern};
pub use inspect::{Contradiction, InspectError, Inspection, inspect, wit_text};
pub use lock::{Lock, LockError, Pin};
pub use manifest::{ConfigError, ConfigSchema, Limits, Manifest, ManifestError, embed};
pub use outermost::NotAComponent;
pub use plugin_id::{NotAPluginId, PluginId};
pub use reference::{NotAReference, Reference, Revision};
pub use registry::{
    Credentials, CredentialsError, Pulled, Pushed, RegistryClient, RegistryError, RegistryOptions,
};
pub use source::{NotASource, Source};
pub use terms::{Capability, Role};
pub use wit_version::{NotAWitVersion, WitVersion};
