//! The protocol from outside: requests in, inference requests and bytes out.

mod fuzz;
mod refusals;
mod requests;
mod stream;
mod support;
mod whole;
