//! The list of models, and single ones.

use plugin_sdk::{Route, Router};

use crate::support::*;

fn text(response: plugin_sdk::Response) -> (u16, String) {
    (response.status, String::from_utf8(response.body).unwrap())
}

#[test]
fn the_list_has_openais_keys_and_the_two_that_vllms_clients_read() {
    let expected = concat!(
        r#"{"object":"list","data":["#,
        r#"{"id":"tiny","object":"model","created":1700000000,"owned_by":"host","root":"/models/tiny","max_model_len":4096},"#,
        r#"{"id":"org/large","object":"model","created":1700000000,"owned_by":"host","root":"org/large","max_model_len":4096}]}"#,
    );
    assert_eq!(
        text(respond("GET", "/v1/models", "")),
        (200, expected.to_owned())
    );
}

#[test]
fn an_id_may_contain_slashes() {
    let expected = r#"{"id":"org/large","object":"model","created":1700000000,"owned_by":"host","root":"org/large","max_model_len":4096}"#;
    assert_eq!(
        text(respond("GET", "/v1/models/org/large", "")),
        (200, expected.to_owned())
    );
}

#[test]
fn an_unknown_model_is_not_found() {
    let expected = concat!(
        r#"{"error":{"message":"The model `large` is not served here; available: `tiny`, `org/large`.","#,
        r#""type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
    );
    assert_eq!(
        text(respond("GET", "/v1/models/large", "")),
        (404, expected.to_owned())
    );
}

#[test]
fn every_route_is_answered() {
    for Route { method, path } in openai_router::OpenAi::routes() {
        let path = path.replace('*', "tiny");
        let (status, body) = text(respond(&method, &path, "{}"));
        // An empty object is a bad request to what generates, and no matter to the models.
        assert_eq!(
            status,
            if method == "GET" { 200 } else { 400 },
            "{method} {path}: {body}"
        );
    }
}
