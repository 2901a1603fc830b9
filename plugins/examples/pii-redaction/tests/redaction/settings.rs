//! What the plugin says of settings that make no sense.

use crate::support::*;

fn failure(config: &str) -> String {
    let error = refusal(config, prompt("hi"));
    assert_eq!((error.status, error.kind.as_str()), (500, "server_error"));
    assert_eq!(error.code.as_deref(), Some("invalid_plugin_config"));
    error.message
}

#[test]
fn wrong_settings_are_named_by_their_key() {
    for (config, named) in [
        (r#"{"kind":["email"]}"#, "`kind`"),
        (r#"{"kinds":["email","fax"]}"#, "at `kinds[1]`"),
        (r#"{"kinds":[]}"#, "at `kinds`"),
        (r#"{"mode":"hide"}"#, "at `mode`"),
        (r#"{"tokens":true}"#, "at `tokens`"),
        (r#"{"min_digits":3}"#, "at `min_digits`"),
        (r#"{"min_digits":65}"#, "at `min_digits`"),
    ] {
        let message = failure(config);
        assert!(message.contains(named), "{config}: {message}");
    }
}
