//! Requests in, requests out: what is found, what takes its place, and what stays as it is.

mod any_text;
mod requests;
mod settings;
mod support;
mod values;
