//! Who a client is to a registry.

use std::fmt;

use oci_client::secrets::RegistryAuth;

/// Who a client is to a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    Anonymous,
    /// Somebody with a password.
    Password {
        /// Their name.
        user: String,
        /// Their password.
        password: String,
    },
    /// Whoever has this token.
    Token(Token),
}

/// A token, made of visible ASCII letters as it goes into a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Credentials that no registry could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A name without a password.
    #[error("a user of a registry is given without a password: set HOST_REGISTRY_PASSWORD too")]
    NoPassword,
    /// A token that fits no header.
    #[error(
        "the registry's token has letters that no token has: set HOST_REGISTRY_PASSWORD to the token alone, or HOST_REGISTRY_USER too if it is a password"
    )]
    NotAToken,
}

impl Credentials {
    /// As they are in the environment: a user with a password, a password alone, which is a token, or neither. What is empty
    /// counts as not given.
    pub fn new(
        user: Option<String>,
        password: Option<String>,
    ) -> Result<Credentials, CredentialsError> {
        let given = |text: &String| !text.is_empty();
        match (user.filter(given), password.filter(given)) {
            (None, None) => Ok(Credentials::Anonymous),
            (Some(user), Some(password)) => Ok(Credentials::Password { user, password }),
            (Some(_), None) => Err(CredentialsError::NoPassword),
            (None, Some(token)) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Credentials::Token(Token(token)))
            }
            (None, Some(_)) => Err(CredentialsError::NotAToken),
        }
    }
}

impl From<Credentials> for RegistryAuth {
    fn from(credentials: Credentials) -> RegistryAuth {
        match credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Password { user, password } => RegistryAuth::Basic(user, password),
            Credentials::Token(Token(token)) => RegistryAuth::Bearer(token),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Anonymous => "Anonymous",
            Credentials::Password { .. } => "Password",
            Credentials::Token(_) => "Token",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_alone_is_a_token_and_a_user_alone_is_nobody() {
        let new =
            |user: &str, password: &str| Credentials::new(Some(user.into()), Some(password.into()));
        assert_eq!(Credentials::new(None, None), Ok(Credentials::Anonymous));
        assert_eq!(new("", ""), Ok(Credentials::Anonymous));
        let password = Credentials::Password {
            user: "me".into(),
            password: "open sesame".into(),
        };
        assert_eq!(new("me", "open sesame"), Ok(password));
        assert_eq!(
            new("", "abc.def"),
            Ok(Credentials::Token(Token("abc.def".into())))
        );
        assert_eq!(new("me", ""), Err(CredentialsError::NoPassword));
        assert_eq!(new("", "open sesame"), Err(CredentialsError::NotAToken));
        assert_eq!(
            new("", "abc\r\nHost: evil"),
            Err(CredentialsError::NotAToken)
        );
    }

    #[test]
    fn credentials_are_never_printed() {
        for (user, password) in [(Some("me".into()), "secret"), (None, "secret")] {
            let credentials = Credentials::new(user, Some(password.into())).unwrap();
            assert!(!format!("{credentials:?}").contains("secret"));
        }
    }
}
