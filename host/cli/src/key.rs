//! `host key`: keys for clients.

use anyhow::{Context, Result};
use artifact::Digest;
use server::KeyName;

use crate::args::key::KeyCommand;

/// Random bytes of a secret: as many as nobody can try out.
const SECRET_LEN: usize = 32;

pub(crate) fn run(command: &KeyCommand) -> Result<()> {
    match command {
        KeyCommand::New { name, json } => {
            let secret = new_secret()?;
            let digest = Digest::of(secret.as_bytes()).hex();
            if *json {
                let key =
                    serde_json::json!({"name": name.as_str(), "secret": secret, "sha256": digest});
                println!("{key}");
                return Ok(());
            }
            eprintln!(
                "the secret of `{name}`, which is shown this once and kept nowhere:\n\n    {secret}\n"
            );
            eprintln!(
                "append this to the file of --api-keys (`host key new {name} >> FILE`) and send the server SIGHUP:\n"
            );
            print!("{}", entry(name, &digest));
            Ok(())
        }
    }
}

/// 256 bits from the operating system, in the form that OpenAI's clients expect of a key.
fn new_secret() -> Result<String> {
    let mut bytes = [0; SECRET_LEN];
    getrandom::fill(&mut bytes).context("the operating system has no random bytes")?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sk-{digits}"))
}

/// A key's entry in the file; names need no escapes.
fn entry(name: &KeyName, digest: &str) -> String {
    format!("\n[[key]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn a_new_key_is_let_in_by_the_entry_that_is_printed_with_it() {
        let secret = new_secret().unwrap();
        assert_eq!(secret.len(), 3 + 2 * SECRET_LEN);
        let digest = Digest::of(secret.as_bytes());
        let keys = keys::parse(&entry(&"alice".parse().unwrap(), &digest.hex())).unwrap();
        assert_eq!(keys[0].name.as_str(), "alice");
        assert_eq!(keys[0].digest, digest);
    }

    #[test]
    fn no_two_secrets_are_alike() {
        assert_ne!(new_secret().unwrap(), new_secret().unwrap());
    }
}
