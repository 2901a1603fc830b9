//! API keys: who is let in, and on what terms.

mod client;
mod key;

use std::{collections::HashMap, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use artifact::Digest;
use http::{HeaderMap, HeaderName, StatusCode, header};
use sandbox::{ApiError, PluginSet};
use subtle::ConditionallySelectable;

use crate::error::{coded, refusal};
pub(crate) use client::Client;
pub use key::{ApiKey, KeyName, NotAKeyName, ShaperSettings};

/// Where Anthropic's clients show their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers that hold a client's secrets. They stay with the host.
pub(crate) const SECRET_HEADERS: [HeaderName; 3] =
    [header::AUTHORIZATION, X_API_KEY, header::COOKIE];

/// The keys that this server accepts now; none means that everyone is let in.
pub struct ApiKeys(ArcSwap<Vec<Arc<Client>>>);

/// Why keys cannot come into force.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KeysError {
    /// Two have one name.
    #[error("two keys are named `{0}`: a name says whose request it was, so give each its own")]
    SameName(KeyName),
    /// Two have one secret.
    #[error(
        "the keys `{0}` and `{1}` have the same secret, so nobody could tell them apart: make a new one with `host key new`"
    )]
    SameSecret(KeyName, KeyName),
    /// Settings for a plugin that is not in the path of requests.
    #[error(
        "the key `{key}` has settings for a shaper `{shaper}`, and there is none of that name; there are: {known}"
    )]
    UnknownShaper {
        /// Whose settings.
        key: KeyName,
        /// Of what.
        shaper: String,
        /// The shapers that there are.
        known: String,
    },
    /// Settings that a plugin does not take.
    #[error("the key `{key}` has settings that the shaper `{shaper}` does not take: {why}")]
    Settings {
        /// Whose settings.
        key: KeyName,
        /// Of what.
        shaper: String,
        /// What the plugin's schema says.
        why: String,
    },
}

impl ApiKeys {
    /// Bare secrets without limits, see [`ApiKey::of_secrets`].
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let now = Instant::now();
        let clients = ApiKey::of_secrets(secrets).into_iter();
        let clients = clients.map(|key| Arc::new(Client::new(key, None, now)));
        Self(ArcSwap::from_pointee(clients.collect()))
    }

    /// These keys. Fails if two cannot be told apart.
    pub fn of(keys: Vec<ApiKey>) -> Result<Self, KeysError> {
        let nobody = Self::new([]);
        nobody.replace(keys)?;
        Ok(nobody)
    }

    /// Fails if a key has settings that do not fit these plugins.
    pub fn check_settings(&self, plugins: &PluginSet) -> Result<(), KeysError> {
        let clients = self.0.load();
        clients
            .iter()
            .try_for_each(|client| check_settings(&client.key, plugins))
    }

    /// Lets these keys in from now on and no others. A key that stays by its name keeps what it has used.
    pub(crate) fn replace(&self, keys: Vec<ApiKey>) -> Result<(), KeysError> {
        check_distinct(&keys)?;
        let before = self.0.load_full();
        let now = Instant::now();
        let limits = |name: &KeyName| {
            let client = before.iter().find(|client| client.key.name == *name);
            client.map(|client| client.limits.clone())
        };
        let clients = keys.into_iter().map(|key| {
            let limits = limits(&key.name);
            Arc::new(Client::new(key, limits, now))
        });
        self.0.store(Arc::new(clients.collect()));
        Ok(())
    }

    /// Lets a request with one of the keys pass, and says whose it is; nobody's where there are no keys.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<Arc<Client>>, ApiError> {
        let clients = self.0.load();
        if clients.is_empty() {
            return Ok(None);
        }
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, key)| key.trim_ascii());
        let plain = || headers.get(X_API_KEY).map(|value| value.as_bytes());
        let given = bearer.or_else(plain).unwrap_or_default();
        if let Some(client) = find(&clients, given) {
            return Ok(Some(client.clone()));
        }
        let message =
            "no valid API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`";
        Err(coded(
            "invalid_api_key",
            ApiError {
                kind: "invalid_request_error".into(),
                ..refusal(StatusCode::UNAUTHORIZED, message)
            },
        ))
    }
}

/// Compares the secret with all keys in full, so that the time taken tells nothing.
fn find<'a>(clients: &'a [Arc<Client>], secret: &[u8]) -> Option<&'a Arc<Client>> {
    let digest = Digest::of(secret).hex();
    // 0 is nobody.
    let mut found = 0u64;
    for (number, client) in (1..).zip(clients) {
        found.conditional_assign(&number, client.has_digest(&digest));
    }
    let index = usize::try_from(found.checked_sub(1)?).ok()?;
    clients.get(index)
}

fn check_distinct(keys: &[ApiKey]) -> Result<(), KeysError> {
    let (mut names, mut digests) = (HashMap::new(), HashMap::new());
    for key in keys {
        if names.insert(&key.name, ()).is_some() {
            return Err(KeysError::SameName(key.name.clone()));
        }
        if let Some(other) = digests.insert(key.digest, &key.name) {
            return Err(KeysError::SameSecret(other.clone(), key.name.clone()));
        }
    }
    Ok(())
}

/// Fails if the key has settings that do not fit these plugins.
pub(crate) fn check_settings(key: &ApiKey, plugins: &PluginSet) -> Result<(), KeysError> {
    for (name, settings) in &key.shapers {
        let mut shapers = plugins.shapers.iter();
        let Some(shaper) = shapers.find(|shaper| *shaper.info().name == **name) else {
            let known: Vec<&str> = plugins.shapers.iter().map(|s| &*s.info().name).collect();
            return Err(KeysError::UnknownShaper {
                key: key.name.clone(),
                shaper: name.clone(),
                known: known.join(", "),
            });
        };
        let taken = shaper.with_settings(settings);
        taken.map_err(|why| KeysError::Settings {
            key: key.name.clone(),
            shaper: name.clone(),
            why: why.to_string(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn bearer(value: Option<&str>) -> HeaderMap {
        let headers = value.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        HeaderMap::from_iter(headers)
    }

    fn status(keys: &[&str], authorization: Option<&str>) -> Option<u16> {
        let keys = ApiKeys::new(keys.iter().map(|&key| key.to_owned()));
        let checked = keys.check(&bearer(authorization));
        checked.err().map(|error| error.status)
    }

    fn key(name: &str, secret: &str) -> ApiKey {
        ApiKey::new(name.parse().unwrap(), Digest::of(secret.as_bytes()))
    }

    fn name_for(keys: &ApiKeys, secret: &str) -> Option<String> {
        let client = keys.check(&bearer(Some(&format!("Bearer {secret}"))));
        client.ok()?.map(|client| client.name().to_owned())
    }

    #[test]
    fn without_keys_everyone_is_let_in() {
        assert_eq!(status(&[], None), None);
        assert_eq!(status(&[""], Some("Bearer x")), None);
    }

    #[test]
    fn with_keys_only_their_holders_are() {
        assert_eq!(status(&["a", "secret"], Some("Bearer secret")), None);
        assert_eq!(status(&["secret"], Some("bearer secret ")), None);
        for bad in [
            None,
            Some("secret"),
            Some("Bearer "),
            Some("Bearer secre"),
            Some("Bearer secret2"),
            Some("Basic secret"),
        ] {
            assert_eq!(status(&["secret"], bad), Some(401), "{bad:?}");
        }
    }

    #[test]
    fn a_key_may_come_in_a_header_of_its_own() {
        let keys = ApiKeys::new(["secret".to_owned()]);
        for (key, passes) in [("secret", true), ("secre", false)] {
            let headers = HeaderMap::from_iter([(X_API_KEY, key.parse().unwrap())]);
            assert_eq!(keys.check(&headers).is_ok(), passes, "{key}");
        }
    }

    #[test]
    fn each_secret_is_known_by_its_name_and_its_digest_lets_nobody_in() {
        let keys = ApiKeys::of(vec![key("alice", "one"), key("bob", "two")]).unwrap();
        assert_eq!(name_for(&keys, "one").as_deref(), Some("alice"));
        assert_eq!(name_for(&keys, "two").as_deref(), Some("bob"));
        assert_eq!(name_for(&keys, &Digest::of(b"one").hex()), None);
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_refused_by_name() {
        let same_name = ApiKeys::of(vec![key("alice", "one"), key("alice", "two")]);
        assert!(same_name.err().unwrap().to_string().contains("`alice`"));
        let same_secret = ApiKeys::of(vec![key("alice", "one"), key("bob", "one")]);
        let error = same_secret.err().unwrap().to_string();
        assert!(error.contains("`alice` and `bob`"), "{error}");
    }

    #[test]
    fn a_key_that_stays_keeps_what_it_has_used_even_with_a_new_secret() {
        let limited = |secret: &str| {
            let mut key = key("alice", secret);
            key.rates.requests_per_minute = NonZeroU32::new(1);
            key
        };
        let keys = ApiKeys::of(vec![limited("one")]).unwrap();
        let alice = |secret: &str| {
            let headers = bearer(Some(&format!("Bearer {secret}")));
            keys.check(&headers).unwrap().unwrap()
        };
        alice("one").admit_request().unwrap();
        keys.replace(vec![limited("two"), key("bob", "three")])
            .unwrap();
        assert!(name_for(&keys, "one").is_none());
        assert_eq!(alice("two").admit_request().unwrap_err().status, 429);
    }

    #[test]
    fn a_set_that_is_refused_leaves_the_old_one() {
        let keys = ApiKeys::of(vec![key("alice", "one")]).unwrap();
        let twice = vec![key("bob", "two"), key("bob", "three")];
        assert!(keys.replace(twice).is_err());
        assert_eq!(name_for(&keys, "one").as_deref(), Some("alice"));
        assert_eq!(name_for(&keys, "two"), None);
    }

    #[test]
    fn a_key_for_some_models_is_told_which_when_it_asks_for_another() {
        let mut limited = key("alice", "one");
        limited.models = Some(["small".to_owned()].into());
        let client = Client::new(limited, None, Instant::now());
        client.admit_generation("small").unwrap();
        let error = client.admit_generation("large").unwrap_err();
        assert_eq!((error.status, &*error.kind), (403, "permission_error"));
        assert_eq!(error.code.as_deref(), Some("model_not_allowed"));
        assert_eq!(error.param.as_deref(), Some("model"));
        assert!(error.message.contains("small"), "{}", error.message);
    }
}
