use std::net::IpAddr;

use serde::Deserialize;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An e-mail address whose domain has a dot.
    Email,
    /// An IPv4 or IPv6 address that belongs to somebody.
    Ip,
    /// An international bank account number whose check digits are right.
    Iban,
    /// A payment card number whose check digit is right.
    Card,
    /// A phone number in international or in a common national form.
    Phone,
    /// A long run of digits, whatever it is.
    Digits,
}

impl Kind {
    /// All kinds, in the order in which they are declared. Where two could claim the same text, the earlier gets it: the
    /// more a kind checks, the further ahead it is.
    pub(crate) const ALL: [Kind; 6] = [
        Kind::Email,
        Kind::Ip,
        Kind::Iban,
        Kind::Card,
        Kind::Phone,
        Kind::Digits,
    ];

    /// Its name in the config and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Email => "email",
            Kind::Ip => "ip",
            Kind::Iban => "iban",
            Kind::Card => "card",
            Kind::Phone => "phone",
            Kind::Digits => "digits",
        }
    }

    /// The same value however it is written: what placeholders are numbered by.
    pub(crate) fn canonical(self, value: &str) -> String {
        let alphanumeric = value.chars().filter(char::is_ascii_alphanumeric);
        match self {
            Kind::Email => value.to_ascii_lowercase(),
            Kind::Ip => match value.parse() {
                Ok(IpAddr::V4(ip)) => format!("{:?}", ip.octets()),
                Ok(IpAddr::V6(ip)) => format!("{:?}", ip.segments()),
                Err(_) => value.to_owned(),
            },
            Kind::Iban => alphanumeric.collect::<String>().to_ascii_uppercase(),
            Kind::Card | Kind::Digits => alphanumeric.collect(),
            Kind::Phone => {
                // `+49 (0)30 …`, `0049 30 …` and `+49 30 …` are one number.
                let digits: String = value
                    .replace("(0)", "")
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect();
                match digits.strip_prefix("00") {
                    Some(number) => format!("+{number}"),
                    None if value.starts_with('+') => format!("+{digits}"),
                    None => digits,
                }
            }
        }
    }
}
