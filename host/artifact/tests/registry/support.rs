//! A registry process of its own for each test, on a free port of loopback, with its storage in a throw-away folder.

mod program;

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use artifact::{Digest, Reference, RegistryClient, RegistryOptions};
use tempfile::TempDir;

/// Name and password that [`Registry::private`] knows.
pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "open sesame";

/// The same in the form that the registry reads.
const HTPASSWD: &str = "me:$2y$04$fEmuvhWyCNTDIihVGFkf3.8FfznWjpqlacK7aZ2ngqizZjL6FngIy\n";

/// A running registry; it ends with its test.
pub(crate) struct Registry {
    process: Child,
    folder: TempDir,
    address: String,
}

/// Who may use a registry.
enum Access {
    Everybody,
    Named,
}

impl Registry {
    /// One that everybody may use.
    pub(crate) fn open() -> Registry {
        Registry::start(Access::Everybody)
    }

    /// One that asks for a name and a password.
    pub(crate) fn private() -> Registry {
        Registry::start(Access::Named)
    }

    fn start(access: Access) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:0}}\n",
            storage.display()
        );
        if let Access::Named = access {
            let users = folder.path().join("htpasswd");
            fs::write(&users, HTPASSWD).unwrap();
            config += &format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                users.display()
            );
        }
        let config_path = folder.path().join("config.yml");
        fs::write(&config_path, config).unwrap();
        let mut process = Command::new(program::path())
            .arg("serve")
            .arg(&config_path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().expect("it is piped"));
        let address = listening(&mut log);
        // A full pipe would stop the registry.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Registry {
            process,
            folder,
            address,
        }
    }

    /// The name of something in it.
    pub(crate) fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }

    /// Where it keeps the content with this digest.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let blobs = "storage/docker/registry/v2/blobs/sha256";
        let folder = self.folder.path().join(blobs).join(&hex[..2]);
        folder.join(hex).join("data")
    }

    /// The body of an answer to a plain request, as any other client would get it.
    pub(crate) fn get(&self, path: &str, accept: &str) -> Vec<u8> {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        write!(
            connection,
            "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: {accept}\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.lines().next().unwrap().contains(" 200 "), "{text}");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        answer.split_off(end.expect("there are headers") + 4)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address that a registry says it listens on.
fn listening(log: &mut impl BufRead) -> String {
    let mut said = String::new();
    loop {
        let start = said.len();
        if log.read_line(&mut said).unwrap() == 0 {
            panic!("the registry ended before it listened:\n{said}");
        }
        if let Some((_, rest)) = said[start..].split_once("listening on ") {
            let end = |c: char| c == '"' || c == ',' || c.is_whitespace();
            return rest.split(end).next().unwrap().into();
        }
    }
}

/// A client without a name.
pub(crate) fn client() -> RegistryClient {
    RegistryClient::new(RegistryOptions::default()).unwrap()
}

/// One of the components that come with the host.
pub(crate) fn shipped(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/dist");
    let path = Path::new(folder).join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
