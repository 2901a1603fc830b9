//! What the names of imports and exports stand for.

use semver::Version;

use crate::{Capability, Role, wit_version::PACKAGE};

/// The name of an interface, taken apart: `package/name@version`.
pub(super) struct Interface<'a> {
    package: &'a str,
    name: &'a str,
    version: Option<&'a str>,
}

impl<'a> Interface<'a> {
    /// `None` for names that are no interface's, such as those of single functions.
    pub(super) fn parse(name: &'a str) -> Option<Interface<'a>> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (name, None),
        };
        let (package, name) = path.split_once('/')?;
        Some(Interface {
            package,
            name,
            version,
        })
    }

    /// Whether it is one of the WIT package, in any version.
    pub(super) fn is_ours(&self) -> bool {
        self.package == PACKAGE
    }

    /// Its version, if it has one.
    pub(super) fn version(&self) -> Option<Version> {
        Version::parse(self.version?).ok()
    }

    /// What a component is that exports it, if that decides it.
    pub(super) fn role(&self) -> Option<Role> {
        match (self.package, self.name) {
            (PACKAGE, "routing") => Some(Role::Router),
            (PACKAGE, "shaping") => Some(Role::Shaper),
            (PACKAGE, "templating") => Some(Role::ChatTemplate),
            ("wasi:http", "incoming-handler") if self.is_minor(0, 2) => Some(Role::Function),
            ("wasi:http", "handler") if self.is_minor(0, 3) => Some(Role::Function),
            _ => None,
        }
    }

    /// What has to be granted to a component that imports it.
    pub(super) fn need(&self) -> Option<Capability> {
        match (self.package, self.name) {
            (PACKAGE, "log") => Some(Capability::Log),
            (PACKAGE, "config") => Some(Capability::Config),
            (PACKAGE, "clock") => Some(Capability::Clock),
            (PACKAGE, "random") => Some(Capability::Random),
            (PACKAGE, "key-value") => Some(Capability::KeyValue),
            (PACKAGE, "inference") => Some(Capability::Inference),
            ("wasi:cli", "stdout" | "stderr") => Some(Capability::Log),
            ("wasi:clocks", _) => Some(Capability::Clock),
            ("wasi:random", _) => Some(Capability::Random),
            ("wasi:http", "outgoing-handler" | "client") => Some(Capability::OutgoingHttp),
            _ => None,
        }
    }

    fn is_minor(&self, major: u64, minor: u64) -> bool {
        self.version()
            .is_some_and(|version| (version.major, version.minor) == (major, minor))
    }
}
