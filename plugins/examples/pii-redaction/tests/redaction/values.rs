//! What counts as personal data and what does not, kind by kind.

use crate::support::{redacted, redacted_with};

/// Every text becomes what stands beside it.
fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(redacted(text), *expected, "{text:?}");
    }
}

/// Every text is left alone.
fn check_unchanged(table: &[&str]) {
    for text in table {
        assert_eq!(redacted(text), *text);
    }
}

#[test]
fn addresses_with_a_dot_in_their_domain_are_email() {
    check(&[
        ("john@example.com", "[EMAIL_1]"),
        (
            "Write to John.Doe+news@mail.example.co.uk.",
            "Write to [EMAIL_1].",
        ),
        ("<o'brien_x@example-site.org>", "<[EMAIL_1]>"),
        (
            "'john@example.com', \"jane@example.com\"",
            "'[EMAIL_1]', \"[EMAIL_2]\"",
        ),
        ("mailto:j@163.com?subject=x", "mailto:[EMAIL_1]?subject=x"),
        ("?user=j@x.de&y", "?user=[EMAIL_1]&y"),
        ("jörg@müller.de", "[EMAIL_1]"),
        ("иван@пример.рф", "[EMAIL_1]"),
        ("nguyễn@example.vn", "[EMAIL_1]"),
        (
            "我的邮箱是john@example.com，谢谢",
            "我的邮箱是[EMAIL_1]，谢谢",
        ),
        ("a@xn--bcher-kva.xn--p1ai", "[EMAIL_1]"),
        ("a@b.de;c@d.de,e@f.de", "[EMAIL_1];[EMAIL_2],[EMAIL_3]"),
        (r"name\njohn@example.com\n", r"name\n[EMAIL_1]\n"),
        ("2024@example.com 030@x.de", "[EMAIL_1] [EMAIL_2]"),
    ]);
}

#[test]
fn what_only_looks_like_an_address_is_no_email() {
    check_unchanged(&[
        "a@b",
        "root@localhost",
        "c = a@b",
        "c = a @ b.T",
        "y = w@x.mean(axis=0)",
        "@app.route('/x')",
        "npm i react@18.2.0 vue@3.4-beta.two",
        "icon@2x.png",
        "@media print { }",
        "user@",
        "@example.com",
        "a@.com",
        "a@b..c",
        "a@-b.com",
        "x@y.z",
        "git@github.com:owner/repo.git",
        "java.lang.Object@1b6d3586",
        "a@mod.fn_name",
        "@user, see @team",
    ]);
}

#[test]
fn international_numbers_are_phones() {
    check(&[
        ("+491511234567", "[PHONE_1]"),
        ("Call +49 (0)30 1234567!", "Call [PHONE_1]!"),
        ("+49 30/1234567", "[PHONE_1]"),
        ("(+1 555 234 5678)", "([PHONE_1])"),
        ("+1 (555) 234-5678", "[PHONE_1]"),
        ("+1-555-234-5678.", "[PHONE_1]."),
        ("+44 20 7946 0958", "[PHONE_1]"),
        ("+33 6 12 34 56 78", "[PHONE_1]"),
        ("+48 123 456 789", "[PHONE_1]"),
        ("+86 138 1234 5678", "[PHONE_1]"),
        ("0049 151 12345678", "[PHONE_1]"),
        ("004915112345678", "[PHONE_1]"),
        ("tel:+4930123456", "tel:[PHONE_1]"),
        ("电话：+8613812345678。", "电话：[PHONE_1]。"),
        ("+49\u{a0}151\u{a0}12345678", "[PHONE_1]"),
        ("+49 151 12345678 12:30", "[PHONE_1] 12:30"),
        ("+49 151 12345678 12.05.2024", "[PHONE_1] 12.05.2024"),
        (r"x\n+49 151 12345678\n", r"x\n[PHONE_1]\n"),
    ]);
}

#[test]
fn common_national_numbers_are_phones() {
    check(&[
        ("(555) 234-5678", "[PHONE_1]"),
        ("(555)234-5678", "[PHONE_1]"),
        ("555-234-5678, 555.234.5678", "[PHONE_1], [PHONE_1]"),
        ("1-800-555-0199", "[PHONE_1]"),
        ("call 555 234 5678 now", "call [PHONE_1] now"),
        ("030 1234567", "[PHONE_1]"),
        ("(030) 1234567", "[PHONE_1]"),
        ("Tel(030) 1234567", "Tel[PHONE_1]"),
        ("Tel.030 1234567", "Tel.[PHONE_1]"),
        ("030 / 123 45 67", "[PHONE_1]"),
        ("030 - 1234567-0", "[PHONE_1]"),
        ("0151/23456789", "[PHONE_1]"),
        ("015123456789", "[PHONE_1]"),
        ("020 7946 0958", "[PHONE_1]"),
        ("06 12 34 56 78", "[PHONE_1]"),
        ("06.12.34.56.78", "[PHONE_1]"),
        ("0612345678", "[PHONE_1]"),
        ("03-1234-5678", "[PHONE_1]"),
        ("0755-12345678", "[PHONE_1]"),
        ("打13812345678找我", "打[PHONE_1]找我"),
        ("138-1234-5678 和 138 1234 5678", "[PHONE_1] 和 [PHONE_1]"),
        ("1,John,0301234567,12", "1,John,[PHONE_1],12"),
        ("030 1234567 2 Stück", "[PHONE_1] 2 Stück"),
        ("0151 23456789 12:30", "[PHONE_1] 12:30"),
        ("030 1234567 4111 1111 1111 1111", "[PHONE_1] [CARD_1]"),
    ]);
}

#[test]
fn times_dates_versions_and_amounts_are_no_phones() {
    check_unchanged(&[
        "12:30, 08:00-12:00, 10:30:45",
        "2024-01-02T03:04:05.678901234+02:00",
        "2024-01-02 03:04:05 +0200",
        "01.02.2024 10:30",
        "01/02/2024 10:30:00",
        "01-02-2024 10:30",
        "01 02 2024 1030",
        "09-12-2024, 09/12/24",
        "v0.1.2, 0.10.20240101, 1.2.3-rc.4, 10.15.7",
        "1.234.567,89 and 12,345,678.90 and 1 000 000 and 3.14159265358979",
        "$5552345678 €0301234567",
        "1700000000 1700000000000",
        "5552345678 612345678",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2",
        "550e8400-e29b-41d4-a716-446655440000",
        "01-23-45-67-89-ab and 01-23-45-67-89-01",
        "d41d8cd98f00b204e9800998ecf8427e",
        "C++11 12345678",
        "AB-0301234567 and 0301234567-ab",
        "https://example.com/orders/0301234567",
        "01 12 23 34 45 46",
        "000123456789",
        "\"0123456789\" 17179869184",
        "8B 05 04 00 00 00, 10 01 02 03 04 05 06 07 08 09 0A",
        "00000000 04 00000000",
        "02 29 29 060",
        "0012345678, 00100001 00000000",
        "x_0301234567 and a0301234567",
        "@@ -01,10 +02,12 @@",
        "0x0123456789",
        "[0.0123456789, 0.0987654321]",
    ]);
}

#[test]
fn card_numbers_of_a_network_with_the_right_check_digit_are_cards() {
    check(&[
        ("4111111111111111", "[CARD_1]"),
        ("4111 1111 1111 1111", "[CARD_1]"),
        ("4111-1111-1111-1111", "[CARD_1]"),
        ("5555 5555 5555 4444 12/27 123", "[CARD_1] 12/27 123"),
        ("4111 1111 1111 1111 123", "[CARD_1] 123"),
        ("3782 822463 10005", "[CARD_1]"),
        ("30569309025904", "[CARD_1]"),
        ("3530111333300000 6011111111111117", "[CARD_1] [CARD_2]"),
        ("6222021234567890128", "[CARD_1]"),
        (
            "card:4111111111111111:12/27,4242424242424242",
            "card:[CARD_1]:12/27,[CARD_2]",
        ),
        ("卡号4111111111111111", "卡号[CARD_1]"),
        ("order 12 4111 1111 1111 1111", "order 12 [CARD_1]"),
    ]);
}

#[test]
fn numbers_that_no_network_gave_out_are_no_cards() {
    check_unchanged(&[
        "4111111111111112",
        "4111 1111 1111 1112",
        "4111 1111-1111 1111",
        "9111111111111111",
        "1234567812345670",
        "411111111111111",
        "4111111111111111a",
        "0.4111111111111111",
        "4111111111111111.5",
        "a4111111111111111",
        "4111111111111111-1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "256 384 512 768 1024",
        "4654005815464502513",
    ]);
}

#[test]
fn account_numbers_with_the_right_check_digits_are_ibans() {
    check(&[
        ("DE89370400440532013000", "[IBAN_1]"),
        ("IBAN: DE89 3704 0044 0532 0130 00.", "IBAN: [IBAN_1]."),
        ("de89 3704 0044 0532 0130 00 und mehr", "[IBAN_1] und mehr"),
        ("GB82 WEST 1234 5698 7654 32", "[IBAN_1]"),
        ("FR14-2004-1010-0505-0001-3M02-606", "[IBAN_1]"),
        (
            "NO9386011117947,MT84MALT011000012345MTLCAST001S",
            "[IBAN_1],[IBAN_2]",
        ),
        ("账户DE89370400440532013000。", "账户[IBAN_1]。"),
        (
            "DE89\u{a0}3704\u{a0}0044\u{a0}0532\u{a0}0130\u{a0}00",
            "[IBAN_1]",
        ),
    ]);
}

#[test]
fn numbers_with_wrong_check_digits_length_or_country_are_no_ibans() {
    check_unchanged(&[
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "XX89370400440532013000",
        "xDE89370400440532013000",
        "DE89  3704  0044  0532  0130  00",
        "DE89 37 0400440532013000",
        "ab12cdef12345678ab12cdef12345678",
        "DE89 3704",
    ]);
}

#[test]
fn addresses_that_somebody_has_are_ip() {
    check(&[
        ("192.168.1.17", "[IP_1]"),
        ("from 203.0.113.9:8080.", "from [IP_1]:8080."),
        ("http://10.0.0.5/x", "http://[IP_1]/x"),
        ("/hosts/10.0.0.5", "/hosts/[IP_1]"),
        ("10.0.0.1-10.0.0.9", "[IP_1]-[IP_2]"),
        ("ssh admin@10.0.0.5", "ssh admin@[IP_1]"),
        ("2001:db8::1", "[IP_1]"),
        ("[2001:db8::1]:443", "[[IP_1]]:443"),
        ("2001:0DB8:0:0:0:0:0:1 is 2001:db8::1.", "[IP_1] is [IP_1]."),
        ("fe80::1ff:fe23:4567:890a%eth0", "[IP_1]%eth0"),
        ("::ffff:192.0.2.128/96", "[IP_1]/96"),
        ("fd12:3456:789a:1::1: unreachable", "[IP_1]: unreachable"),
        ("地址192.168.1.17正常", "地址[IP_1]正常"),
        ("Versions of 10.0.0.5", "Versions of [IP_1]"),
    ]);
}

#[test]
fn versions_times_names_and_addresses_of_nobody_are_no_ip() {
    check_unchanged(&[
        "127.0.0.1 0.0.0.0 255.255.255.255 ::1 ::",
        "version 1.2.3.4, Version: 10.0.0.1, v1.2.3.4, build 10.0.19041.1",
        "package==1.2.3.4 and package >=1.2.3.4 and 1.2.3.4-beta",
        "Chrome/120.0.0.1 (X11)",
        "Section 1.2.3.4, rfc5280#section-4.2.1.3",
        "255.255.240.0 224.0.0.251 ::ffff:127.0.0.1",
        "1.2.3, 1.2.3.4.5, 256.1.1.1, 1.2.3.4a, 01.02.03.04",
        "12:30:45, 1:2:3:4:5:6:7:8, 00:1b:44:11:3a:b7",
        "a::b, std::fs, cafe::babe, dead::beef::cafe, fe::add",
        "2b:43:f1:aa:00:12:55:de:2b:43:f1:aa:00:12:55:de",
        "Vec::<u8>::new(), x[1::2], x::y",
        "sha256:9f86d081884c7d659a2feaa0c55ad015",
    ]);
}

#[test]
fn long_runs_of_digits_are_found_only_where_the_operator_asks() {
    let text = "customer 123456789, 12345678, a123456789, 0.123456789, 123456789-x";
    assert_eq!(redacted(text), text);
    assert_eq!(
        redacted_with(r#"{"kinds":["digits"]}"#, text),
        "customer [DIGITS_1], 12345678, a123456789, 0.123456789, 123456789-x"
    );
    assert_eq!(
        redacted_with(r#"{"kinds":["digits"],"min_digits":8}"#, "12345678 1234567"),
        "[DIGITS_1] 1234567"
    );
}

#[test]
fn a_kind_that_is_not_asked_for_is_left_alone() {
    let text =
        "john@example.com 192.168.1.17 DE89370400440532013000 4111111111111111 +491511234567";
    let only = |kind: &str| redacted_with(&format!(r#"{{"kinds":["{kind}"]}}"#), text);
    assert_eq!(only("email"), text.replace("john@example.com", "[EMAIL_1]"));
    assert_eq!(only("ip"), text.replace("192.168.1.17", "[IP_1]"));
    assert_eq!(
        only("iban"),
        text.replace("DE89370400440532013000", "[IBAN_1]")
    );
    assert_eq!(only("card"), text.replace("4111111111111111", "[CARD_1]"));
    assert_eq!(only("phone"), text.replace("+491511234567", "[PHONE_1]"));
}
