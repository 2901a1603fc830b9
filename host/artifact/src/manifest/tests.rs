mod parsing;
mod schema;
mod sections;

/// The least that a manifest has.
const LEAST: &str = r#"
id = "pii-redaction"
version = "0.1.0"
role = "shaper"
wit = "0.1"
"#;
