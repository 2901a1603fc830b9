use super::*;

fn pattern(text: &str) -> HostPattern {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn an_exact_pattern_is_that_host_and_no_other() {
    let pattern = pattern("api.example.com");
    assert!(pattern.matches("api.example.com", 443));
    assert!(pattern.matches("API.EXAMPLE.COM", 80));
    for other in [
        "example.com",
        "evil-api.example.com",
        "x.api.example.com",
        "api.example.com.evil.org",
        "api.example.com.",
        ".api.example.com",
        "api..example.com",
        "user@api.example.com",
        "api.example.com@evil.org",
        "api.example.com:443",
        "api.example.com/",
        "api.example.com%2eevil.org",
        "api.example.com\0",
        "api.example.com ",
        "",
    ] {
        assert!(!pattern.matches(other, 443), "{other:?}");
    }
}

#[test]
fn a_wildcard_is_every_host_below_its_domain_and_not_the_domain() {
    let pattern = pattern("*.example.com");
    for host in ["a.example.com", "b.a.example.com", "A.Example.COM"] {
        assert!(pattern.matches(host, 443), "{host}");
    }
    for other in [
        "example.com",
        ".example.com",
        "evil-example.com",
        "evilexample.com",
        "a.example.com.evil.org",
        "a.example.com.",
        "a..example.com",
        "*.example.com",
        "a@b.example.com",
        "127.0.0.1",
        "::1",
    ] {
        assert!(!pattern.matches(other, 443), "{other:?}");
    }
}

#[test]
fn without_a_port_the_ports_of_http_and_https_are_meant() {
    let usual = pattern("example.com");
    assert!(usual.matches("example.com", 80) && usual.matches("example.com", 443));
    assert!(!usual.matches("example.com", 8080) && !usual.matches("example.com", 22));
    let own = pattern("example.com:8080");
    assert!(own.matches("example.com", 8080));
    assert!(!own.matches("example.com", 443));
}

#[test]
fn an_address_is_itself_in_any_of_its_spellings_and_nothing_else() {
    let v4 = pattern("127.0.0.1:9000");
    assert!(v4.matches("127.0.0.1", 9000));
    for other in [
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "::ffff:127.0.0.1",
    ] {
        assert!(!v4.matches(other, 9000), "{other}");
    }
    let v6 = pattern("[::1]:9000");
    assert!(v6.matches("[::1]", 9000) && v6.matches("::1", 9000));
    assert!(v6.matches("[0:0::0001]", 9000));
    assert!(!v6.matches("[::2]", 9000));
}

#[test]
fn what_a_pattern_writes_it_reads_back() {
    for (text, written) in [
        ("Api.Example.com", "api.example.com"),
        ("*.example.org:8443", "*.example.org:8443"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[0:0::1]", "[::1]"),
        ("[::1]:80", "[::1]:80"),
        ("localhost:9000", "localhost:9000"),
        ("my_service", "my_service"),
    ] {
        assert_eq!(pattern(text).to_string(), written);
        assert_eq!(pattern(written), pattern(text));
    }
}

#[test]
fn patterns_that_mean_too_much_or_nothing_are_refused() {
    for bad in [
        "",
        "*",
        "*.",
        "*.com",
        "*.*.com",
        "a.*.com",
        "*a.example.com",
        "**.example.com",
        "*.127.0.0.1",
        "*.0.0.1",
        "*.[::1]",
        "*:80",
        "*.example.com.",
        "example.com.",
        ".example.com",
        "a..b",
        "https://example.com",
        "example.com/v1",
        "user@example.com",
        "example.com:",
        "example.com:0",
        "example.com:080",
        "example.com:+80",
        "example.com:65536",
        "example.com:80:80",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[127.0.0.1]",
        "[::1",
        "::1]",
        "[::1]x",
        "bücher.example",
        "a b.example",
        "-a.example",
        "a-.example",
        &format!("{}.example", "a".repeat(64)),
        &"a.".repeat(130),
    ] {
        assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
    }
}
