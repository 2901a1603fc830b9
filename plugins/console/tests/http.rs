//! The page as a browser asks for it.

use console::Console;
use plugin_sdk::mock::{self, Answer, Ending, Request};

fn ask(request: Request) -> Answer {
    let answer = mock::call::<Console>(request);
    assert_eq!(answer.ending, Ending::Finished);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'self'; connect-src 'self';"),
        "{policy}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    answer
}

#[test]
fn the_page_is_html_at_the_root() {
    let answer = ask(Request::get("/"));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(answer.text().starts_with("<!doctype html>"));
    let len = answer.body().len().to_string();
    assert_eq!(answer.header("content-length"), Some(len.as_str()));
}

#[test]
fn its_files_have_the_types_that_browsers_insist_on() {
    for (path, content_type) in [
        ("/console/main.js", "text/javascript; charset=utf-8"),
        ("/console/base.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let answer = ask(Request::get(path));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(content_type)),
            "{path}"
        );
    }
}

#[test]
fn a_query_makes_no_difference() {
    assert_eq!(
        ask(Request::get("/?a=b")).body(),
        ask(Request::get("/")).body()
    );
}

#[test]
fn a_browser_that_has_the_file_is_not_sent_it_again() {
    let first = ask(Request::get("/console/main.js"));
    let tag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    for method in ["GET", "HEAD"] {
        let request = Request::new(method, "/console/main.js").with_header("if-none-match", tag);
        let again = ask(request);
        assert_eq!((again.status, again.body().len()), (304, 0), "{method}");
        assert_eq!(again.header("etag"), Some(tag));
        assert_eq!(again.header("content-length"), None);
    }
    let other = Request::get("/console/base.css").with_header("if-none-match", tag);
    assert_eq!(ask(other).status, 200);
}

#[test]
fn head_says_what_get_says_without_the_file() {
    let get = ask(Request::get("/"));
    let head = ask(Request::new("HEAD", "/"));
    assert_eq!((head.status, head.body().len()), (200, 0));
    for name in ["content-type", "etag", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[test]
fn what_is_not_there_is_404_whatever_the_method() {
    for path in [
        "/console/",
        "/console/nothing.js",
        "/console/../page/main.js",
        "/console/Main.js",
        "/index.html",
    ] {
        assert_eq!(ask(Request::get(path)).status, 404, "{path}");
        assert_eq!(ask(Request::post(path, "x")).status, 404, "{path}");
    }
}

#[test]
fn a_method_that_changes_something_is_refused_with_those_that_work() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(Request::new(method, "/"));
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
}
