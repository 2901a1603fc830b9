use serde_json::{Map, Value, json};

use super::LEAST;
use crate::{ConfigError, Manifest};

fn with_schema(schema: &str) -> Result<Manifest, String> {
    let text = format!("{LEAST}capabilities = [\"config\"]\n{schema}");
    Manifest::parse(&text).map_err(|e| e.to_string())
}

fn settings(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(settings) => settings,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn settings_that_fit_are_taken_and_all_that_does_not_fit_is_listed() {
    let manifest = with_schema(
        r#"
        [config.schema]
        type = "object"
        required = ["region"]
        additionalProperties = false
        [config.schema.properties.region]
        type = "string"
        pattern = "^[a-z]+$"
        [config.schema.properties.rules]
        type = "array"
        items = { type = "object", properties = { weight = { type = "number", minimum = 0 } } }
        "#,
    )
    .unwrap();
    let good = json!({"region": "eu", "rules": [{"weight": 0.5}]});
    assert_eq!(manifest.check_config(&settings(good)), Ok(()));

    let bad = json!({"region": "EU-secret", "rules": [{"weight": 1}, {"weight": -1}], "x": 1});
    let error = manifest.check_config(&settings(bad)).unwrap_err();
    let ConfigError::Unfit(unfit) = &error else {
        panic!("{error}")
    };
    let mut paths: Vec<_> = unfit.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort();
    assert_eq!(paths, ["", "/region", "/rules/1/weight"]);
    let error = error.to_string();
    assert!(
        error.contains("at `/rules/1/weight`, value is less than the minimum of 0"),
        "{error}"
    );
    assert!(error.contains("'x'"), "{error}");
    assert!(!error.contains("EU-secret"), "{error}");
    assert!(
        manifest
            .check_config(&Map::new())
            .unwrap_err()
            .to_string()
            .contains("region")
    );
}

#[test]
fn a_plugin_without_the_capability_has_no_settings() {
    let manifest = Manifest::parse(LEAST).unwrap();
    assert_eq!(manifest.check_config(&Map::new()), Ok(()));
    let error = manifest
        .check_config(&settings(json!({"a": 1})))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plugin `pii-redaction` reads no settings: leave them out"
    );
    let text = format!("{LEAST}[config]\nschema = {{}}");
    let error = Manifest::parse(&text).unwrap_err().to_string();
    assert!(error.contains("does not ask for `config`"), "{error}");
}

#[test]
fn a_plugin_without_a_schema_takes_any_settings() {
    let manifest = with_schema("").unwrap();
    assert_eq!(
        manifest.check_config(&settings(json!({"a": [1, {}]}))),
        Ok(())
    );
}

#[test]
fn a_schema_can_refer_to_its_own_parts() {
    let manifest = with_schema(
        r##"
        [config.schema]
        additionalProperties = { "$ref" = "#/$defs/name" }
        "$defs" = { name = { type = "string" } }
        "##,
    )
    .unwrap();
    assert_eq!(manifest.check_config(&settings(json!({"a": "b"}))), Ok(()));
    assert!(manifest.check_config(&settings(json!({"a": 1}))).is_err());
}

#[test]
fn what_is_no_schema_is_refused_when_the_manifest_is_read() {
    for (schema, expected) in [
        ("[config]\nschema = 3", "invalid type: integer `3`"),
        (
            "[config]\nschema = { type = \"text\" }",
            "no JSON schema: at `/type`",
        ),
        (
            "[config]\nschema = { properties = [] }",
            "no JSON schema: at `/properties`",
        ),
        ("[config]\nschema = { pattern = \"(\" }", "no JSON schema"),
        (
            "[config]\nschema = { pattern = \"(?=a)\" }",
            "no JSON schema",
        ),
        (
            "[config]\nschema = { pattern = \"\\\\w{9}{9}{9}{9}\" }",
            "no JSON schema",
        ),
        (
            "[config]\nschema = { const = 1979-05-27 }",
            "write it as a string",
        ),
        ("[config]\nschema = { minimum = nan }", "which JSON has not"),
        ("[config]\n", "missing field `schema`"),
    ] {
        let error = with_schema(schema).unwrap_err();
        assert!(error.contains(expected), "{schema}: {error}");
    }
}

#[test]
fn nothing_is_fetched_to_check_settings() {
    for reference in [
        "https://example.com/schema.json",
        "file:///etc/passwd",
        "other.json#/x",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let error = with_schema(&format!(
            "[config]\nschema = {{ \"$ref\" = \"{reference}\" }}"
        ));
        let error = error.unwrap_err();
        assert!(error.contains("nothing is fetched"), "{error}");
    }
}

#[test]
fn a_schema_cannot_keep_the_host_busy() {
    // Each part refers twice to the next: 2^40 checks.
    let doubling: String = (0..40)
        .map(|i| {
            format!(
                "d{i} = {{ allOf = [{{ \"$ref\" = \"#/$defs/d{0}\" }}, {{ \"$ref\" = \"#/$defs/d{0}\" }}] }}\n",
                i + 1
            )
        })
        .collect();
    let doubling = format!(
        "[config.schema]\n\"$ref\" = \"#/$defs/d0\"\n[config.schema.\"$defs\"]\n{doubling}d40 = {{}}\n"
    );
    let nested = format!(
        "[config]\nschema = {}{}",
        "{ anyOf = [".repeat(20),
        "{}".to_owned() + &"] }".repeat(20)
    );
    let wide = format!("[config]\nschema = {{ enum = [{}] }}", "1,".repeat(10_001));
    for (schema, expected) in [
        (doubling.as_str(), "levels deep"),
        (nested.as_str(), "levels deep"),
        (wide.as_str(), "more than 10000 values"),
        (
            "[config]\nschema = { \"$ref\" = \"#\" }",
            "or refers to itself",
        ),
        (
            "[config]\nschema = { \"$ref\" = \"#/$defs/a%20b\" }",
            "where there is nothing",
        ),
        (
            "[config]\nschema = { \"$ref\" = \"#name\" }",
            "where there is nothing",
        ),
        ("[config]\nschema = { \"$id\" = \"x\" }", "uses `$id`"),
        (
            "[config]\nschema = { not = { \"$dynamicRef\" = \"#\" } }",
            "uses `$dynamicRef`",
        ),
        (
            "[config]\nschema = { \"$schema\" = \"http://json-schema.org/draft-04/schema#\" }",
            "write it so, without `$schema`",
        ),
    ] {
        let error = with_schema(schema).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
